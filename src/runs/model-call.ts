import { GatewayError } from "../canonical/error.ts";
import type { Message, ModelResponse } from "../canonical/types.ts";
import type { CallHost } from "../gateway/call/call.ts";
import { generate } from "../gateway/generation.ts";
import { continueSession } from "../gateway/session/placement.ts";
import type { ModelServices, ObjectLifetime, SessionState } from "../gateway/session/services.ts";
import { screenText } from "../gateway/shield/screen-text.ts";
import type { Caller } from "../keys/caller.ts";
import { offload } from "../session/large-strings.ts";
import type { CompletedTurn } from "../session/session.ts";
import type { CallRecord } from "../store/records.ts";
import { SURFACES } from "../surfaces/index.ts";
import { parseRequest, readMembers } from "../surfaces/request.ts";
import { newId } from "../wire/id.ts";
import { isObject, type Json, type JsonObject, tryParseJson } from "../wire/json.ts";
import { SseSplitter } from "../wire/sse.ts";
import type { RunDefinition } from "./state/definition.ts";
import type { Run } from "./state/run.ts";
import { toModelTool } from "./state/tool.ts";

/** What a run's calls use of its session's object. */
export type ModelCallServices = { state: SessionState; models: ModelServices; lifetime: ObjectLifetime };

/**
 * One call of a run. `isLast`: the model has to answer without tools. `isApproved`: a person lets pass what the shield leaves to one.
 * `signal`: cancels it.
 */
export type ModelCall = {
  run: Run;
  definition: RunDefinition;
  caller: Caller;
  isLast: boolean;
  isApproved: boolean;
  signal: AbortSignal;
};

/** What becomes of the call. All of `onStart`, `onAnswer` and `onFailure` write, and what they write is durable before the call goes on. */
export type ModelCallEnd = {
  onStart: (call: string) => void;
  onEvent: (event: JsonObject) => void;
  onAnswer: (record: CallRecord, completed: CompletedTurn, response: ModelResponse) => void;
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

/** The body of a run's next call, as a client would send it. Instructions come until a turn has them: they become the session's. */
export function toCallText({ definition, run, isLast }: Pick<ModelCall, "definition" | "run" | "isLast">): string {
  const { instructions, ...call } = definition.call;
  const { tools, limits } = definition;
  const body = {
    ...call,
    ...(run.turns === 0 && instructions !== undefined && { instructions }),
    ...(tools.length > 0 && {
      tools: tools.map(toModelTool),
      parallel_tools: limits.parallel_tools,
      ...(isLast && { tool_choice: "none" }),
    }),
    stream: true,
  };
  return `${JSON.stringify(body).slice(0, -1)},"input":${run.input}}`;
}

/**
 * Calls the model for a run, along the same path as a client's call of the session. The turn that it makes is not yet the session's.
 * Resolves when the call has ended and is recorded.
 */
export async function callModel(modelCall: ModelCall, end: ModelCallEnd, services: ModelCallServices): Promise<void> {
  const { run, definition, caller, isApproved, signal } = modelCall;
  const { state, models, lifetime } = services;
  const { session, blobs, objectId } = state;
  const createdAt = lifetime.now();
  const id = newId("call", createdAt, objectId);
  const headers = new Headers();
  const members = readMembers(toCallText(modelCall), headers, SURFACES.native);
  const shield = await models.shield(caller, members.rhone.safety, isApproved);
  const request = parseRequest(screenText(members, shield), SURFACES.native);
  const placement = continueSession(state, { request }, { response: undefined, isSideBranch: false });
  const work: Promise<unknown>[] = [];
  const host: CallHost = {
    providers: await models.providers(caller.org),
    router: models.router(),
    carried: models.carried(caller.org),
    shield,
    budgets: { ...models.budgets, reserve: reserveWithin(definition, run, models.budgets) },
    lifetime: { now: lifetime.now, waitUntil: (more) => work.push(more), cancelled: signal },
    store: {
      start: async (input, given) => {
        const { context, started } = await placement.place(input, given);
        session.start(started);
        end.onStart(id);
        shield?.storeValues();
        lifetime.watch();
        await lifetime.durable();
        return { ...context, losses: request.losses };
      },
      commit: async (record, answer) => {
        const completed = placement.complete(answer!);
        const [input, output] = await Promise.all([offload(completed.input, blobs), offload(completed.output, blobs)]);
        end.onAnswer(record, { ...completed, input, output }, answer!.response);
        await lifetime.durable();
      },
      fail: async (record, error, partial) => {
        end.onFailure(record, error, partial?.accumulated.messages ?? []);
        await lifetime.durable();
      },
    },
  };
  const call = { id, sessionId: session.row.id, caller, headers, annotate: false, createdAt, runId: run.id };
  const response = await generate({ ...call, contextMode: "stateful" }, request, host);
  await forward(response, end.onEvent);
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
