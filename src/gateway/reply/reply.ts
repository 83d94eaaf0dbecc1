import { unfold } from "../../canonical/accumulator.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse } from "../../wire/sse.ts";
import { annotateBody } from "./annotate.ts";
import { type UpstreamCall, isSameDialect, passesBytes, replyContext, settle } from "./settle.ts";
import { NO_EVENT } from "../upstream/stream-reader.ts";
import { streamReply } from "./stream.ts";
import type { UpstreamAnswer, WholeAnswer } from "../upstream/answer.ts";
import type { Recover } from "./recovery.ts";
import { relayBytes } from "./relay.ts";
import { TranslationWriter } from "./writers.ts";
import { EVENT_STREAM } from "./headers.ts";

/** What a provider gave → the client's answer, on record before its last byte leaves. */
export async function reply(reached: UpstreamAnswer, rescue?: Recover): Promise<Response> {
  if ("response" in reached) return await whole(reached);
  const { call: answering } = reached;
  // What may have to go on in other words is looked at as it passes.
  const isNative = answering.host.contextMode === "stateless" && isSameDialect(answering) && rescue === undefined;
  return isNative ? relayBytes(reached) : streamReply(reached, rescue);
}

async function whole({ call: answering, bytes, response }: WholeAnswer): Promise<Response> {
  const { request: asked, call, host, log: notes, upstream } = answering;
  const record = await settle(answering, response);
  const rhone = call.annotate ? notes.toRhoneObject(record) : undefined;
  if (passesBytes(answering)) {
    const type = upstream.headers.get("content-type") ?? "application/json";
    const kept = rhone === undefined ? bytes : encodeUtf8(annotateBody(completed(answering, decodeUtf8(bytes)), rhone));
    host.onBody?.(call.id, kept);
    return new Response(kept, { headers: { "content-type": type } });
  }
  if (asked.stream) return streamOf(answering, response, rhone);
  const body = asked.surface.dialect.encodeResponse(response, replyContext(answering));
  const said = encodeUtf8(JSON.stringify(rhone === undefined ? body : { ...body, rhone }));
  host.onBody?.(call.id, said);
  return new Response(said, { headers: { "content-type": "application/json" } });
}

/** The provider's answer with what its wire requires and it left out. */
const completed = (answering: UpstreamCall, body: string): string =>
  answering.request.surface.dialect.complete?.(body, replyContext(answering)) ?? body;

/** A whole answer for a client that wants a stream, or Gemini's list of chunks. */
function streamOf(answering: UpstreamCall, response: ModelResponse, rhone: object | undefined): Response {
  const { request: asked, call, host } = answering;
  const surface = asked.surface.dialect;
  const telling = new TranslationWriter({ surface, reply: replyContext(answering), ...(rhone && { rhone }) });
  const events = unfold(response);
  const bytes = concatBytes([telling.push(NO_EVENT, events), telling.end(rhone ?? {})]);
  if (!asked.outside.asList) {
    const tape = host.recorderFor?.(call.id);
    tape?.append(bytes, telling.usage());
    tape?.end();
    return new Response(bytes, { headers: { "content-type": EVENT_STREAM } });
  }
  const chunks = decodeSse(bytes).flatMap(({ data }) => data ?? []);
  return new Response(`[${chunks.join(",\n")}]`, { headers: { "content-type": "application/json" } });
}
