import { GatewayError } from "../canonical/error.ts";
import { fold, unfold } from "../canonical/fold.ts";
import type { ModelResponse } from "../canonical/types.ts";
import { concatBytes, decodeUtf8 } from "../wire/bytes.ts";
import { tryParseJson } from "../wire/json.ts";
import { decodeSse } from "../wire/sse.ts";
import { annotateBody } from "./annotate.ts";
import { type Answering, isRelay, replyOf, settle } from "./answering.ts";
import { NO_EVENT } from "./hearing.ts";
import { pumped } from "./pump.ts";
import { relayNatively } from "./relay.ts";
import { TranslatedTelling } from "./telling.ts";
import { bytesOf } from "./upstream.ts";

/** A provider's 2xx → the client's answer, on record before its last byte leaves. */
export async function reply(answering: Answering): Promise<Response> {
  const { asked, host, upstream } = answering;
  if (!asked.stream || asked.outside.asList || !isEventStream(upstream) || upstream.body === null)
    return await whole(answering);
  return host.contextMode === "stateless" && isRelay(answering) ? relayNatively(answering) : pumped(answering);
}

/** Read to its end before the client hears of it: what is no answer must not become one. */
async function whole(answering: Answering): Promise<Response> {
  const { asked, call, notes, upstream } = answering;
  const bytes = await bytesOf(answering);
  const response = wholeResponse(answering, bytes);
  const record = await settle(answering, response);
  const rhone = call.annotate ? notes.rhone(record) : undefined;
  const isAsked = isRelay(answering) && !isEventStream(upstream) && (!asked.stream || asked.outside.asList);
  if (isAsked) {
    const type = upstream.headers.get("content-type") ?? "application/json";
    return new Response(rhone === undefined ? bytes : annotateBody(decodeUtf8(bytes), rhone), {
      headers: { "content-type": type },
    });
  }
  if (asked.stream) return streamOf(answering, response, rhone);
  const body = asked.surface.dialect.encodeResponse(response, replyOf(answering));
  return Response.json(rhone === undefined ? body : { ...body, rhone });
}

/** A host that streams unasked is understood all the same. */
function wholeResponse({ dialect, target, upstream }: Answering, bytes: Uint8Array): ModelResponse {
  if (isEventStream(upstream)) {
    const decoder = dialect.decodeStream(target.issuer);
    return fold([...decodeSse(bytes).flatMap((event) => decoder.push(event)), ...decoder.end()]);
  }
  const body = tryParseJson(decodeUtf8(bytes));
  if (body === undefined) throw new GatewayError("provider.execution_failed", "the provider's answer is not JSON");
  return dialect.decodeResponse(body, target.issuer);
}

/** A whole answer for a client that wants a stream, or Gemini's list of chunks. */
function streamOf(answering: Answering, response: ModelResponse, rhone: object | undefined): Response {
  const { asked } = answering;
  const surface = asked.surface.dialect;
  const telling = new TranslatedTelling({ surface, reply: replyOf(answering), ...(rhone && { rhone }) });
  const events = unfold(response);
  const bytes = concatBytes([telling.push(NO_EVENT, events), telling.end(rhone ?? {})]);
  if (!asked.outside.asList)
    return new Response(bytes, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
  const chunks = decodeSse(bytes).flatMap(({ data }) => data ?? []);
  return new Response(`[${chunks.join(",\n")}]`, { headers: { "content-type": "application/json" } });
}

const isEventStream = (upstream: Response): boolean =>
  upstream.headers.get("content-type")?.includes("event-stream") === true;
