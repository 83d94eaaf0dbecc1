import { GatewayError, toGatewayError } from "../canonical/error.ts";
import { logInternalError } from "../canonical/log-internal-error.ts";
import { textOfBlocks } from "../canonical/text.ts";
import type { ModelResponse, ToolCall } from "../canonical/types.ts";
import { sumUsage } from "../canonical/usage.ts";
import { sha256 } from "../wire/hash.ts";
import { stringifyMember } from "../wire/json.ts";
import { sleep } from "../wire/time.ts";
import { approvedIn, type Batch, planBatch, toolCallsOf } from "./batch.ts";
import { toResultBlocks } from "./call-results.ts";
import { callModel, RunCostReached } from "./model-call.ts";
import { findHold, type HeldText, isHeldBack, RunGates } from "./run-gates.ts";
import { findLimit, refusalOf } from "./run-limits.ts";
import { toCompleted, toToolCall } from "./run-views.ts";
import type { RunServices } from "./services.ts";
import {
  type Execution,
  type ExecutionStatus,
  isSettled,
  lastTurnOf,
  type LiveRun,
  type Run,
  type Step,
  stepIdOf,
  type StopReason,
} from "./state/run.ts";
import { stopsAfter, stopsAtText } from "./state/stop-condition.ts";
import { namesOf, type RunTool } from "./state/tool.ts";
import { needsClient } from "./steps/shown-calls.ts";
import type { StepForm, StepReply } from "./steps/step-form.ts";
import { ToolRunner } from "./tool-runner.ts";
import { commitStep } from "./unfinished.ts";

/** Executions that go on when a person has decided. */
const NEEDS_PERSON: ReadonlySet<ExecutionStatus> = new Set(["awaiting_approval", "awaiting_input", "unknown"]);
/** Starts of a run after which nothing has moved. */
const MAX_STALLS = 5;

/**
 * Drives one run: calls the model, executes what it calls, and so on until it ends or waits. What to do next follows from the rows alone,
 * so that a run goes on after a restart as if it had just come there.
 */
export class RunLoop {
  readonly #live: LiveRun;
  readonly #services: RunServices;
  readonly #gates: RunGates;
  readonly #tools: ToolRunner;
  readonly #form: StepForm;

  constructor(live: LiveRun, form: StepForm, services: RunServices) {
    this.#live = live;
    this.#form = form;
    this.#services = services;
    this.#gates = new RunGates(live, services);
    this.#tools = new ToolRunner(live, services, this.#gates);
  }

  get #run(): Run {
    return this.#live.run;
  }

  /** Resolves where the run has ended, waits, or is to be stopped (`live.stop`). Rejects with the error that ends it. */
  async drive(): Promise<void> {
    const { store } = this.#services;
    if (this.#run.stalls >= MAX_STALLS)
      throw new GatewayError("internal", `the run was started ${MAX_STALLS} times without getting any further`);
    this.#announceFirst();
    while (this.#run.status === "running" && this.#live.stop === undefined) {
      const step = store.lastStep(this.#run.id);
      if (step?.status === "tools") await this.#advanceBatch(step);
      else if (step?.status === "committed" && this.#live.definition.isToolCall) this.#end("completed", "end_turn");
      // The model has called tools in the step in which it had to answer, or one again and again.
      else if (step?.status === "committed" && step.limit !== undefined) this.#end("completed", step.limit);
      else await this.#takeStep(step?.status === "calling" ? step.n : this.#run.step + 1);
    }
  }

  /** Calls the model. Its reply ends the run, or is a batch of calls. */
  async #takeStep(n: number): Promise<void> {
    const { store, events, authenticate } = this.#services;
    const run = this.#run;
    const { definition, controller } = this.#live;
    const limit = findLimit(run, n, definition);
    if (limit !== undefined && run.step > 0 && this.#gates.asksForMore(limit))
      return this.#pause("waiting_for_approval");
    const digest = sha256(`${n}\n${run.input}`);
    const hold = findHold(run, digest, store);
    if (hold !== undefined && !this.#gates.hasPassed(hold)) return this.#pause("waiting_for_approval");
    const caller = this.#live.caller ?? (await authenticate(run));
    run.step = n;
    const step: Step = {
      id: stepIdOf(run.id, n),
      run: run.id,
      revision: 0,
      n,
      status: "calling",
      ...(limit && { limit }),
    };
    let failure: GatewayError | undefined;
    let held: HeldText | undefined;
    await callModel(
      {
        run,
        definition,
        form: this.#form,
        caller,
        isLast: limit !== undefined,
        isApproved: hold !== undefined,
        signal: controller.signal,
      },
      {
        onStart: (call) => {
          step.call = call;
          store.put("step", step);
          store.put("run", run);
          events.emit(run, { type: "step.started", step: n, call_id: call });
        },
        onEvent: ({ type, event_id: _, call_id: __, ...event }) => {
          events.emit(run, { type: stringifyMember(type), step: n, ...event });
        },
        onAnswer: (reply) => this.#onAnswer(step, reply),
        onFailure: (record, error, messages) => {
          const partial = textOfBlocks(messages.flatMap(({ blocks }) => blocks));
          failure = error;
          if (error.code === "safety.policy_denied" && isHeldBack(record.safety))
            held = { digest, safety: record.safety };
          addUse(run, record.usage, record.costMicrosUsd);
          if (partial !== "") step.partial = partial;
          this.#services.state.session.fail(record, undefined, undefined, () => {
            store.put("step", step);
            store.put("run", run);
          });
          this.#form.onFailure?.(record);
        },
      },
      this.#services,
    );
    if (this.#live.stop !== undefined) return;
    if (failure !== undefined) return this.#onFailure(failure, held);
    // A call that ended without a record: its failure could not be stored.
    if (step.status === "calling") throw new GatewayError("internal", "the call of the run could not be stored");
    if (step.status === "tools") this.#announce(step);
  }

  /** A call that has failed ends the run, unless a person may let it go on. `held`: what the shield leaves to one. */
  #onFailure(failure: GatewayError, held: HeldText | undefined): void {
    if (failure instanceof RunCostReached) {
      const isPut = failure.isRaisable && this.#gates.asksForMore("max_cost");
      return isPut ? this.#pause("waiting_for_approval") : this.#end("completed", "max_cost");
    }
    if (held === undefined) throw failure;
    this.#gates.hold(held);
    this.#pause("waiting_for_approval");
  }

  /**
   * The reply of a step: it ends the run, unless all its calls are the run's to have executed. Beside calls of the client's, and where one
   * waits for the client's approval, those are made when the client goes on.
   */
  async #onAnswer(step: Step, reply: StepReply): Promise<void> {
    const { store, state } = this.#services;
    const run = this.#run;
    const { record, completed, answer } = reply;
    const { messages, finish } = answer.response;
    const calls = toolCallsOf(answer.response);
    const own = calls.filter((call) => !this.#form.isClients(call));
    const batch = this.#planBatch(step, own, refusalOf(finish.reason === "length", step.limit));
    const unapproved = batch.executions.filter((one) => needsClient(one, this.#live.definition));
    const isEnd = stopsAtText(this.#live.definition.stop ?? [], textOfBlocks(messages.flatMap(({ blocks }) => blocks)));
    addUse(run, record.usage, record.costMicrosUsd);
    if (completed.instructions !== undefined) step.instructions = completed.instructions;
    if (answer.response.id !== "") step.answerId = answer.response.id;
    if (own.length === 0 || own.length < calls.length || unapproved.length > 0) {
      this.#form.asksFor?.(unapproved);
      if (unapproved.length > 0) step.approvals = unapproved.map(({ call }) => call);
      const turnId = lastTurnOf(run);
      step.status = "committed";
      if (turnId !== undefined) step.turnId = turnId;
      run.turns++;
      return await this.#form.commit(reply, () => {
        store.put("step", step);
        this.#end("completed", step.limit ?? (isEnd ? "stop_condition" : toStopReason(answer.response)));
      });
    }
    step.status = "tools";
    step.turn = this.#form.toTurn(reply);
    if (isEnd) step.limit = "stop_condition";
    if (batch.isStuck) step.limit = "stop_condition";
    run.toolCalls += own.length;
    state.session.fail({ ...record, turnId: step.turn.id }, undefined, undefined, () => {
      for (const execution of batch.executions) store.put("execution", execution);
      for (const checkpoint of batch.checkpoints) store.put("checkpoint", checkpoint);
      store.put("step", step);
      store.put("run", run);
    });
  }

  #planBatch({ n }: Step, calls: readonly ToolCall[], refusal: string | undefined): Batch {
    const { store, state } = this.#services;
    return planBatch(this.#run, calls, {
      definition: this.#live.definition,
      step: n,
      earlier: store.listExecutions(this.#run.id),
      isApproved: approvedIn(store.listOf("checkpoint", this.#run.id)),
      now: this.#now,
      objectId: state.objectId,
      refusal,
    });
  }

  /** Announces the batch with which a run starts. */
  #announceFirst(): void {
    const step = this.#services.store.lastStep(this.#run.id);
    if (step?.n === 0 && step.status === "tools" && this.#run.stalls === 0) this.#announce(step);
  }

  /** Announces a batch, once that is durable. */
  #announce({ n }: Step): void {
    const { store, events } = this.#services;
    const run = this.#run;
    for (const execution of store.listExecutions(run.id, n)) {
      if (execution.status === "awaiting_client")
        events.emit(run, toToolCall(execution, this.#services.restore(execution, run)));
      if (isSettled(execution)) events.emit(run, toCompleted(execution));
    }
    for (const checkpoint of store.listOf("checkpoint", run.id))
      if (checkpoint.status === "open" && checkpoint.kind === "approval") this.#services.announce(run, checkpoint);
  }

  /** Executes what may be executed of a batch; commits it when all of it has results; or else lets the run wait. */
  async #advanceBatch(step: Step): Promise<void> {
    const { store } = this.#services;
    const { run, definition } = this.#live;
    this.#gates.expire(store.listExecutions(run.id, step.n));
    const executions = store.listExecutions(run.id, step.n);
    const ready = executions.filter(({ status }) => status === "ready");
    if (ready.length > 0) return await this.#tools.execute(ready);
    const polling = executions.filter(({ status }) => status === "polling");
    const due = polling.filter(({ dueAt = 0 }) => dueAt <= this.#now);
    if (due.length > 0) return await this.#tools.poll(due);
    if (executions.every(isSettled)) return this.#commitPassed(step, executions);
    const open = executions.filter((one) => !isSettled(one) && one.status !== "polling");
    if (open.length > 0 && ((await this.#gates.waitsUnattended(open)) || this.#gates.settlesUnattended(open))) return;
    this.#gates.askAboutUnknown(executions);
    const isShort = polling.some(({ startedAt = 0 }) => this.#now - startedAt < definition.limits.tool_timeout_ms);
    // A short task is waited for here, as each of a run whose client waits: to it the run is still running.
    const isWaitedFor = isShort || definition.client !== undefined;
    if (isWaitedFor && open.length === 0)
      return await this.#sleepUntil(Math.min(...polling.map(({ dueAt = 0 }) => dueAt)));
    this.#wait(store.listExecutions(run.id, step.n));
  }

  /** Resolves at a time, or when the run is to be stopped. */
  async #sleepUntil(at: number): Promise<void> {
    await sleep(Math.max(0, at - this.#now), this.#live.controller.signal).catch(() => {});
  }

  /** Commits a batch, when a person has let pass what is held back of its results. */
  #commitPassed(step: Step, executions: readonly Execution[]): void {
    const { safety } = executions.find((one) => isHeldBack(one.safety)) ?? {};
    if (safety === undefined) return this.#commit(step, executions);
    const digest = sha256(`${step.n}\n${JSON.stringify(toResultBlocks(executions))}`);
    const hold = findHold(this.#run, digest, this.#services.store);
    if (hold !== undefined && this.#gates.hasPassed(hold)) return this.#commit(step, executions);
    if (hold === undefined) this.#gates.hold({ digest, safety });
    this.#pause("waiting_for_approval");
  }

  #commit(step: Step, executions: readonly Execution[]): void {
    const run = this.#run;
    run.stalls = 0;
    const { stop = [], tools } = this.#live.definition;
    const isEnd =
      step.n > 0 &&
      stopsAfter(
        stop,
        executions.map((one) => withNames(one, tools)),
      );
    const ended: Step = isEnd ? { ...step, limit: "stop_condition" } : step;
    commitStep(run, ended, executions, this.#services);
    this.#form.showResults?.(executions);
    this.#services.events.emit(run, {
      type: "step.completed",
      step: step.n,
      ...(step.turn && { turn_id: step.turn.id }),
      cost_micros_usd: run.costMicros,
    });
  }

  #wait(executions: readonly Execution[]): void {
    const needsPerson = executions.some(({ status }) => NEEDS_PERSON.has(status));
    this.#pause(needsPerson ? "waiting_for_approval" : "waiting_for_tool");
  }

  #pause(status: Run["status"]): void {
    const run = this.#run;
    run.status = status;
    this.#services.store.put("run", run);
  }

  #end(status: Run["status"], reason: StopReason): void {
    const run = this.#run;
    run.status = status;
    run.stopReason = reason;
    run.stalls = 0;
    run.endedAt = this.#now;
    this.#services.store.put("run", run);
  }

  get #now(): number {
    return this.#services.lifetime.now();
  }
}

/** An execution with the names by which rules find its tool. */
function withNames({ name, status }: Execution, tools: readonly RunTool[]): { names: string[]; status: string } {
  const tool = tools.find((one) => one.name === name);
  return { names: tool === undefined ? [name] : namesOf(tool), status };
}

const toStopReason = ({ finish }: ModelResponse): StopReason =>
  finish.reason === "length" ? "max_tokens" : "end_turn";

function addUse(run: Run, usage: Run["usage"], cost: number | undefined): void {
  run.usage = sumUsage(run.usage, usage);
  run.costMicros += cost ?? 0;
}

/** The error of a run that has stopped by one, for its row. The cause goes to the log only. */
export function toRunError(id: string, thrown: unknown): NonNullable<Run["error"]> {
  const { code, message, cause } = toGatewayError(thrown);
  if (code === "internal") logInternalError(id, cause ?? thrown);
  return { code, message };
}
