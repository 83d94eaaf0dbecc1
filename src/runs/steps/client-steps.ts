import { GatewayError } from "../../canonical/error.ts";
import { hashInput, hashReply, ROOT } from "../../canonical/turn-hash.ts";
import type { ModelResponse, ToolCall } from "../../canonical/types.ts";
import type { Call } from "../../gateway/call/call.ts";
import { CANCELLED } from "../../gateway/call/stream-errors.ts";
import type { SessionHost } from "../../gateway/session/call-runs.ts";
import { continueSession } from "../../gateway/session/placement.ts";
import { screenText } from "../../gateway/shield/screen-text.ts";
import { toTurn } from "../../session/context.ts";
import { decodeItems } from "../../session/history/decode.ts";
import { inlineAll } from "../../session/large-strings.ts";
import type { CompletedTurn } from "../../session/session.ts";
import { hasTurn, type Turn } from "../../session/turns.ts";
import type { CallRecord } from "../../store/records.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { type ParsedRequest, parseRequest } from "../../surfaces/request.ts";
import { newId } from "../../wire/id.ts";
import type { RunDefinition } from "../state/definition.ts";
import { hasEnded, lastTurnOf, movesHead, type Run } from "../state/run.ts";
import { extendStep, toStepText } from "./answered-request.ts";
import { gapOf, isOwnCall, mergeReplies, type MergeOptions } from "./merge-replies.ts";
import type { MergedAnswer } from "./merged-answer.ts";
import type { ModelCallServices, NextStep, StepCall, StepForm, StepReply } from "./step-form.ts";

/** The client's call while it waits. `request`: as the client has sent it. */
export type WaitingCall = { call: Call; request: ParsedRequest; host: SessionHost; answer: MergedAnswer };

/**
 * The steps of a run that answers a call: the first is that call, and each later one is its request with the results of the one before
 * in the place of the messages. Only the last turn becomes the session's: its hashes are those of what the client sees.
 */
export class ClientSteps implements StepForm {
  readonly #run: Run;
  readonly #definition: RunDefinition;
  readonly #services: ModelCallServices;
  readonly #waiting: WaitingCall | undefined;
  readonly #merging: MergeOptions;
  /** The answers of the steps so far; undefined: they are in the session only. */
  #replies: ModelResponse[] | undefined;
  #last: CallRecord | undefined;

  /** `waiting`: absent after a restart, as its client has lost its connection. */
  constructor(run: Run, definition: RunDefinition, services: ModelCallServices, waiting?: WaitingCall) {
    this.#run = run;
    this.#definition = definition;
    this.#services = services;
    this.#waiting = waiting;
    this.#merging = mergingOf(definition);
    if (waiting !== undefined) this.#replies = [];
  }

  get isInCall(): boolean {
    return this.#waiting !== undefined;
  }

  isClients(call: ToolCall): boolean {
    return !this.#merging.isHidden(call);
  }

  async prepare(next: NextStep): Promise<StepCall> {
    this.#replies ??= await this.#readReplies();
    return this.#run.at === undefined ? this.#prepareFirst(next) : await this.#prepareNext(this.#run.at, next);
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

  async #prepareNext(parent: string, { caller, isLast }: NextStep): Promise<StepCall> {
    const { state, models, lifetime } = this.#services;
    const { surface: id, outside, headers, isChained } = this.#definition.client!;
    const surface = SURFACES[id];
    const text = toStepText(this.#definition, this.#run, parent);
    const shield = await models.shield(caller, text.rhone.safety);
    const request = parseRequest(screenText(text, shield), surface, outside);
    const isSideBranch = this.#waiting?.host.isSideBranch ?? !movesHead(this.#run, state.session.row.head);
    const placement = continueSession(state, { request }, { response: undefined, isSideBranch });
    const createdAt = lifetime.now();
    return {
      call: {
        id: newId("call", createdAt, state.objectId),
        sessionId: state.session.row.id,
        caller,
        headers: new Headers(headers),
        annotate: false,
        createdAt,
        contextMode: "stateful",
        runId: this.#run.id,
      },
      request: extendStep(request, this.#definition, { isLast, isFirst: false }),
      shield,
      start: async (input, given) => {
        const ofTurn = (): ReturnType<typeof input> => ({ ...input(), ...(isChained && { isChained }) });
        const { context, started } = await placement.place(ofTurn, given);
        state.session.start(started);
        shield?.storeValues();
        return { ...context, losses: request.losses };
      },
      receiver: this.#waiting?.answer ?? UNREAD,
    };
  }

  /** The answers of the steps that a restart has left in the session. */
  async #readReplies(): Promise<ModelResponse[]> {
    const { session, blobs } = this.#services.state;
    const { at, turns } = this.#run;
    if (at === undefined) return [];
    const outputs = session
      .pathOf(at)
      .slice(-turns)
      .map(({ output }) => output);
    const whole = await inlineAll(outputs, blobs);
    return whole.map((items) => ({
      id: "",
      model: "",
      messages: [...decodeItems(items)],
      finish: { reason: "tool_calls" },
      usage: {},
    }));
  }

  onFailure(record: CallRecord): void {
    this.#last = record;
  }

  toTurn({ record, completed, answer }: StepReply): Turn {
    this.#noteInput(completed);
    this.#replies!.push(answer.response);
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
    this.#replies!.push(response);
    this.#last = record;
    const merged = mergeReplies(this.#replies!, this.#merging);
    const isSeenAsMade = this.#replies!.length === 1 && !response.messages.some((one) => this.#hidesIn(one));
    const turn = isSeenAsMade ? completed : { ...completed, as: this.#toAlias(merged) };
    const ofTurn = { ...record, turnId: lastTurnOf(this.#run)! };
    if (this.#waiting === undefined) return void this.#services.state.session.commit(ofTurn, turn, undefined, also);
    const { host, answer: shown } = this.#waiting;
    const { usage, costMicros } = this.#run;
    const total = { usage, ...(record.costMicrosUsd !== undefined && { costMicrosUsd: costMicros }) };
    await host.store.commitTurn(ofTurn, { turn, response: merged, reply: shown.reply, total }, also);
  }

  #hidesIn({ blocks }: ModelResponse["messages"][number]): boolean {
    return blocks.some((block) => block.kind === "tool_call" && this.#merging.isHidden(block));
  }

  #toAlias({ messages }: ModelResponse): NonNullable<StepForm["lastTurn"]> {
    return { id: lastTurnOf(this.#run)!, hashes: hashReply(this.#run.alias!, messages) };
  }

  get lastTurn(): StepForm["lastTurn"] {
    if (!this.#endsWithAnswer || this.#replies === undefined || this.#replies.length === 0) return undefined;
    return this.#toAlias(mergeReplies(this.#replies, this.#merging));
  }

  /** Whether the run has ended with what its client gets as an answer. */
  get #endsWithAnswer(): boolean {
    const { status, stopReason } = this.#run;
    return status === "completed" && stopReason !== "max_cost" && stopReason !== "timeout";
  }

  async onEnd(error: GatewayError | undefined): Promise<void> {
    if (this.#waiting === undefined) return;
    const { answer } = this.#waiting;
    const isAnswered = this.#endsWithAnswer && this.#last !== undefined && error === undefined;
    if (isAnswered) return await answer.end(this.#last!, this.#run.costMicros);
    const cause = error ?? toEndError(this.#run);
    try {
      await this.#storeFailure(cause, this.#waiting);
    } finally {
      await answer.fail(cause);
    }
  }

  async #storeFailure(cause: GatewayError, { host, answer }: WaitingCall): Promise<void> {
    if (this.#last === undefined || hasTurn(this.#services.state.sql, lastTurnOf(this.#run)!)) return;
    const { code, message, status } = cause;
    const record = { ...this.#last, status: "failed" as const, error: { code, message, status } };
    await host.store.failAnswer(record, cause, answer.partial);
  }
}

export const mergingOf = (definition: RunDefinition): MergeOptions => ({
  isHidden: isOwnCall(definition, definition.client!),
  gap: gapOf(definition.client!),
});

/** Why a run without an error has no answer. */
function toEndError(run: Run): GatewayError {
  if (!hasEnded(run) || run.status === "cancelled") return CANCELLED;
  return run.stopReason === "timeout"
    ? new GatewayError("provider.timeout", "the run's limit of time is reached (timeout_ms)")
    : new GatewayError("budget.exceeded", "the run's limit of cost is reached (max_cost_micros_usd)");
}

/** No client gets the answer. */
const UNREAD = { push: (): void => {}, onRefused: (): void => {} };
