import { GatewayError, toGatewayError } from "../../canonical/error.ts";
import type { MergeOptions } from "../../canonical/step-merger.ts";
import { hashInput, hashReply, ROOT } from "../../canonical/turn-hash.ts";
import type { ModelResponse, Opaque, ToolCall } from "../../canonical/types.ts";
import type { Call } from "../../gateway/call/call.ts";
import { CANCELLED } from "../../gateway/call/stream-errors.ts";
import type { SessionHost } from "../../gateway/session/call-runs.ts";
import { prepareStoredAnswer, type StoredAnswer } from "../../gateway/session/stored-answers.ts";
import { toTurn } from "../../session/context.ts";
import type { CompletedTurn } from "../../session/session.ts";
import { findTurn, hasTurn, type Turn } from "../../session/turns.ts";
import type { CallRecord } from "../../store/records.ts";
import { type ParsedRequest, readOption } from "../../surfaces/request.ts";
import { newId } from "../../wire/id.ts";
import type { RunDefinition } from "../state/definition.ts";
import { type Execution, hasEnded, lastTurnOf, type Run } from "../state/run.ts";
import { AnswerSoFar } from "./answer-so-far.ts";
import { extendStep, restoreRequest } from "./answered-request.ts";
import { prepareLaterStep } from "./later-step.ts";
import { mergingOf } from "./merge-replies.ts";
import type { MergedAnswer } from "./merged-answer.ts";
import type { LastTurn, NextStep, StepCall, StepForm, StepReply, StepServices } from "./step-form.ts";

/** The client's call while it waits. `request`: as the client has sent it. */
export type WaitingCall = { call: Call; request: ParsedRequest; host: SessionHost; answer: MergedAnswer };

/**
 * The steps of a run that answers a call: the first is that call, and each later one is its request with the results of the one before
 * in the place of the messages. Only the last turn becomes the session's: its hashes are those of what the client sees.
 */
export class ClientSteps implements StepForm {
  readonly #run: Run;
  readonly #definition: RunDefinition;
  readonly #services: StepServices;
  readonly #waiting: WaitingCall | undefined;
  readonly #merging: MergeOptions;
  /** Undefined: it is in the session only. */
  #soFar: AnswerSoFar | undefined;
  /** Calls of the last reply that need the client's approval. */
  #unapproved: readonly Execution[] = [];
  #approvals: readonly Opaque[] = [];
  #last: CallRecord | undefined;
  /** The answer, where the call of a waiting client does not store it. */
  #stored: StoredAnswer | undefined;

  /** `waiting`: absent after a restart, as its client has lost its connection. */
  constructor(run: Run, definition: RunDefinition, services: StepServices, waiting?: WaitingCall) {
    this.#run = run;
    this.#definition = definition;
    this.#services = services;
    this.#waiting = waiting;
    this.#merging = mergingOf(definition);
    if (waiting === undefined) return;
    this.#soFar = new AnswerSoFar(run, definition);
    waiting.answer.insert(this.#soFar.opening);
  }

  showResults(executions: readonly Execution[]): void {
    const shown = this.#soFar?.showResults(executions) ?? [];
    this.#waiting?.answer.insert(shown);
  }

  asksFor(executions: readonly Execution[]): void {
    this.#unapproved = executions;
  }

  get isInCall(): boolean {
    return this.#waiting !== undefined;
  }

  isClients(call: ToolCall): boolean {
    return !this.#merging.isHidden(call);
  }

  async prepare(next: NextStep): Promise<StepCall> {
    await this.#readSoFar();
    if (this.#run.at === undefined) return this.#prepareFirst(next);
    const parts = { run: this.#run, definition: this.#definition, parent: this.#run.at };
    const { host, answer } = this.#waiting ?? {};
    return await prepareLaterStep(parts, next, { isSideBranch: host?.isSideBranch, receiver: answer }, this.#services);
  }

  #prepareFirst({ isLast }: NextStep): StepCall {
    // A restart has broken off the call before anything had come of it.
    if (this.#waiting === undefined)
      throw new GatewayError("stream.interrupted", "the call was interrupted before its first step had ended");
    const { call, request, host, answer } = this.#waiting;
    return {
      call: { ...call, runId: this.#run.id },
      request: extendStep(request, this.#definition, { isLast, isFirst: true }),
      shield: host.shield,
      start: host.store.start,
      receiver: answer,
    };
  }

  onFailure(record: CallRecord): void {
    this.#last = record;
  }

  toTurn({ record, completed, answer }: StepReply): Turn {
    this.#noteInput(completed);
    this.#soFar!.addReply(answer.response);
    this.#last = record;
    const isFirst = record.id === this.#run.clientCall;
    const id = isFirst ? { id: newId("turn", record.endedAt, this.#services.state.objectId) } : {};
    return toTurn(record, { ...completed, as: { kind: "step", ...id } });
  }

  /** What the client has sent ends before the first answer: the hashes of the last turn go on from there. */
  #noteInput({ context, requested }: CompletedTurn): void {
    this.#run.alias ??= hashInput(context.parent?.chain ?? ROOT, requested);
  }

  async commit({ record, completed, answer }: StepReply, also: () => void): Promise<void> {
    this.#noteInput(completed);
    const { response } = answer;
    this.#soFar!.addReply(response);
    this.#approvals = this.#soFar!.showApprovals(this.#unapproved);
    this.#last = record;
    const { merged } = this.#soFar!;
    const isSeenAsMade = this.#run.turns === 1 && !response.messages.some((one) => this.#hidesIn(one));
    const { isHidden } = this.#merging;
    const turn = isSeenAsMade ? completed : { ...completed, as: { ...this.#toAlias(merged), isHidden } };
    const ofTurn = { ...record, turnId: lastTurnOf(this.#run)! };
    if (this.#waiting === undefined) {
      this.#stored = this.#prepareStored(merged);
      const { write } = this.#stored;
      return void this.#services.state.session.commit(ofTurn, turn, undefined, () => {
        write();
        also();
      });
    }
    const { host, answer: shown } = this.#waiting;
    const answered = { turn, response: merged, reply: shown.reply, total: this.#totalOf(record) };
    await host.store.commitTurn(ofTurn, answered, also);
  }

  #totalOf({ costMicrosUsd }: CallRecord): Pick<CallRecord, "usage" | "costMicrosUsd"> {
    const { usage, costMicros } = this.#run;
    return { usage, ...(costMicrosUsd !== undefined && { costMicrosUsd: costMicros }) };
  }

  #hidesIn({ blocks }: ModelResponse["messages"][number]): boolean {
    return blocks.some((block) => block.kind === "tool_call" && this.#merging.isHidden(block));
  }

  #toAlias({ messages }: ModelResponse): Omit<LastTurn, "write"> {
    return { id: lastTurnOf(this.#run)!, hashes: hashReply(this.#run.alias!, messages) };
  }

  async lastTurn(): Promise<LastTurn | undefined> {
    if (!this.#endsWithAnswer || this.#run.turns === 0 || hasTurn(this.#services.state.sql, lastTurnOf(this.#run)!))
      return undefined;
    const { merged } = await this.#readSoFar();
    this.#stored = this.#prepareStored(merged);
    return { ...this.#toAlias(merged), write: this.#stored.write };
  }

  async #readSoFar(): Promise<AnswerSoFar> {
    return (this.#soFar ??= await AnswerSoFar.read(this.#run, this.#definition, this.#services));
  }

  /** What the client can retrieve later of the answer. */
  #prepareStored(response: ModelResponse): StoredAnswer {
    const { state, index } = this.#services;
    const { clientCall, org } = this.#run;
    const { isStored } = this.#definition.client!;
    const { request, reply } =
      this.#waiting === undefined
        ? restoreRequest(this.#run, this.#definition, this.#services)
        : { request: this.#waiting.request, reply: this.#waiting.answer.reply };
    const background = readOption(request, "background") === true;
    const responses = isStored === true ? { stored: true, background } : undefined;
    return prepareStoredAnswer(
      { id: clientCall!, org, state: responses, request, response, reply },
      { sql: state.sql, index },
    );
  }

  /** Whether the run has ended with what its client gets as an answer. */
  get #endsWithAnswer(): boolean {
    const { status, stopReason } = this.#run;
    return status === "completed" && stopReason !== "max_cost" && stopReason !== "timeout";
  }

  async onEnd(thrown: GatewayError | undefined): Promise<void> {
    const error = thrown ?? (await this.#publish().then(() => undefined, toGatewayError));
    if (this.#waiting === undefined) return;
    const { answer } = this.#waiting;
    const isAnswered = this.#endsWithAnswer && this.#last !== undefined && error === undefined;
    if (isAnswered) answer.insert(this.#approvals);
    if (isAnswered) return await answer.end(this.#last!, this.#run.costMicros);
    const cause = error ?? toEndError(this.#run);
    try {
      await this.#storeFailure(cause, this.#waiting);
    } finally {
      await answer.fail(cause);
    }
  }

  /** Does what follows the turn of an answer that was stored here. */
  async #publish(): Promise<void> {
    const stored = this.#stored;
    if (stored === undefined) return;
    const turn = findTurn(this.#services.state.sql, lastTurnOf(this.#run)!);
    const record = this.#last;
    if (this.#waiting === undefined || turn === undefined || record === undefined) return void (await stored.publish());
    const { store } = this.#waiting.host;
    await store.afterCommit({ ...record, turnId: turn.id }, { turn, total: this.#totalOf(record), stored });
  }

  async #storeFailure(cause: GatewayError, { host, answer }: WaitingCall): Promise<void> {
    if (this.#last === undefined || hasTurn(this.#services.state.sql, lastTurnOf(this.#run)!)) return;
    const { code, message, status } = cause;
    const record = { ...this.#last, status: "failed" as const, error: { code, message, status } };
    await host.store.failAnswer(record, cause, answer.partial);
  }
}

/** Why a run without an error has no answer. */
function toEndError(run: Run): GatewayError {
  if (!hasEnded(run) || run.status === "cancelled") return CANCELLED;
  return run.stopReason === "timeout"
    ? new GatewayError("provider.timeout", "the run's limit of time is reached (timeout_ms)")
    : new GatewayError("budget.exceeded", "the run's limit of cost is reached (max_cost_micros_usd)");
}
