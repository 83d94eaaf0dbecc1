import { GatewayError } from "../canonical/error.ts";
import type { Message } from "../canonical/types.ts";
import type { CallHost } from "../gateway/call/call.ts";
import { toCompletedTurn } from "../gateway/call/turn-input.ts";
import { generate } from "../gateway/generation.ts";
import { offload } from "../session/large-strings.ts";
import type { CallRecord } from "../store/records.ts";
import { isObject, type Json, type JsonObject, tryParseJson } from "../wire/json.ts";
import { SseSplitter } from "../wire/sse.ts";
import type { RunDefinition } from "./state/definition.ts";
import type { Run } from "./state/run.ts";
import type { ModelCallServices, NextStep, StepForm, StepReply } from "./steps/step-form.ts";

/** One call of a run. `form`: how it is made. `signal`: cancels it. */
export type ModelCall = NextStep & { run: Run; definition: RunDefinition; form: StepForm; signal: AbortSignal };

/** What becomes of the call. All of `onStart`, `onAnswer` and `onFailure` write, and what they write is durable before the call goes on. */
export type ModelCallEnd = {
  onStart: (call: string) => void;
  onEvent: (event: JsonObject) => void;
  onAnswer: (reply: StepReply) => Promise<void>;
  /** `partial`: what had come of the reply, behind the shield. */
  onFailure: (record: CallRecord, error: GatewayError, partial: readonly Message[]) => void;
};

/** The most that a run may still cost is less than its next call may cost. */
export class RunCostReached extends GatewayError {
  /** A higher limit would let the call be made. */
  readonly isRaisable: boolean;

  constructor(message: string, isRaisable: boolean) {
    super("budget.exceeded", message, { param: "limits.max_cost_micros_usd" });
    this.isRaisable = isRaisable;
  }
}

/** The events of a call that are those of its run as well. */
const SHARED_EVENTS = new Set<Json>([
  "response.delta",
  "thinking.delta",
  "tool_call.started",
  "tool_call.delta",
  "tool_call.done",
]);

/**
 * Calls the model for a run, along the same path as a client's call of the session. The turn that it makes is not yet the session's.
 * Resolves when the call has ended and is recorded.
 */
export async function callModel(modelCall: ModelCall, end: ModelCallEnd, services: ModelCallServices): Promise<void> {
  const { run, definition, form, signal } = modelCall;
  const { state, models, lifetime } = services;
  const { call, request, shield, start, receiver } = await form.prepare(modelCall);
  const work: Promise<unknown>[] = [];
  const host: CallHost = {
    providers: await models.providers(call.caller.org),
    router: models.router(),
    carried: models.carried(call.caller.org),
    shield,
    budgets: { ...models.budgets, reserve: reserveWithin(definition, run, models.budgets) },
    lifetime: { now: lifetime.now, waitUntil: (more) => work.push(more), cancelled: signal },
    store: {
      start: async (input, given) => {
        const context = await start(input, given);
        end.onStart(call.id);
        lifetime.watch();
        await lifetime.durable();
        return context;
      },
      commit: async (record, answer) => {
        const completed = toCompletedTurn(answer!);
        const [input, output] = await Promise.all([
          offload(completed.input, state.blobs),
          offload(completed.output, state.blobs),
        ]);
        await end.onAnswer({ record, completed: { ...completed, input, output }, answer: answer! });
        await lifetime.durable();
      },
      fail: async (record, error, partial) => {
        end.onFailure(record, error, partial?.accumulated.messages ?? []);
        await lifetime.durable();
      },
    },
  };
  const response = await generate(call, request, host, receiver);
  if (receiver === undefined) await forward(response, end.onEvent);
  else if (!response.ok) receiver.onRefused(response);
  for (let done = 0; done < work.length; done++) await Promise.allSettled([work[done]]);
}

/** Reserves no more than what a run may still cost. Throws `RunCostReached`. */
const reserveWithin =
  ({ limits }: RunDefinition, { costMicros }: Run, budgets: CallHost["budgets"]): CallHost["budgets"]["reserve"] =>
  async (call, caller, tags, estimate) => {
    const { max_cost_micros_usd: most } = limits;
    if (most === undefined) return await budgets.reserve(call, caller, tags, estimate);
    const estimated = await estimate();
    if (estimated.isUnpriced)
      throw new RunCostReached("the model has no known price, so that no limit of cost can hold", false);
    if (costMicros + estimated.micros > most)
      throw new RunCostReached(`the next call may cost ${estimated.micros}, and ${most - costMicros} is left`, true);
    return await budgets.reserve(call, caller, tags, async () => estimated);
  };

/** Reads an answer to its end. */
async function forward(response: Response, onEvent: (event: JsonObject) => void): Promise<void> {
  if (!response.ok || response.body === null) return await response.body?.cancel();
  const splitter = new SseSplitter();
  for await (const chunk of response.body)
    for (const { data } of splitter.push(chunk)) {
      const event = data === undefined ? undefined : tryParseJson(data);
      if (isObject(event) && SHARED_EVENTS.has(event.type!)) onEvent(event);
    }
}
