import { unfold } from "../../canonical/accumulator.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse } from "../../wire/sse.ts";
import { annotateBody } from "./annotate.ts";
import { type Answering, isRelay, keepsBytes, replyOf, settle } from "./settle.ts";
import { NO_EVENT } from "../upstream/stream-reader.ts";
import { pumped } from "./stream.ts";
import type { Reached, Whole } from "../upstream/answer.ts";
import type { Rescue } from "./recovery.ts";
import { relayNatively } from "./relay.ts";
import { TranslatedTelling } from "./writers.ts";
import { EVENT_STREAM } from "./headers.ts";

/** What a provider gave → the client's answer, on record before its last byte leaves. */
export async function reply(reached: Reached, rescue?: Rescue): Promise<Response> {
  if ("response" in reached) return await whole(reached);
  const { answering } = reached;
  // What may have to go on in other words is looked at as it passes.
  const isNative = answering.host.contextMode === "stateless" && isRelay(answering) && rescue === undefined;
  return isNative ? relayNatively(reached) : pumped(reached, rescue);
}

async function whole({ answering, bytes, response }: Whole): Promise<Response> {
  const { asked, call, host, notes, upstream } = answering;
  const record = await settle(answering, response);
  const rhone = call.annotate ? notes.rhone(record) : undefined;
  if (keepsBytes(answering)) {
    const type = upstream.headers.get("content-type") ?? "application/json";
    const kept = rhone === undefined ? bytes : encodeUtf8(annotateBody(completed(answering, decodeUtf8(bytes)), rhone));
    host.told?.(call.id, kept);
    return new Response(kept, { headers: { "content-type": type } });
  }
  if (asked.stream) return streamOf(answering, response, rhone);
  const body = asked.surface.dialect.encodeResponse(response, replyOf(answering));
  const said = encodeUtf8(JSON.stringify(rhone === undefined ? body : { ...body, rhone }));
  host.told?.(call.id, said);
  return new Response(said, { headers: { "content-type": "application/json" } });
}

/** The provider's answer with what its wire requires and it left out. */
const completed = (answering: Answering, body: string): string =>
  answering.asked.surface.dialect.complete?.(body, replyOf(answering)) ?? body;

/** A whole answer for a client that wants a stream, or Gemini's list of chunks. */
function streamOf(answering: Answering, response: ModelResponse, rhone: object | undefined): Response {
  const { asked, call, host } = answering;
  const surface = asked.surface.dialect;
  const telling = new TranslatedTelling({ surface, reply: replyOf(answering), ...(rhone && { rhone }) });
  const events = unfold(response);
  const bytes = concatBytes([telling.push(NO_EVENT, events), telling.end(rhone ?? {})]);
  if (!asked.outside.asList) {
    const tape = host.tape?.(call.id);
    tape?.append(bytes, telling.counted());
    tape?.end();
    return new Response(bytes, { headers: { "content-type": EVENT_STREAM } });
  }
  const chunks = decodeSse(bytes).flatMap(({ data }) => data ?? []);
  return new Response(`[${chunks.join(",\n")}]`, { headers: { "content-type": "application/json" } });
}
