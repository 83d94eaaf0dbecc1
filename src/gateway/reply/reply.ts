import { unfold } from "../../canonical/accumulator.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse } from "../../wire/sse.ts";
import {
  clientCopyOf,
  isEventStream,
  isSameDialect,
  passesBytes,
  sealThoughtFor,
  toReplyContext,
  type UpstreamCall,
} from "../call/upstream-call.ts";
import type { UpstreamAnswer, WholeAnswer } from "../upstream/first-content.ts";
import { NO_EVENT } from "../upstream/stream-reader.ts";
import { annotateBody } from "./annotate.ts";
import { toClientAnswer } from "./client-answer.ts";
import { EVENT_STREAM, toJsonType } from "./headers.ts";
import type { Recover } from "./recovery.ts";
import { relayBytes } from "./relay.ts";
import { type ReplyServices, settle, toPublicReplyContext } from "./settle.ts";
import { lacksStart, streamReply } from "./stream.ts";
import { TranslationWriter } from "./writers.ts";

/**
 * Turns an upstream's answer into the client's response. The call's record is durable before the response's last byte
 * is sent.
 */
export async function reply(answer: UpstreamAnswer, services: ReplyServices, recover?: Recover): Promise<Response> {
  if ("response" in answer) return await replyWhole(answer, services);
  const { call: upstreamCall } = answer;
  // With recovery, another model may have to continue the stream, so each event has to be decoded as it passes.
  const isNative =
    upstreamCall.call.contextMode === "stateless" &&
    isSameDialect(upstreamCall) &&
    upstreamCall.destination.aliases === undefined &&
    recover === undefined &&
    upstreamCall.shield?.answer.isChangedForClient !== true &&
    !lacksStart(answer);
  return isNative ? relayBytes(answer, services) : streamReply(answer, services, recover);
}

/**
 * Settles a whole answer, then encodes it for the client: as the provider's bytes, as a stream, or in the surface's
 * dialect.
 */
async function replyWhole(
  { call: upstreamCall, bytes, response }: WholeAnswer,
  services: ReplyServices,
): Promise<Response> {
  const { call, upstream } = upstreamCall;
  const { store, log } = services;
  const record = await settle(upstreamCall, response, services);
  const rhone = call.annotate ? log.toRhoneObject(record) : undefined;
  if (passesBytes(upstreamCall) && !isEventStream(upstream)) {
    const type = toJsonType(upstream.headers.get("content-type"));
    const shown =
      upstreamCall.shield === undefined
        ? bytes
        : upstreamCall.shield.answer.toClientBytes(bytes, sealThoughtFor(upstreamCall));
    const annotated =
      rhone === undefined ? shown : encodeUtf8(annotateBody(addRequired(upstreamCall, decodeUtf8(shown)), rhone));
    store.onBody?.(call.id, annotated);
    return new Response(annotated, { headers: { "content-type": type } });
  }
  return encodeWhole(upstreamCall, response, services, rhone);
}

/** A whole answer in the form of the client's dialect and in its mode. `rhone`: absent for a client that requests none. */
export function encodeWhole(
  upstreamCall: UpstreamCall,
  response: ModelResponse,
  { store, log }: Pick<ReplyServices, "store" | "log">,
  rhone: object | undefined,
): Response {
  const { request, call } = upstreamCall;
  if (request.stream) return encodeAsStream(upstreamCall, response, { store, log }, rhone);
  const replyContext = toReplyContext(upstreamCall);
  const { dialect } = request.surface;
  const body = dialect.encodeResponse(toClientAnswer(response, dialect, replyContext), replyContext);
  const text = JSON.stringify(rhone === undefined ? body : { ...body, rhone });
  const encoded = encodeUtf8(upstreamCall.shield?.answer.toClientBody(text, sealThoughtFor(upstreamCall)) ?? text);
  store.onBody?.(call.id, encoded);
  return new Response(encoded, { headers: { "content-type": "application/json" } });
}

/** The provider's answer with the members that its dialect requires and the provider left out. */
const addRequired = (upstreamCall: UpstreamCall, body: string): string =>
  upstreamCall.request.surface.dialect.complete?.(body, toReplyContext(upstreamCall)) ?? body;

/** A whole answer as server-sent events, for a client that requested a stream, or as Gemini's list of chunks. */
function encodeAsStream(
  upstreamCall: UpstreamCall,
  response: ModelResponse,
  { store, log }: Pick<ReplyServices, "store" | "log">,
  rhone: object | undefined,
): Response {
  const { request, call } = upstreamCall;
  const surface = request.surface.dialect;
  const reply = toPublicReplyContext(upstreamCall, response.id, log);
  const editor = upstreamCall.shield?.answer.clientEditor(clientCopyOf(upstreamCall));
  const writer = new TranslationWriter({ surface, reply, editor, ...(rhone && { rhone }) });
  const events = unfold(response);
  const bytes = concatBytes([writer.push(NO_EVENT, events), writer.end(rhone ?? {})]);
  if (!request.outside.asList) {
    const recorder = store.recorderFor?.(call.id);
    recorder?.append(bytes, writer.numberer.takeCount());
    recorder?.end();
    return new Response(bytes, { headers: { "content-type": EVENT_STREAM } });
  }
  const chunks = decodeSse(bytes).flatMap(({ data }) => data ?? []);
  return new Response(`[${chunks.join(",\n")}]`, { headers: { "content-type": "application/json" } });
}
