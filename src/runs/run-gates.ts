import { GatewayError } from "../canonical/error.ts";
import type { McpQuestion } from "../mcp/messages.ts";
import { type Disposition, severestOf } from "../shield/profile.ts";
import type { SafetyRecord } from "../store/records.ts";
import { isObject } from "../wire/json.ts";
import { UNATTENDED } from "./batch.ts";
import { settleExecution } from "./call-results.ts";
import { toCompleted } from "./run-views.ts";
import type { RunServices } from "./services.ts";
import { toExecutionBinding, openCheckpoint } from "./state/checkpoint.ts";
import type { RunDefinition } from "./state/definition.ts";
import type { RunStore } from "./state/run-store.ts";
import {
  type Execution,
  type ExecutionStatus,
  isSettled,
  type LiveRun,
  type Run,
  type RunCheckpoint,
  type StopReason,
} from "./state/run.ts";

/** How long a run waits for people while its client waits for it. Milliseconds. */
const UNATTENDED_MS = 60_000;

/** Where a run waits for a person, or for its client: what is put to them, and what follows when they take too long. */
export class RunGates {
  readonly #live: LiveRun;
  readonly #services: RunServices;

  constructor(live: LiveRun, services: RunServices) {
    this.#live = live;
    this.#services = services;
  }

  get #run(): Run {
    return this.#live.run;
  }

  get #now(): number {
    return this.#services.lifetime.now();
  }

  /** What a new checkpoint gets its id and times from. */
  get #stamp(): { now: number; objectId: string } {
    return { now: this.#now, objectId: this.#services.state.objectId };
  }

  /** Whether a person can be reached at all: the client of a call waits for its answer. */
  get #isAttended(): boolean {
    return this.#live.definition.client === undefined;
  }

  /** Puts to a person what the shield holds back. Throws `safety.policy_denied` where none can be reached. */
  hold({ digest, safety }: HeldText): void {
    if (!this.#isAttended)
      throw new GatewayError(
        "safety.policy_denied",
        "the safety profile leaves it to a person, and none can be reached from here",
      );
    this.#open({ kind: "safety", bound: { digest }, safety });
  }

  #open(opened: Parameters<typeof openCheckpoint>[1]): void {
    const checkpoint = openCheckpoint(this.#run, opened, this.#stamp);
    this.#services.store.put("checkpoint", checkpoint);
    this.#services.announce(this.#run, checkpoint);
  }

  /** Whether a person has let it pass; false: the run waits for that. Throws `safety.policy_denied` if none does. */
  hasPassed(hold: RunCheckpoint): boolean {
    if (hold.status === "approved") return true;
    if (hold.status !== "open") throw heldError(hold);
    if (hold.expiresAt > this.#now) return false;
    this.#services.store.put("checkpoint", { ...hold, status: "expired" });
    this.#services.events.emit(this.#run, { type: "checkpoint.resolved", id: hold.id, status: "expired" });
    throw heldError(hold);
  }

  /** A limit is reached: a person decides whether the run may have as much again; false: none is to, or none has in time. */
  asksForMore(limit: StopReason): boolean {
    const { store, events } = this.#services;
    const { run, definition } = this.#live;
    const now = this.#now;
    if (definition.limits.on_limit !== "checkpoint") return false;
    const earlier = store.listOf("checkpoint", run.id).filter(({ kind }) => kind === "limit");
    if (earlier.some(({ status }) => status === "expired")) return false;
    const open = earlier.find(({ status }) => status === "open");
    if (open !== undefined && open.expiresAt <= now) {
      store.put("checkpoint", { ...open, status: "expired" });
      events.emit(run, { type: "checkpoint.resolved", id: open.id, status: "expired" });
      return false;
    }
    if (open === undefined) this.#open({ kind: "limit", bound: { tool: limit } });
    return true;
  }

  /** Puts to a person what became of executions of which that is not known. */
  askAboutUnknown(executions: readonly Execution[]): void {
    const { store } = this.#services;
    const run = this.#run;
    const open = new Set(
      store.listOf("checkpoint", run.id).flatMap(({ status, execution }) => (status === "open" ? [execution] : [])),
    );
    for (const execution of executions) {
      if (execution.status !== "unknown" || open.has(execution.id)) continue;
      this.#open({ kind: "unknown", ...toExecutionBinding(execution, this.#live.definition) });
    }
  }

  /** For how long people are waited for while a client waits for its answer. Milliseconds; undefined: as long as for any other run. */
  get unattendedMs(): number | undefined {
    if (this.#isAttended) return undefined;
    return this.#live.definition.unattended === "wait" ? UNATTENDED_MS : 0;
  }

  /** Waits for people while a client waits for its answer, for a short time; false: they are not waited for, or not any longer. */
  async waitsUnattended(executions: readonly Execution[]): Promise<boolean> {
    const { run, controller } = this.#live;
    const { unattendedMs = 0 } = this;
    if (unattendedMs === 0) return false;
    const checkpoints = listOpen(run, executions, this.#services.store);
    const leftMs = Math.min(...checkpoints.map(({ createdAt }) => createdAt)) + unattendedMs - this.#now;
    if (checkpoints.length === 0 || leftMs <= 0) return false;
    const decided = new AbortController();
    const signal = AbortSignal.any([controller.signal, decided.signal]);
    await Promise.race(checkpoints.map(({ id }) => this.#services.questions.wait(id, leftMs, signal)));
    decided.abort();
    return true;
  }

  /** Settles what a run that answers a call cannot wait for. False: it is a run that waits. */
  settlesUnattended(executions: readonly Execution[]): boolean {
    if (this.#isAttended) return false;
    for (const execution of executions) {
      if (isSettled(execution) || execution.status === "polling") continue;
      if (execution.handle?.task !== undefined) this.#services.abandon(execution, this.#run);
      const isLate = this.unattendedMs !== 0 || execution.status === "unknown";
      const text = isLate ? toExpiredText(execution) : UNATTENDED;
      const settled = settleExecution(execution, { status: "denied", text, isError: true }, this.#now);
      this.#services.store.transact(() => {
        this.#services.store.put("execution", settled);
        for (const checkpoint of this.#checkpointsOf(execution.id))
          if (checkpoint.status === "open") this.close(checkpoint, "cancelled");
      });
      this.#services.events.emit(this.#run, toCompleted(settled));
    }
    return true;
  }

  /** The questions of a task that are not yet put to people: it repeats those that are open. */
  findNewQuestions({ id }: Execution, questions: readonly McpQuestion[]): McpQuestion[] {
    const known = new Set(this.#checkpointsOf(id).map(({ question }) => question?.key));
    return questions.filter(({ key }) => !known.has(key));
  }

  /** Puts questions of a server to people. `expiresMs`: how long the answers may take. */
  openQuestions(execution: Execution, questions: readonly McpQuestion[], expiresMs?: number): RunCheckpoint[] {
    const bound = toExecutionBinding(execution, this.#live.definition);
    const expires = expiresMs === undefined ? {} : { expiresSeconds: expiresMs / 1000 };
    return questions.map((question) => {
      const checkpoint = openCheckpoint(this.#run, { kind: "input", question, ...bound, ...expires }, this.#stamp);
      this.#services.store.put("checkpoint", checkpoint);
      return checkpoint;
    });
  }

  /** Announces the questions of an execution, once they are durable. */
  announceQuestions({ id }: Execution): void {
    for (const checkpoint of this.#checkpointsOf(id))
      if (checkpoint.kind === "input" && checkpoint.status === "open") this.#services.announce(this.#run, checkpoint);
  }

  /** Closes what an execution has put to people, where it goes on without their answers. */
  closeQuestions({ id }: Execution): void {
    for (const checkpoint of this.#checkpointsOf(id))
      if (checkpoint.kind === "input" && checkpoint.status === "open") this.close(checkpoint, "cancelled");
  }

  /** Closes a checkpoint about which no person has decided. */
  close(checkpoint: RunCheckpoint, status: "expired" | "cancelled"): void {
    this.#services.store.put("checkpoint", { ...checkpoint, status });
    this.#services.events.emit(this.#run, { type: "checkpoint.resolved", id: checkpoint.id, status });
  }

  #checkpointsOf(execution: string): RunCheckpoint[] {
    return this.#services.store.listOf("checkpoint", this.#run.id).filter((one) => one.execution === execution);
  }

  /** What has waited for too long. */
  expire(executions: readonly Execution[]): void {
    const { store, events } = this.#services;
    const now = this.#now;
    const open = store.listOf("checkpoint", this.#run.id).filter(({ status }) => status === "open");
    for (const execution of executions.filter((one) => !isSettled(one))) {
      const checkpoints = open.filter((one) => one.execution === execution.id);
      const isLate = execution.status === "awaiting_client" && (execution.dueAt ?? Infinity) <= now;
      const isExpired = checkpoints.some(({ expiresAt }) => expiresAt <= now);
      if (!isLate && !isExpired) continue;
      if (isLate) requireOptional(execution, this.#live.definition);
      const settled = isLate
        ? settleExecution(
            execution,
            { status: "timed_out", text: "The client gave no result in time.", isError: true },
            now,
          )
        : settleExecution(execution, { status: "expired", text: toExpiredText(execution), isError: true }, now);
      if (execution.handle?.task !== undefined) this.#services.abandon(execution, this.#run);
      store.transact(() => {
        store.put("execution", settled);
        for (const checkpoint of checkpoints) this.close(checkpoint, "expired");
      });
      events.emit(this.#run, toCompleted(settled));
    }
  }
}

/** Throws `provider.timeout` if a run is to end where a client gives no result in time. */
function requireOptional({ name, call }: Execution, { tools }: RunDefinition): void {
  const tool = tools.find((one) => one.name === name);
  if (tool?.type === "function" && tool.on_timeout === "fail")
    throw new GatewayError("provider.timeout", `the client gave no result for the call ${call} of ${name} in time`);
}

/** What the model is shown of a call about which no person has decided in time. */
const toExpiredText = ({ status }: Execution): string =>
  status === "unknown"
    ? "Whether this call has been made is not known."
    : status === "awaiting_input"
      ? "This call was not completed: its server needs an answer of a person, and none came in time."
      : "The approval of this call has expired: no person decided in time, so that it was not made.";

/** Whether the shield leaves it to a person, and to nothing else, whether something passes. */
export const isHeldBack = (safety: SafetyRecord | undefined): safety is SafetyRecord =>
  safety?.mode === "enforce" &&
  severestOf(safety.decisions.map(({ disposition }) => disposition as Disposition)) === "checkpoint";

/** What is held back: by the digest of the text that was looked at, with what was found in it. */
export type HeldText = { digest: string; safety: SafetyRecord };

/** The checkpoint for a text with this digest; undefined: nothing of it was held back. */
export const findHold = (run: Run, digest: string, store: RunStore): RunCheckpoint | undefined =>
  store.listOf("checkpoint", run.id).find(({ kind, bound }) => kind === "safety" && bound.digest === digest);

/** The error of a run in which no person lets pass what the shield has held back. */
export const heldError = ({ id }: RunCheckpoint): GatewayError =>
  new GatewayError("safety.policy_denied", `no person has let pass what the safety profile holds back (${id})`);

const OPEN: ReadonlySet<ExecutionStatus> = new Set([
  "awaiting_client",
  "awaiting_approval",
  "awaiting_input",
  "polling",
  "unknown",
]);

/** Whether an execution can go on now. */
const isReady = ({ status, dueAt = 0 }: Execution, now: number): boolean =>
  status === "ready" ? true : status === "polling" && dueAt <= now;

/** Whether a waiting run has something to do. */
export function mayGoOn(run: Run, { store, lifetime }: Pick<RunServices, "store" | "lifetime">): boolean {
  const executions = store.listExecutions(run.id, run.step);
  const checkpoints = store.listOf("checkpoint", run.id);
  const isHeld = checkpoints.some(({ execution, status }) => execution === undefined && status === "open");
  return (
    !isHeld &&
    (executions.some((one) => isReady(one, lifetime.now())) || executions.every(({ status }) => !OPEN.has(status)))
  );
}

/** When the first of what a waiting run waits for is overdue. Unix milliseconds; Infinity: never. */
export function nextDueOf(run: Run, store: RunStore): number {
  const executions = store.listExecutions(run.id, run.step);
  const dues = executions.flatMap(({ status, dueAt = Infinity }) =>
    status === "awaiting_client" || status === "polling" ? [dueAt] : [],
  );
  return Math.min(Infinity, ...dues, ...listOpen(run, executions, store).map(({ expiresAt }) => expiresAt));
}

/** The ids of what a run waits for: calls of the client's tools, and checkpoints. */
export function openOf(run: Run, store: RunStore): string[] {
  const executions = store.listExecutions(run.id, run.step);
  const waiting = executions.filter(({ status }) => status === "awaiting_client");
  return [...waiting, ...listOpen(run, executions, store)].map(({ id }) => id);
}

/** The open checkpoints that a run waits at: those of executions that go on, and those of the run itself. */
function listOpen(run: Run, executions: readonly Execution[], store: RunStore): RunCheckpoint[] {
  const goingOn = new Set(executions.flatMap((one) => (isSettled(one) ? [] : [one.id])));
  return store
    .listOf("checkpoint", run.id)
    .filter(({ status, execution }) => status === "open" && (execution === undefined || goingOn.has(execution)));
}

/** Whether a run, after a restart, answers a call that is to be cancelled when its client has left: its connection is lost. */
export function isLeft({ clientCall }: Run, { call: { rhone } }: RunDefinition): boolean {
  return clientCall !== undefined && isObject(rhone) && rhone.on_disconnect === "cancel";
}

export const busyWith = ({ id }: Pick<Run, "id">): GatewayError =>
  new GatewayError("session.busy", `the session belongs to the run ${id} until that has ended`, {
    retryAfterSeconds: 5,
    runId: id,
  });
