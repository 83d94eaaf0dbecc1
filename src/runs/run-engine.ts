import { GatewayError, invalid, toGatewayError } from "../canonical/error.ts";
import type { Caller } from "../keys/caller.ts";
import { loadPatterns } from "../wire/json-schema.ts";
import type { JsonObject } from "../wire/json.ts";
import { STOPPED } from "./execute-tool.ts";
import type { RunEvent } from "./run-events.ts";
import { busyWith, isLeft, mayGoOn, nextDueOf, openOf } from "./run-gates.ts";
import { RunLoop, toRunError } from "./run-loop.ts";
import { showRun } from "./run-views.ts";
import type { RunServices } from "./services.ts";
import type { RunDefinition, RunLimits } from "./state/definition.ts";
import { type FrozenRun, hasEnded, isWaiting, type LiveRun, mayClaim, type Run, type Stop } from "./state/run.ts";
import type { CreateForm, LastTurn, StepForm } from "./steps/step-form.ts";
import { interruptExecution, keepResults, keepResultsBehind, settleStep } from "./unfinished.ts";
import { hasDueTasks, pollTasks } from "./waiting-tasks.ts";

/** A run as it is to be started. `given`: what its client has sent, where that is not all. `parts`: writes more of it in the same transaction. */
type AcceptedRun = Pick<FrozenRun, "definition" | "given"> & {
  run: Run;
  isNew: boolean;
  onBusy?: "queue" | "reject" | "branch" | undefined;
  parts?: () => void;
  /** Of a run that answers a call. */
  inCall?: InCall;
};

/** How a run that answers a call goes on while its client waits for that. */
type InCall = { form: StepForm; caller: Caller };

/** How long a crash of the object of a running run may go unnoticed: its alarm starts it again. Milliseconds. */
const HEARTBEAT_MS = 700;

/** States in which a run has its session for itself. */
const CLAIMING = ["queued", "running", "waiting_for_tool", "waiting_for_approval", "interrupted"] as const;

/** And in which it goes on by itself when it can. */
const WAITING = ["waiting_for_tool", "waiting_for_approval"] as const;

/**
 * The runs of one session, in its object. A running one has the session's lease, a waiting one a claim that outlives the object; so there
 * is one open run at a time.
 */
export class RunEngine {
  readonly services: RunServices;
  readonly #schedule: (ms: number) => void;
  readonly #live = new Map<string, LiveRun & { settled: Promise<void> }>();
  readonly #createForm: CreateForm;
  /** Open runs that were read: what several commands do at once, they do to the same one. */
  readonly #known = new Map<string, Run>();

  /** `schedule`: has `wake` called within so many milliseconds. `createForm`: how a run goes on that answers no waiting client. */
  constructor(services: RunServices, schedule: (ms: number) => void, createForm: CreateForm) {
    this.services = services;
    this.#schedule = schedule;
    this.#createForm = createForm;
  }

  get areRunning(): boolean {
    return this.#live.size > 0;
  }

  /** The run that has the session for itself. */
  get claiming(): Run | undefined {
    if (!this.services.state.session.exists) return undefined;
    const live = [...this.#live.values()].find(({ run }) => mayClaim(run));
    return live?.run ?? this.#listOpen(...CLAIMING).find(mayClaim);
  }

  /** Starts a run that is made with its session (`isNew`), or goes on with that. Durable when it resolves. Throws `session.busy`. */
  async accept({ run, definition, given, isNew, onBusy, parts = () => {}, inCall }: AcceptedRun): Promise<void> {
    const { state, store, events, lifetime } = this.services;
    if (inCall === undefined) this.#requireFree(onBusy);
    if (isNew) state.session.create(run.org, run.sessionId);
    const frozen = { id: frozenId(run.id), run: run.id, revision: 0, status: "frozen", definition } as const;
    store.transact(() => {
      store.put("frozen", { ...frozen, ...(given && { given }) });
      store.put("run", run);
      parts();
    });
    this.#known.set(run.id, run);
    events.open(run);
    const { limits, harness } = definition;
    events.emit(run, { type: "run.started", session_id: run.sessionId, limits, ...(harness && { harness }) });
    lifetime.watch();
    this.start(run, inCall && { inCall });
    await lifetime.durable();
  }

  #requireFree(onBusy: "queue" | "reject" | "branch" | undefined): void {
    if (onBusy === "branch") throw invalid("on_busy", "expected queue or reject: a run has its session for itself");
    const claiming = this.claiming;
    const [live] = this.#live.values();
    if (onBusy === "reject" && live !== undefined) throw busyWith(live.run);
    if (claiming !== undefined && (onBusy === "reject" || isWaiting(claiming))) throw busyWith(claiming);
  }

  /** Throws `session.busy` while a run waits. */
  requireUnclaimed(): void {
    const claiming = this.claiming;
    if (claiming !== undefined && isWaiting(claiming)) throw busyWith(claiming);
  }

  /** The run with this id. Throws `object.not_found`. */
  require(id: string): Run {
    const run = this.#known.get(id) ?? this.services.store.find("run", id);
    if (run === undefined) throw new GatewayError("object.not_found", "there is no such run");
    if (!hasEnded(run)) this.#known.set(id, run);
    return run;
  }

  /** Whether a run that has not ended answers this call. */
  answers(call: string): boolean {
    return this.#listOpen(...CLAIMING).some(({ clientCall }) => clientCall === call);
  }

  #listOpen(...statuses: readonly Run["status"][]): Run[] {
    return this.services.store.listByStatus("run", ...statuses).map(({ id }) => this.require(id));
  }

  definitionOf(run: Run): RunDefinition {
    return this.#live.get(run.id)?.definition ?? this.frozenOf(run).definition;
  }

  /** What a run was started with. */
  frozenOf({ id }: Run): FrozenRun {
    return this.services.store.find("frozen", frozenId(id))!;
  }

  /** What a decision at a limit changes. */
  changeLimits(run: Run, limits: RunLimits): void {
    const definition = { ...this.definitionOf(run), limits };
    this.services.store.put("frozen", { ...this.frozenOf(run), definition });
  }

  /** The text of a reply that was broken off. */
  partialText(run: Run): string {
    const step = this.services.store.lastStep(run.id);
    return step?.status === "calling" ? (step.partial ?? "") : "";
  }

  /** Goes on with a run that is not running. */
  start(run: Run, { isRestarted = false, inCall }: { isRestarted?: boolean; inCall?: InCall } = {}): void {
    if (this.#live.has(run.id) || hasEnded(run)) return;
    const { events, lifetime } = this.services;
    const definition = this.definitionOf(run);
    const { form = this.#createForm(run, definition, this.services), caller } = inCall ?? {};
    const live: LiveRun = { run, definition, controller: new AbortController(), ...(caller && { caller }) };
    const before = run.status;
    if (before !== "queued" || isRestarted) events.open(run, { isRestarted });
    const settled = this.#run(live, form);
    this.#live.set(run.id, Object.assign(live, { settled }));
    this.#schedule(HEARTBEAT_MS);
    lifetime.waitUntil(settled);
  }

  /** Resolves when the run has ended or waits. */
  async settled(run: Run): Promise<void> {
    while (this.#live.has(run.id)) await this.#live.get(run.id)!.settled;
  }

  /** Adds events to the stream of a run that has not ended, whether that is open or not. */
  tell(run: Run, ...all: readonly RunEvent[]): void {
    if (!hasEnded(run)) this.#tell(run, ...all);
  }

  #tell(run: Run, ...all: readonly RunEvent[]): void {
    const { events, store } = this.services;
    const isOpen = this.#live.has(run.id);
    if (!isOpen) events.open(run);
    for (const event of all) events.emit(run, event);
    if (isOpen) return;
    store.put("run", run);
    events.close(run);
  }

  /** Stops a running run, and resolves when it has stopped; at once if it is not running. */
  async stop(run: Run, why: Stop): Promise<void> {
    const live = this.#live.get(run.id);
    if (live === undefined) return;
    live.stop ??= why;
    live.controller.abort(STOPPED);
    await live.settled;
  }

  /** Cancels all open runs, as their session is to be deleted. */
  async cancelAll(): Promise<void> {
    await Promise.all(this.#listOpen(...CLAIMING).map((run) => this.cancel(run)));
  }

  async cancel(run: Run): Promise<void> {
    await this.services.notifier.refresh(run.org);
    await this.stop(run, "cancel");
    if (hasEnded(run)) return;
    await this.#finish(run, { status: "cancelled", stopReason: "cancelled" });
  }

  /** Goes on with the runs that a restart has interrupted, and with waiting ones that have something to do. */
  recover(): void {
    const { store, lifetime, notifier } = this.services;
    notifier.recover();
    for (const run of this.#listOpen("queued", "running")) {
      if (isLeft(run, this.definitionOf(run))) {
        lifetime.waitUntil(this.cancel(run));
        continue;
      }
      run.stalls++;
      if (run.runningSince !== undefined) delete run.runningSince;
      store.put("run", run);
      for (const execution of store.listExecutions(run.id, run.step))
        if (execution.status === "started") interruptExecution(execution, store);
      this.start(run, { isRestarted: true });
    }
    for (const run of this.#listOpen(...WAITING))
      if (mayGoOn(run, this.services)) this.start(run, { isRestarted: true });
    const broken = this.services.events.listBroken().flatMap((id) => store.find("run", id) ?? []);
    for (const run of broken) if (!this.#live.has(run.id)) lifetime.waitUntil(this.#endStream(run));
  }

  /** Ends the stream of a run that has ended, or waits, where a restart has come before its last event. */
  async #endStream(run: Run): Promise<void> {
    const { events } = this.services;
    const last = await this.#lastEvent(run);
    events.open(run, { isRestarted: true });
    events.emit(run, last);
    events.close(run);
  }

  /** What a run's stream ends with. */
  async #lastEvent(run: Run): Promise<RunEvent> {
    if (isWaiting(run) && run.status !== "interrupted")
      return { type: "run.waiting", status: run.status, open: openOf(run, this.services.store) };
    return { type: `run.${run.status}`, run: await this.show(run) };
  }

  /** To be called by the alarm. Goes on with waiting runs of which something is overdue, and schedules the next time. */
  wake(): void {
    const { lifetime, notifier, state } = this.services;
    const now = lifetime.now();
    notifier.send(state.session.row.org);
    if (this.areRunning) {
      this.#schedule(HEARTBEAT_MS);
      lifetime.waitUntil(notifier.refresh(state.session.row.org));
    }
    for (const run of this.#listOpen(...WAITING)) {
      const due = nextDueOf(run, this.services.store);
      if (hasDueTasks(run, this.services)) lifetime.waitUntil(this.#pollTasks(run));
      else if (due <= now || mayGoOn(run, this.services)) this.start(run);
      else if (due < Infinity) this.#schedule(due - now);
    }
  }

  /** Goes on with a waiting run if one of its tasks has ended or asks people, or else has them polled again. */
  async #pollTasks(run: Run): Promise<void> {
    const { lifetime, store } = this.services;
    if (await pollTasks(run, this.definitionOf(run), this.services)) return this.start(run);
    const due = nextDueOf(run, store);
    if (isWaiting(run) && due < Infinity) this.#schedule(Math.max(0, due - lifetime.now()));
  }

  async #run(live: LiveRun, form: StepForm): Promise<void> {
    const { store, lifetime, notifier } = this.services;
    const { run, definition, controller } = live;
    let release: (() => void) | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let error: GatewayError | undefined;
    try {
      await Promise.all([notifier.refresh(run.org), loadPatterns(definition.tools)]);
      if (!form.isInCall) release = await this.#acquire(live);
      run.status = "running";
      run.runningSince = lifetime.now();
      store.put("run", run);
      const remaining = Math.max(0, definition.limits.timeout_ms - run.ranMs);
      timer = setTimeout(() => {
        live.stop ??= "timeout";
        controller.abort(STOPPED);
      }, remaining);
      await new RunLoop(live, form, this.services).drive();
      await this.#afterDrive(live, form);
    } catch (thrown) {
      error = toGatewayError(thrown);
      await this.#fail(live, thrown);
    } finally {
      clearTimeout(timer);
      this.#live.delete(run.id);
      await form.onEnd?.(error).catch((cause: unknown) => toRunError(run.id, cause));
      release?.();
      // What has come while the loop was about to wait.
      const isParked = live.stop === undefined && WAITING.some((status) => status === run.status);
      if (isParked && mayGoOn(run, this.services)) this.start(run);
    }
  }

  async #acquire({ run, controller }: LiveRun): Promise<() => void> {
    const release = await this.services.state.lease.acquireClaimed(controller.signal);
    const other = this.#listOpen(...CLAIMING).find((one) => one.id !== run.id && isWaiting(one));
    if (other === undefined) return release;
    release();
    throw busyWith(other);
  }

  async #afterDrive({ run, stop }: LiveRun, form: StepForm): Promise<void> {
    const { events, store, lifetime } = this.services;
    this.#countTime(run);
    if (stop === "timeout" && !hasEnded(run))
      return await this.#finish(run, { status: "completed", stopReason: "timeout" });
    if (stop !== undefined && !hasEnded(run)) return store.put("run", run);
    if (hasEnded(run)) return await this.#finish(run, {}, await form.lastTurn?.());
    await lifetime.durable();
    events.emit(run, await this.#lastEvent(run));
    store.put("run", run);
    events.close(run);
    const due = nextDueOf(run, this.services.store);
    if (due < Infinity) this.#schedule(Math.max(0, due - lifetime.now()));
  }

  async #fail({ run, stop }: LiveRun, thrown: unknown): Promise<void> {
    this.#countTime(run);
    if (stop === "cancel" || stop === "interrupt") return;
    const error = toRunError(run.id, thrown);
    const stopReason = error.code === "safety.policy_denied" ? "safety_blocked" : "error";
    await this.#finish(run, { status: "failed", stopReason, error }).catch((cause: unknown) =>
      toRunError(run.id, cause),
    );
  }

  #countTime(run: Run): void {
    if (run.runningSince === undefined) return;
    run.ranMs += this.services.lifetime.now() - run.runningSince;
    delete run.runningSince;
  }

  /** Ends a run, durably, and then sends its last event. `last`: the answer to the client of a call, as its session gets it. */
  async #finish(
    run: Run,
    ending: Partial<Pick<Run, "status" | "stopReason" | "error">>,
    last?: LastTurn,
  ): Promise<void> {
    const { store, state, lifetime, events } = this.services;
    const settled = settleStep(run, this.services);
    if (run.clientCall === undefined) keepResults(run, { state, now: lifetime.now() });
    else keepResultsBehind(run, last, this.services);
    Object.assign(run, ending);
    run.endedAt ??= lifetime.now();
    store.put("run", run);
    await lifetime.durable();
    this.#tell(run, ...settled, await this.#lastEvent(run));
    store.put("run", run);
    events.close(run);
    this.#known.delete(run.id);
  }

  /** A run as the API returns it, with its own key's values in the place of their tags. */
  async show(run: Run, viewer: Pick<Caller, "org" | "keyId"> = run): Promise<JsonObject> {
    const open = isWaiting(run) ? openOf(run, this.services.store) : [];
    return await showRun(run, { ...this.definitionOf(run), open }, viewer, this.services);
  }
}

const frozenId = (run: string): string => `${run}/frozen`;
