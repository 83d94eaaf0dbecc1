import { GatewayError, toGatewayError } from "../../canonical/error.ts";
import { StreamAccumulator } from "../../canonical/accumulator.ts";
import { isSealed } from "../../canonical/native.ts";
import type { Loss, ModelResponse } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import type { Context, CompletedTurn } from "../../session/session.ts";
import type { WireItems } from "../../session/turns.ts";
import type { StoredResponse } from "../../session/stored-responses.ts";
import type { CallRecord } from "../../store/records.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { checkSchema } from "./schema-check.ts";
import { type StreamReader } from "../upstream/stream-reader.ts";
import { completedResponse, failedResponse } from "./response-object.ts";
import { CLIENT_LEFT, CANCELLED } from "../call/endings.ts";
import { type UpstreamCall, passesBytes, isSameDialect, replyContext } from "../call/upstream-call.ts";
import { joinItems } from "../../wire/json.ts";

/** Makes a finished answer durable: as the session's next turn. */
export async function settle(upstreamCall: UpstreamCall, response: ModelResponse): Promise<CallRecord> {
  const { host, log } = upstreamCall;
  if (!isSameDialect(upstreamCall))
    log.losses.push(...findOutputLosses(upstreamCall, response), ...checkSchema(upstreamCall.request, response));
  const { model, finish, usage } = response;
  await log.pricesLoaded;
  const receivedChars = usage.output === undefined ? JSON.stringify(response.messages).length : 0;
  const record = log.toRecord("completed", {
    ...(model !== "" && { model }),
    finish: finish.reason,
    usage,
    heard: receivedChars,
  });
  publishResponseId(upstreamCall, response.id);
  await host.commit(record, toCompletedTurn(upstreamCall, response), buildStoredResponse(upstreamCall, response));
  log.isSettled = true;
  host.budgets.settle(record);
  await log.indexed;
  return record;
}

/** Where the client is told the provider's own id of a response, it is known by that id before its end is told. */
export function publishResponseId(upstreamCall: UpstreamCall, id: string): void {
  const { call, host, log } = upstreamCall;
  if (call.response?.stored !== true || id === "" || !passesBytes(upstreamCall) || log.recovered !== undefined) return;
  log.publicResponseId ??= id;
  log.indexed ??= host.indexResponse?.(id);
  log.indexed?.catch(() => {});
}

/** The answer as it can be asked for again. */
const buildStoredResponse = (upstreamCall: UpstreamCall, response: ModelResponse): StoredResponse | undefined =>
  upstreamCall.call.response?.stored === true
    ? completedResponse(upstreamCall.call, response, publicReplyContext(upstreamCall, response.id))
    : undefined;

/** With the id that the client was told: the first one's, where another has gone on with the answer. `id`: as the provider says it. */
export function publicReplyContext(upstreamCall: UpstreamCall, id: string): ReplyContext {
  const { recovered, publicResponseId } = upstreamCall.log;
  const own = passesBytes(upstreamCall) && id !== "" ? id : undefined;
  const publicId = recovered === undefined ? own : publicResponseId;
  const reply = replyContext(upstreamCall);
  return publicId === undefined ? reply : { ...reply, id: publicId };
}

/** What the provider said that the caller's wire has no words for. It is kept in the session all the same. */
function findOutputLosses({ request: { surface } }: UpstreamCall, { messages, finish }: ModelResponse): Loss[] {
  // Our own wire carries any item whole.
  if (surface.isNative) return [];
  const { id } = surface.dialect;
  const items = messages
    .flatMap(({ blocks }) => blocks)
    .flatMap((block): Loss[] =>
      block.kind === "opaque" && block.native.dialect !== id
        ? [{ at: `output.${block.label}`, what: "dropped", why: `${id} has no such item` }]
        : [],
    );
  if (finish.reason !== "pause") return items;
  // Anthropic's `pause_turn`: sent back as it is, the answer goes on.
  return [...items, { at: "finish_reason", what: "approximated", why: `${id} has no word for an answer that pauses` }];
}

/** How a call ended: because somebody wanted that, because its provider broke off, or otherwise badly. */
function statusOf(error: GatewayError): CallRecord["status"] {
  if (error === CLIENT_LEFT || error === CANCELLED) return "interrupted";
  return error.code === "stream.interrupted" ? "incomplete" : "failed";
}

/** Notes an answer that failed or broke off, with what came of it. */
export async function settleFailure(
  upstreamCall: UpstreamCall,
  thrown: unknown,
  { accumulated, usage }: Pick<StreamReader, "accumulated" | "usage"> = {
    accumulated: new StreamAccumulator(),
    usage: {},
  },
): Promise<void> {
  const { host, log, dialect, encodeTarget } = upstreamCall;
  // What goes wrong with a committed turn on its way to the client does not undo it.
  if (log.isSettled) return;
  const error = toGatewayError(thrown);
  const status = statusOf(error);
  const { messages, model } = accumulated;
  const received =
    messages.length === 0 ? undefined : JSON.stringify(dialect.encodeMessages(messages, encodeTarget).value);
  await log.pricesLoaded;
  const receivedChars = received?.length ?? 0;
  const record = log.toRecord(status, { ...(model !== "" && { model }), error, usage, heard: receivedChars });
  host.budgets.settle(record);
  const { call } = upstreamCall;
  // Of what failed before its first word no client knows an id, unless it was promised one.
  const isStored = call.response?.stored === true && (messages.length > 0 || call.response.background);
  await host.fail(
    record,
    received,
    isStored ? failedResponse(call, error, accumulated, publicReplyContext(upstreamCall, accumulated.id)) : undefined,
  );
}

/** The error of an answer that could not be kept: the client must not believe that it was. */
export const toStorageError = (cause: unknown): GatewayError =>
  cause instanceof GatewayError ? cause : new GatewayError("internal", "the answer could not be stored", { cause });

function toCompletedTurn(
  { request, context, dialect, encodeTarget }: UpstreamCall,
  { messages }: ModelResponse,
): CompletedTurn {
  const { value } = dialect.encodeMessages(messages, encodeTarget);
  const output: WireItems & { issuer: string } = {
    dialect: dialect.id,
    items: joinItems(value),
    issuer: encodeTarget.issuer,
    sealed: messages.some(isSealed),
  };
  return { ...inputStep(request, context), output, reply: messages };
}

/** The client's half of a step: what is new in its request. */
export function inputStep(request: ParsedRequest, context: Context): Omit<CompletedTurn, "output" | "reply"> {
  const from = request.systemCount + context.known;
  const added = context.added === undefined ? [] : [context.added.items];
  const input = { dialect: request.surface.dialect.id, items: [...added, ...request.items.slice(from)].join(",") };
  const step = { context, input, requested: request.messages.slice(from) };
  // Where only a part of them is new, the rest was restored.
  const instructions = request.instructions && { ...context.instructions, ...request.instructions };
  return instructions === undefined ? step : { ...step, instructions };
}
