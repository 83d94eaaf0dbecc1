import { GatewayError, toGatewayError, toClientError } from "../canonical/error.ts";
import type { Usage } from "../canonical/types.ts";
import type { WireDialect } from "../dialects/dialect.ts";
import type { Call } from "../gateway/call/call.ts";
import { errorResponse, withHeaders } from "../gateway/reply/headers.ts";
import { logReservation } from "../gateway/reserve.ts";
import type { Surface } from "../surfaces/index.ts";
import type { Reservation, Estimate } from "../keys/budget/grant-pool.ts";
import { withCredential } from "../providers/auth.ts";
import { fetchOf, headersFor } from "../providers/request.ts";
import { attempt } from "../routing/attempt.ts";
import type { Target } from "../routing/locate.ts";
import type { Attempt, CallRecord } from "../store/records.ts";
import { decodeUtf8, encodeUtf8 } from "../wire/bytes.ts";
import { isObject, type Json, type JsonObject, tryParseJson } from "../wire/json.ts";
import { encodeSse } from "../wire/sse.ts";
import { recordingStream } from "../wire/tee.ts";
import { countsPictures, AnswerScanner } from "./answer-scan.ts";
import { estimateEndpoint } from "./estimate.ts";
import type { CallLog } from "../gateway/call/call-log.ts";

/** A request of a non-generation endpoint, ready to be sent to the provider that its model chose. */
export type EndpointCall = {
  call: Call;
  log: CallLog;
  target: Target;
  /** The caller's wire: errors are told in it. The provider speaks `target.dialect`. */
  surface: Surface;
  provider: WireDialect;
  /** Below the provider's base URL. */
  path: string;
  body: Body;
  /** What the answer means to the caller, where its bytes are not already it. Throws `provider.execution_failed`. */
  translate?: (body: Json) => { value: JsonObject; usage: Usage };
};

type Body = { text: string } | { stream: ReadableStream<Uint8Array>; contentType: string };

/** Where it is handled: in the Worker, which keeps nothing but the record. */
export type EndpointHost = {
  now: () => number;
  waitUntil: (work: Promise<unknown>) => void;
  /** Sets aside what the call may take. Throws `budget.exceeded` or `rate.limited`. */
  reserve: (estimate: () => Promise<Estimate>) => Promise<Reservation | undefined>;
  record: (record: CallRecord) => Promise<void>;
};

/** Pictures and long recordings take minutes until a provider says its first word. Milliseconds. */
const HEADERS_MS = 300_000;

/** Sends it and gives the answer back: natively where the caller's wire is the provider's. Never throws: an error is an answer, too. */
export async function callEndpoint(endpointCall: EndpointCall, host: EndpointHost): Promise<Response> {
  const { call, log, surface } = endpointCall;
  const request = { surface };
  let upstream: Response | undefined;
  try {
    await logReservation(
      log,
      host.reserve(() => estimateEndpoint(endpointCall)),
    );
    upstream = await send(endpointCall, host);
    const response = !upstream.ok
      ? await relayRefusal(endpointCall, upstream, host)
      : endpointCall.translate === undefined
        ? await relayAnswer(endpointCall, upstream, host)
        : await translateAnswer(endpointCall.translate, endpointCall, upstream, host);
    return withHeaders(response, { call, request, log }, upstream.headers);
  } catch (thrown) {
    const error = toGatewayError(thrown);
    host.waitUntil(writeRecord(log, host, "failed", { error }));
    return withHeaders(errorResponse(surface, error, call.id), { call, request, log }, upstream?.headers);
  }
}

async function send({ call, log, target, path, body }: EndpointCall, host: EndpointHost): Promise<Response> {
  const { provider } = target;
  const headers = headersFor(target.dialect, call.headers);
  if ("stream" in body) headers.set("content-type", body.contentType);
  log.startAttempt(target, log.losses);
  const url = `${provider.baseUrl ?? "http://demo.invalid"}${path}`;
  const request = await withCredential(provider, { url, headers, body: "stream" in body ? body.stream : body.text });
  const startedAt = host.now();
  const toAttempt = (): Attempt => ({
    provider: provider.id,
    model: target.model,
    startedAt,
    ms: host.now() - startedAt,
  });
  const { response } = await attempt(target, request, { fetch: fetchOf(provider), headersMs: HEADERS_MS }).catch(
    (thrown: unknown) => {
      log.attempts.push({ ...toAttempt(), error: toGatewayError(thrown).code });
      throw thrown;
    },
  );
  log.attempts.push({ ...toAttempt(), status: response.status });
  log.firstByteAt = host.now();
  await log.pricesLoaded;
  return response;
}

/** In the provider's own words, and in its own bytes where they have the caller's shape. */
async function relayRefusal(endpointCall: EndpointCall, upstream: Response, host: EndpointHost): Promise<Response> {
  const { surface, provider, log, call } = endpointCall;
  const { status } = upstream;
  if (status < 400)
    throw new GatewayError(
      "provider.execution_failed",
      `the provider answered with status ${status}, which is no answer`,
    );
  const text = decodeUtf8(new Uint8Array(await upstream.arrayBuffer()));
  const requestId = upstream.headers.get("x-request-id") ?? upstream.headers.get("request-id") ?? undefined;
  const decoded = provider.decodeError(status, text, requestId);
  const error = toClientError(decoded);
  host.waitUntil(writeRecord(log, host, "failed", { error }));
  const body = tryParseJson(text);
  const isOwnShape = isObject(body) && isObject(body.error) && typeof body.error.message === "string";
  if (surface.dialect.id !== provider.id || !isOwnShape || error !== decoded)
    return errorResponse(surface, error, call.id);
  return new Response(text, { status, headers: { "content-type": "application/json" } });
}

/** Read as a whole: what is no answer must not become one. */
async function translateAnswer(
  translate: NonNullable<EndpointCall["translate"]>,
  { log }: EndpointCall,
  upstream: Response,
  host: EndpointHost,
): Promise<Response> {
  const body = tryParseJson(await upstream.text());
  if (body === undefined) throw new GatewayError("provider.execution_failed", "the provider's answer is not JSON");
  const { value, usage } = translate(body);
  host.waitUntil(writeRecord(log, host, "completed", { usage }));
  return new Response(JSON.stringify(value), { headers: { "content-type": "application/json" } });
}

/**
 * The provider's bytes, whatever they are: JSON, audio, pictures, server-sent events. JavaScript wakes every 64 KiB to
 * read along, and at the end of a stream, to say so where the provider never finished it.
 */
async function relayAnswer(endpointCall: EndpointCall, upstream: Response, host: EndpointHost): Promise<Response> {
  const type = upstream.headers.get("content-type") ?? "application/octet-stream";
  const isStream = type.includes("event-stream");
  const headers = new Headers({ "content-type": type });
  for (const name of FORWARDED_HEADERS) if (upstream.headers.has(name)) headers.set(name, upstream.headers.get(name)!);
  // What the embedded provider has made in memory is no stream of the network: workerd never ends a tee of it.
  if (upstream.body === null || endpointCall.target.provider.id === "demo")
    return await bufferAnswer(endpointCall, upstream, headers, host);
  const { client, blocks } = recordingStream(upstream.body);
  const ended = recordEnd(endpointCall, blocks, isStream, host);
  if (!isStream) {
    host.waitUntil(ended);
    return new Response(client, { status: upstream.status, headers });
  }
  const { readable, writable } = new IdentityTransformStream();
  const pipeToClient = (async () => {
    // Either end may fail. If it was the provider's, the client is still there to be told.
    await client.pipeTo(writable, { preventClose: true, preventAbort: true }).catch(() => {});
    const error = await ended;
    const writer = writable.getWriter();
    // What broke off may have done so within an event: a blank line ends it.
    if (error !== undefined)
      await writer.write(encodeUtf8(`\n\n${encodeSse({ event: "error", data: errorText(endpointCall, error) })}`));
    await writer.close();
  })();
  host.waitUntil(Promise.allSettled([pipeToClient]));
  return new Response(readable, { headers });
}

async function bufferAnswer(
  { log }: EndpointCall,
  upstream: Response,
  headers: Headers,
  host: EndpointHost,
): Promise<Response> {
  const bytes = new Uint8Array(await upstream.arrayBuffer());
  const scanner = new AnswerScanner();
  scanner.push(bytes);
  host.waitUntil(writeRecord(log, host, "completed", { usage: scanner.usage }));
  return new Response(bytes, { status: upstream.status, headers });
}

/** What a client of files reads beside the type; a length would only bind the relay. */
const FORWARDED_HEADERS = ["content-disposition"];

/** Resolves when the call is on record: to the error that a stream's client has not been told yet. */
async function recordEnd(
  { log }: EndpointCall,
  blocks: AsyncIterable<Uint8Array>,
  isStream: boolean,
  host: EndpointHost,
): Promise<GatewayError | undefined> {
  const scanner = new AnswerScanner();
  let cause: unknown;
  try {
    for await (const block of blocks) scanner.push(block);
  } catch (thrown) {
    cause = thrown;
  }
  const { usage } = scanner;
  const isWhole = cause === undefined && (!isStream || scanner.hasTerminal || scanner.hasError);
  if (isWhole && !scanner.hasError) {
    await host.record({ ...(await toCallRecord(log, "completed", { usage })), stream: isStream });
    return undefined;
  }
  const error = isWhole
    ? new GatewayError("provider.execution_failed", "the provider reported an error within its stream")
    : new GatewayError("stream.interrupted", "the provider's answer broke off before its end", { cause });
  const status = isWhole ? "failed" : "incomplete";
  await host.record({ ...(await toCallRecord(log, status, { usage, error })), stream: isStream });
  return isWhole ? undefined : error;
}

const errorText = ({ surface, call }: EndpointCall, error: GatewayError): string =>
  JSON.stringify(surface.dialect.encodeError(error, call.id));

type Ending = [status: CallRecord["status"], said: { usage?: Usage; error?: GatewayError }];

/** These calls are no turns of a conversation. */
async function toCallRecord(log: CallLog, ...ended: Ending): Promise<CallRecord> {
  await log.pricesLoaded;
  const { turnId: _, costMicrosUsd, ...record } = log.toRecord(...ended);
  const isPriced = costMicrosUsd !== undefined && !countsPictures(record.usage);
  return isPriced ? { ...record, costMicrosUsd } : record;
}

async function writeRecord(log: CallLog, host: EndpointHost, ...ended: Ending): Promise<void> {
  await host.record(await toCallRecord(log, ...ended));
}
