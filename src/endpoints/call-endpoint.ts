import { GatewayError, toClientError, toGatewayError } from "../canonical/error.ts";
import type { Usage } from "../canonical/types.ts";
import type { WireDialect } from "../dialects/dialect.ts";
import type { CallLog } from "../gateway/call/call-log.ts";
import type { Call } from "../gateway/call/call.ts";
import { buildErrorResponse, toJsonType, withHeaders } from "../gateway/reply/headers.ts";
import { logReservation } from "../gateway/reserve.ts";
import { requestIdOf } from "../gateway/upstream/refusal.ts";
import type { Estimate, Reservation } from "../keys/budget/grant-pool.ts";
import { withCredential } from "../providers/auth.ts";
import { buildHeaders, fetchOf } from "../providers/request.ts";
import { attempt } from "../routing/attempt.ts";
import type { Target } from "../routing/locate.ts";
import type { Attempt, CallRecord } from "../store/records.ts";
import type { Surface } from "../surfaces/index.ts";
import { decodeUtf8, encodeUtf8 } from "../wire/bytes.ts";
import { isObject, type Json, type JsonObject, tryParseJson } from "../wire/json.ts";
import { encodeSse } from "../wire/sse.ts";
import { splitForRecording } from "../wire/tee.ts";
import { AnswerScanner, countsImages } from "./answer-scan.ts";
import { estimateEndpoint } from "./estimate.ts";

/** A request of an endpoint that does not generate text, ready to be sent to the target of its model. */
export type EndpointCall = {
  call: Call;
  log: CallLog;
  target: Target;
  /** The caller's surface, in whose shape errors are returned. */
  surface: Surface;
  /** The dialect of the provider's errors. */
  providerDialect: WireDialect;
  /** Below the provider's base URL. */
  path: string;
  body: Body;
  /** Converts the answer to the caller's format; absent if its bytes are relayed. Throws `provider.execution_failed`. */
  translate?: (body: Json) => { value: JsonObject; usage: Usage };
};

type Body = { text: string } | { stream: ReadableStream<Uint8Array>; contentType: string };

/** What the call uses of the Worker that handles it; of the call itself, only the record is stored. */
export type EndpointHost = {
  now: () => number;
  waitUntil: (work: Promise<unknown>) => void;
  /** Reserves the estimate in the caller's budgets. Throws `budget.exceeded` or `rate.limited`. */
  reserve: (estimate: () => Promise<Estimate>) => Promise<Reservation | undefined>;
  record: (record: CallRecord) => Promise<void>;
};

/** Time limit for the answer's headers, in milliseconds: pictures and long recordings take minutes to be ready. */
const HEADERS_MS = 300_000;

/** Sends the request and returns the answer, relayed or translated. Never throws: an error is returned as a response. */
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
    return withHeaders(buildErrorResponse(surface, error, call.id), { call, request, log }, upstream?.headers);
  }
}

async function send({ call, log, target, path, body }: EndpointCall, host: EndpointHost): Promise<Response> {
  const { provider } = target;
  const headers = buildHeaders(target.dialect, call.headers);
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

/** The provider's error: its own bytes if they have the shape of the caller's surface, else encoded for the surface. */
async function relayRefusal(endpointCall: EndpointCall, upstream: Response, host: EndpointHost): Promise<Response> {
  const { surface, providerDialect: provider, log, call } = endpointCall;
  const { status } = upstream;
  if (status < 400)
    throw new GatewayError(
      "provider.execution_failed",
      `the provider answered with status ${status}, which is neither success nor error`,
    );
  const text = decodeUtf8(new Uint8Array(await upstream.arrayBuffer()));
  const decoded = provider.decodeError(status, text, requestIdOf(upstream.headers) ?? undefined);
  const error = toClientError(decoded);
  host.waitUntil(writeRecord(log, host, "failed", { error }));
  const body = tryParseJson(text);
  const isOwnShape = isObject(body) && isObject(body.error) && typeof body.error.message === "string";
  if (surface.dialect.id !== provider.id || !isOwnShape || error !== decoded)
    return buildErrorResponse(surface, error, call.id);
  return new Response(text, { status, headers: { "content-type": "application/json" } });
}

/** Reads the answer as a whole and converts it, so that an invalid answer becomes an error before anything is sent. */
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
 * Relays the provider's bytes: JSON, audio, pictures, server-sent events. JavaScript runs only once per block (see
 * wire/tee.ts) to scan for usage, and at the end of a stream, to append an error event if the provider did not finish.
 */
async function relayAnswer(endpointCall: EndpointCall, upstream: Response, host: EndpointHost): Promise<Response> {
  const type = upstream.headers.get("content-type") ?? "application/octet-stream";
  const isStream = /event-stream/i.test(type);
  const headers = new Headers({ "content-type": type });
  for (const name of FORWARDED_HEADERS) if (upstream.headers.has(name)) headers.set(name, upstream.headers.get(name)!);
  // The embedded demo answers from memory, not from the network, and workerd never ends a tee of such a stream.
  const isBuffered =
    upstream.body === null || endpointCall.target.provider.id === "demo" || mayBeJson(upstream.headers);
  if (isBuffered) return await bufferAnswer(endpointCall, upstream, headers, host);
  const { client, blocks } = splitForRecording(upstream.body);
  const ended = recordEnd(endpointCall, blocks, isStream, host);
  if (!isStream) {
    host.waitUntil(ended);
    return new Response(client, { status: upstream.status, headers });
  }
  const { readable, writable } = new IdentityTransformStream();
  const pipeToClient = (async () => {
    // Either end may fail. If it was the provider's, the client still gets the error event below.
    await client.pipeTo(writable, { preventClose: true, preventAbort: true }).catch(() => {});
    const error = await ended;
    const writer = writable.getWriter();
    // The stream may have ended inside an event: a blank line terminates that event.
    if (error !== undefined)
      await writer.write(encodeUtf8(`\n\n${encodeSse({ event: "error", data: errorText(endpointCall, error) })}`));
    await writer.close();
  })();
  host.waitUntil(Promise.allSettled([pipeToClient]));
  return new Response(readable, { headers });
}

/** Whether the type of an answer leaves open whether it is JSON: some hosts send JSON as `text/html` or without a type. */
const mayBeJson = (headers: Headers): boolean =>
  /^\s*(text\/(?!event-stream)|$)/i.test(headers.get("content-type") ?? "");

/** Reads the whole answer into memory, then records and returns it. A JSON object has a content type of JSON. */
async function bufferAnswer(
  { log }: EndpointCall,
  upstream: Response,
  headers: Headers,
  host: EndpointHost,
): Promise<Response> {
  const bytes = new Uint8Array(
    await upstream.arrayBuffer().catch((cause: unknown) => {
      throw new GatewayError("stream.interrupted", "the provider's answer ended early", { cause });
    }),
  );
  if (isObject(tryParseJson(decodeUtf8(bytes)))) headers.set("content-type", toJsonType(headers.get("content-type")));
  const scanner = new AnswerScanner();
  scanner.push(bytes);
  host.waitUntil(writeRecord(log, host, "completed", { usage: scanner.usage }));
  return new Response(bytes, { status: upstream.status, headers });
}

/** Headers of files that are forwarded beside the type. Not the length: the relay may append to the body. */
const FORWARDED_HEADERS = ["content-disposition"];

/** Scans the answer and records the call at its end. Resolves to the error that the client has yet to receive, if any. */
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
  const hasTerminated = cause === undefined && (!isStream || scanner.hasTerminal || scanner.hasError);
  if (hasTerminated && !scanner.hasError) {
    await host.record({ ...(await toCallRecord(log, "completed", { usage })), stream: isStream });
    return undefined;
  }
  const error = hasTerminated
    ? new GatewayError("provider.execution_failed", "the provider reported an error within its stream")
    : new GatewayError("stream.interrupted", "the provider's answer ended early", { cause });
  const status = hasTerminated ? "failed" : "incomplete";
  await host.record({ ...(await toCallRecord(log, status, { usage, error })), stream: isStream });
  return hasTerminated ? undefined : error;
}

const errorText = ({ surface, call }: EndpointCall, error: GatewayError): string =>
  JSON.stringify(surface.dialect.encodeError(error, call.id));

type Ending = [status: CallRecord["status"], details: { usage?: Usage; error?: GatewayError }];

/** The call's record, without a turn: these calls are not part of a conversation. */
async function toCallRecord(log: CallLog, ...ended: Ending): Promise<CallRecord> {
  await log.pricesLoaded;
  const { turnId: _, costMicrosUsd, ...record } = log.toRecord(...ended);
  const isPriced = costMicrosUsd !== undefined && !countsImages(record.usage);
  return isPriced ? { ...record, costMicrosUsd } : record;
}

async function writeRecord(log: CallLog, host: EndpointHost, ...ended: Ending): Promise<void> {
  await host.record(await toCallRecord(log, ...ended));
}
