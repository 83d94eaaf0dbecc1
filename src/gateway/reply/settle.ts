import { StreamAccumulator } from "../../canonical/accumulator.ts";
import { GatewayError, toGatewayError } from "../../canonical/error.ts";
import { hasSeal } from "../../canonical/native.ts";
import type { Loss, ModelResponse } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import type { CompletedTurn, Context } from "../../session/session.ts";
import type { StoredResponse } from "../../session/stored-responses.ts";
import { listPendingCalls, type WireItems } from "../../session/turns.ts";
import type { CallRecord } from "../../store/records.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { joinItems } from "../../wire/json.ts";
import { CANCELLED, CLIENT_LEFT } from "../call/stream-errors.ts";
import { isSameDialect, passesBytes, toReplyContext, type UpstreamCall } from "../call/upstream-call.ts";
import type { StreamReader } from "../upstream/stream-reader.ts";
import { findCitationLosses } from "./citation-losses.ts";
import { buildCompletedResponse, buildFailedResponse } from "./response-object.ts";
import { checkSchema } from "./schema-check.ts";

/**
 * Makes a finished answer durable as the session's next turn, and settles the call's budget. Resolves to the call's
 * record, with the losses of translation and schema. Throws if the commit fails.
 */
export async function settle(upstreamCall: UpstreamCall, response: ModelResponse): Promise<CallRecord> {
  const { host, log } = upstreamCall;
  addLosses(log, response.losses);
  if (!isSameDialect(upstreamCall))
    log.losses.push(...findOutputLosses(upstreamCall, response), ...checkSchema(upstreamCall.request, response));
  const { surface } = upstreamCall.request;
  // A recovered answer is encoded anew on any surface.
  if (!surface.isNative && (!isSameDialect(upstreamCall) || log.recovered !== undefined))
    addLosses(log, findCitationLosses(surface.dialect, [response, ...(response.alternatives ?? [])]));
  const { model, finish, usage } = response;
  await log.pricesLoaded;
  // Without reported usage, output is charged by its length.
  const receivedChars = usage.output === undefined ? JSON.stringify(response.messages).length : 0;
  const record = log.toRecord("completed", {
    ...(model !== "" && { model }),
    finish: finish.reason,
    usage,
    receivedChars,
  });
  publishResponseId(upstreamCall, response.id);
  await host.commit(record, toCompletedTurn(upstreamCall, response), buildStoredResponse(upstreamCall, response));
  log.isSettled = true;
  host.budgets.settle(record);
  await log.indexed;
  return record;
}

/** Adds losses of the answer to the call's; those found while it arrived are added once. */
export function addLosses({ losses }: Pick<UpstreamCall["log"], "losses">, found: readonly Loss[] = []): void {
  losses.push(...found.filter((loss) => !losses.includes(loss)));
}

/**
 * Indexes a stored response by the provider's own id, if that is the id the client receives. Called at the start of the
 * answer, so that the client can use the id as soon as the answer ends.
 */
export function publishResponseId(upstreamCall: UpstreamCall, id: string): void {
  const { call, host, log } = upstreamCall;
  if (call.response?.stored !== true || id === "" || !passesBytes(upstreamCall) || log.recovered !== undefined) return;
  log.publicResponseId ??= id;
  log.indexed ??= host.indexResponse?.(id);
  // `settle` awaits the promise; without a handler, a rejection before that would be reported as unhandled.
  log.indexed?.catch(() => {});
}

/** The answer as a stored response, if the caller requested storage. */
const buildStoredResponse = (upstreamCall: UpstreamCall, response: ModelResponse): StoredResponse | undefined =>
  upstreamCall.call.response?.stored === true
    ? buildCompletedResponse(upstreamCall.call, response, toPublicReplyContext(upstreamCall, response.id))
    : undefined;

/**
 * The reply context with the id that the client receives: the provider's own one (`id`) if its bytes are relayed. After
 * a recovery it is the first answer's.
 */
export function toPublicReplyContext(upstreamCall: UpstreamCall, id: string): ReplyContext {
  const { recovered, publicResponseId } = upstreamCall.log;
  const own = passesBytes(upstreamCall) && id !== "" ? id : undefined;
  const publicId = recovered === undefined ? own : publicResponseId;
  const reply = toReplyContext(upstreamCall);
  return publicId === undefined ? reply : { ...reply, id: publicId };
}

/** Losses: output items that the caller's dialect cannot represent. The session stores them all the same. */
function findOutputLosses({ request: { surface } }: UpstreamCall, { messages, finish }: ModelResponse): Loss[] {
  // The gateway's native dialect represents every item.
  if (surface.isNative) return [];
  const { id } = surface.dialect;
  const items = messages
    .flatMap(({ blocks }) => blocks)
    .flatMap((block): Loss[] =>
      block.kind === "opaque" && block.native.dialect !== id
        ? [{ at: `output.${block.label}`, what: "dropped", why: `${id} does not support this item` }]
        : [],
    );
  const isExplained = finish.reason === "tool_calls" && finish.message !== undefined;
  if (finish.reason !== "pause" && finish.reason !== "other" && !isExplained) return items;
  // Anthropic's `pause_turn`: a client that sends the answer back has it continued. Or a reason that no wire here has.
  const what = finish.reason === "pause" ? "a paused answer" : (finish.native ?? "an answer without one");
  return [...items, { at: "finish_reason", what: "approximated", why: `${id} has no finish reason for ${what}` }];
}

/** The status of a call that ended early: by client or cancellation, by a broken stream, by another error. */
function statusOf(error: GatewayError): CallRecord["status"] {
  if (error === CLIENT_LEFT || error === CANCELLED) return "interrupted";
  return error.code === "stream.interrupted" ? "incomplete" : "failed";
}

/**
 * Records a call that failed or broke, with the output received so far, and settles its budget. Without effect if the
 * answer is already committed: an error on the way to the client does not undo the turn. Default reader: no output.
 */
export async function settleFailure(
  upstreamCall: UpstreamCall,
  thrown: unknown,
  { accumulated, usage }: Pick<StreamReader, "accumulated" | "usage"> = {
    accumulated: new StreamAccumulator(),
    usage: {},
  },
): Promise<void> {
  const { host, log, dialect, encodeTarget } = upstreamCall;
  if (log.isSettled) return;
  const error = toGatewayError(thrown);
  const status = statusOf(error);
  const { messages, model } = accumulated;
  addLosses(log, accumulated.losses);
  const received =
    messages.length === 0 ? undefined : JSON.stringify(dialect.encodeMessages(messages, encodeTarget).value);
  await log.pricesLoaded;
  const receivedChars = received?.length ?? 0;
  const record = log.toRecord(status, { ...(model !== "" && { model }), error, usage, receivedChars });
  host.budgets.settle(record);
  const { call } = upstreamCall;
  // Before the first content the client knows no response id, except in background mode, which promises one.
  const isStored = call.response?.stored === true && (messages.length > 0 || call.response.background);
  await host.fail(
    record,
    received,
    isStored
      ? buildFailedResponse(call, error, accumulated, toPublicReplyContext(upstreamCall, accumulated.id))
      : undefined,
  );
}

/** The error of an answer that could not be stored: the client must not take it for a durable turn. */
export const toStorageError = (cause: unknown): GatewayError =>
  cause instanceof GatewayError ? cause : new GatewayError("internal", "the answer could not be stored", { cause });

/** The turn that the answer adds to the session: the call's input and the output in the provider's items. */
function toCompletedTurn(
  { request, context, dialect, encodeTarget }: UpstreamCall,
  { messages }: ModelResponse,
): CompletedTurn {
  const { value } = dialect.encodeMessages(messages, encodeTarget);
  const calls = listPendingCalls(messages);
  const output: WireItems & { issuer: string } = {
    dialect: dialect.id,
    items: joinItems(value),
    issuer: encodeTarget.issuer,
    sealed: messages.some(hasSeal),
    ...(calls.length > 0 && { calls }),
  };
  return { ...toInputStep(request, context), output, reply: messages };
}

/** The client's half of a turn: the items, messages and instructions that are new in the request. */
export function toInputStep(request: ParsedRequest, context: Context): Omit<CompletedTurn, "output" | "reply"> {
  const from = request.systemCount + context.known;
  const input = { dialect: request.surface.dialect.id, items: request.items.slice(from).join(",") };
  const step = { context, input, requested: (request.sent ?? request.messages).slice(from) };
  // If only a part of the instructions is new, the other part comes from the context.
  const instructions = request.instructions && { ...context.instructions, ...request.instructions };
  return instructions === undefined ? step : { ...step, instructions };
}
