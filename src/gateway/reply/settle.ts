import { GatewayError } from "../../canonical/error.ts";
import { hasSeal } from "../../canonical/native.ts";
import type { Loss, ModelResponse, Usage } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import type { CompletedTurn } from "../../session/session.ts";
import { listPendingCalls } from "../../session/turns.ts";
import type { CallRecord } from "../../store/records.ts";
import { loadPatterns } from "../../wire/json-schema.ts";
import { joinItems } from "../../wire/json.ts";
import type { CallLog } from "../call/call-log.ts";
import type { CallHost, PartialAnswer } from "../call/call.ts";
import { CANCELLED, CLIENT_LEFT } from "../call/stream-errors.ts";
import { isSameDialect, passesBytes, toReplyContext, type UpstreamCall } from "../call/upstream-call.ts";
import type { StreamReader } from "../upstream/stream-reader.ts";
import { findCitationLosses } from "./citation-losses.ts";
import { checkSchema } from "./schema-check.ts";

/** What recording an answer uses of the call's host, and the call's log. */
export type ReplyServices = Pick<CallHost, "store" | "budgets" | "lifetime"> & { log: CallLog };

/**
 * Makes a finished answer durable as the session's next turn, and settles the call's budget. Resolves to the call's
 * record, with the losses of translation and schema. Throws if the commit fails.
 */
export async function settle(
  upstreamCall: UpstreamCall,
  response: ModelResponse,
  { store, budgets, log }: ReplyServices,
): Promise<CallRecord> {
  log.addLosses(response.losses);
  if (!isSameDialect(upstreamCall)) {
    await loadPatterns(upstreamCall.request.request.format);
    log.addLosses([...findOutputLosses(upstreamCall, response), ...checkSchema(upstreamCall.request, response)]);
  }
  const { surface } = upstreamCall.request;
  // A recovered answer is encoded anew on any surface.
  if (!surface.isNative && (!isSameDialect(upstreamCall) || log.isRecovered))
    log.addLosses(findCitationLosses(surface.dialect, [response, ...(response.alternatives ?? [])]));
  upstreamCall.shield?.observeAnswer(response.messages);
  const { model, finish, usage } = response;
  // Without reported usage, output is charged by its length.
  const receivedChars = usage.output === undefined ? JSON.stringify(response.messages).length : 0;
  const record = await log.toRecord("completed", {
    ...(model !== "" && { model }),
    finish: finish.reason,
    usage,
    receivedChars,
  });
  publishResponseId(upstreamCall, response.id, { store, log });
  const reply = toPublicReplyContext(upstreamCall, response.id, log);
  const { request, context } = upstreamCall;
  await store.commit(record, { request, context, output: toOutput(upstreamCall, response), response, reply });
  log.markSettled();
  budgets.settle(record);
  await log.indexed;
  return record;
}

/**
 * Indexes a stored response by the provider's own id, if that is the id the client receives. Called at the start of the
 * answer, so that the client can use the id as soon as the answer ends.
 */
export function publishResponseId(
  upstreamCall: UpstreamCall,
  id: string,
  { store, log }: Pick<ReplyServices, "store" | "log">,
): void {
  const { call } = upstreamCall;
  if (call.response?.stored !== true || id === "" || !passesBytes(upstreamCall) || log.isRecovered) return;
  log.addResponseId(id, () => store.indexResponse?.(id));
}

/**
 * The reply context with the id that the client receives: the provider's own one (`id`) if its bytes are relayed. After
 * a recovery it is the first answer's.
 */
export function toPublicReplyContext(
  upstreamCall: UpstreamCall,
  id: string,
  { isRecovered, publicResponseId }: Pick<CallLog, "isRecovered" | "publicResponseId">,
): ReplyContext {
  const own = passesBytes(upstreamCall) && id !== "" ? id : undefined;
  return toReplyContext(upstreamCall, isRecovered ? publicResponseId : own);
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
 * Records a call that failed or broke, and settles its budget. `partial`: the output received so far. Without effect if
 * the answer is already committed: an error on the way to the client does not undo the turn.
 */
export async function recordFailure(
  { host: { store, budgets }, log }: { host: Pick<CallHost, "store" | "budgets">; log: CallLog },
  error: GatewayError,
  { usage = {}, ...partial }: { usage?: Usage; answer?: PartialAnswer; model?: string } = {},
): Promise<void> {
  if (log.isSettled) return;
  const { answer, model = "" } = partial;
  const receivedChars = answer?.items?.length ?? 0;
  const outcome = { ...(model !== "" && { model }), error, usage, receivedChars };
  const record = await log.toRecord(statusOf(error), outcome);
  budgets.settle(record);
  await store.fail(record, error, answer);
}

/** Records an answer that broke, with what was received of it. */
export async function settleBroken(
  upstreamCall: UpstreamCall,
  error: GatewayError,
  { accumulated, usage }: Pick<StreamReader, "accumulated" | "usage">,
  services: ReplyServices,
): Promise<void> {
  const { dialect, encodeTarget } = upstreamCall.destination;
  const { messages, model, losses, id } = accumulated;
  services.log.addLosses(losses);
  const items =
    messages.length === 0 ? undefined : JSON.stringify(dialect.encodeMessages(messages, encodeTarget).value);
  const reply = toPublicReplyContext(upstreamCall, id, services.log);
  const answer = { ...(items !== undefined && { items }), accumulated, reply };
  await recordFailure({ host: services, log: services.log }, error, { usage, answer, model });
}

/** The error of an answer that could not be stored: the client must not take it for a durable turn. */
export const toStorageError = (cause: unknown): GatewayError =>
  cause instanceof GatewayError ? cause : new GatewayError("internal", "the answer could not be stored", { cause });

/** The output of the turn that the answer completes, in the provider's items. */
function toOutput(
  { destination: { dialect, encodeTarget } }: UpstreamCall,
  { messages }: ModelResponse,
): CompletedTurn["output"] {
  const { value } = dialect.encodeMessages(messages, encodeTarget);
  const calls = listPendingCalls(messages);
  return {
    dialect: dialect.id,
    items: joinItems(value),
    issuer: encodeTarget.issuer,
    sealed: messages.some(hasSeal),
    ...(calls.length > 0 && { calls }),
  };
}
