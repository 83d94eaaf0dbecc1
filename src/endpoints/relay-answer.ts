import { GatewayError } from "../canonical/error.ts";
import type { Usage } from "../canonical/types.ts";
import type { CallLog } from "../gateway/call/call-log.ts";
import type { CallHost } from "../gateway/call/call.ts";
import { CLIENT_LEFT, toStreamError } from "../gateway/call/stream-errors.ts";
import type { Destination, UpstreamCall } from "../gateway/call/upstream-call.ts";
import { ByteRelay } from "../gateway/reply/byte-relay.ts";
import { toJsonType } from "../gateway/reply/headers.ts";
import { recordFailure, toStorageError } from "../gateway/reply/settle.ts";
import type { CallShield } from "../gateway/shield/call-shield.ts";
import { idleLimit, readAll } from "../gateway/upstream/body-reader.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { concatBytes, decodeUtf8, encodeUtf8 } from "../wire/bytes.ts";
import { isObject, tryParseJson } from "../wire/json.ts";
import { encodeSse, type SseEvent, SseSplitter } from "../wire/sse.ts";
import { AnswerScanner, countsImages } from "./answer-scan.ts";

/** An endpoint's request at one target, with its response. `request`: its surface is the caller's. */
export type EndpointUpstream = Pick<UpstreamCall, "call" | "losses" | "upstream" | "cancel" | "limits"> & {
  request: Pick<ParsedRequest, "surface" | "rhone">;
  destination: Pick<Destination, "target" | "dialect">;
};

/** What relaying uses of the call's host, and the call's log. */
type RelayServices = Pick<CallHost, "store" | "budgets" | "lifetime" | "shield"> & { log: CallLog };

/**
 * Relays the provider's bytes: JSON, audio, pictures, server-sent events. JavaScript reads a second branch, about once a
 * second, to scan for usage, and at the end of a stream appends an error event if the provider did not finish.
 */
export async function relayAnswer(upstreamCall: EndpointUpstream, services: RelayServices): Promise<Response> {
  const { upstream, destination } = upstreamCall;
  const { lifetime } = services;
  const type = upstream.headers.get("content-type") ?? "application/octet-stream";
  const isStream = /event-stream/i.test(type);
  const headers = new Headers({ "content-type": type });
  for (const name of FORWARDED_HEADERS) if (upstream.headers.has(name)) headers.set(name, upstream.headers.get(name)!);
  // The embedded demo answers from memory, not from the network, and workerd never ends a tee of such a stream.
  const isFromMemory = upstream.body === null || destination.target.provider.id === "demo";
  const changes = services.shield?.answer.isChangedForClient === true;
  if (isFromMemory || mayBeJson(upstream.headers) || (changes && /json/i.test(type)))
    return await relayWhole(upstreamCall, headers, services);
  const relay = new ByteRelay(upstreamCall, lifetime);
  const finish = scanAnswer(upstreamCall, relay, isStream, services)
    .catch(toStorageError)
    .then((error) =>
      isStream || error === undefined ? relay.end(encodeError(upstreamCall, error)) : relay.breakOff(error),
    );
  lifetime.waitUntil(Promise.allSettled([finish]));
  if (changes && !isStream) services.shield?.answer.addUnscanned();
  const shown = isStream && changes ? relay.body.pipeThrough(editAnswer(upstreamCall, services.shield!)) : relay.body;
  return new Response(shown, { status: upstream.status, headers });
}

/** A stream of events as the client gets it: without what its shield denies, and with the client's own values. */
function editAnswer(upstreamCall: EndpointUpstream, shield: CallShield): TransformStream<Uint8Array, Uint8Array> {
  const splitter = new SseSplitter();
  const editors = [shield.answer.editor(false), shield.answer.clientEditor()].filter((editor) => editor !== undefined);
  const edit = (events: SseEvent[], isLast: boolean): Uint8Array => {
    const edited = editors.reduce(
      (all, editor) => [...all.flatMap((event) => editor.push(event)), ...(isLast ? editor.end() : [])],
      events,
    );
    return concatBytes(edited.map(({ raw }) => raw));
  };
  return new TransformStream({
    transform: (chunk, controller) => {
      try {
        controller.enqueue(edit(splitter.push(chunk), false));
      } catch (thrown) {
        controller.enqueue(encodeError(upstreamCall, toStreamError(thrown)));
        controller.terminate();
      }
    },
    flush: (controller) => {
      try {
        controller.enqueue(edit(splitter.flush(), true));
      } catch (thrown) {
        controller.enqueue(encodeError(upstreamCall, toStreamError(thrown)));
      }
    },
  });
}

/** Headers of files that are forwarded beside the type. Not the length: the relay may append to the body. */
const FORWARDED_HEADERS = ["content-disposition"];

/** Whether the type of an answer leaves open whether it is JSON: some hosts send JSON as `text/html` or without a type. */
const mayBeJson = (headers: Headers): boolean =>
  /^\s*(text\/(?!event-stream)|$)/i.test(headers.get("content-type") ?? "");

/** Reads the whole answer into memory, then records and returns it. A JSON object has a content type of JSON. */
async function relayWhole(
  upstreamCall: EndpointUpstream,
  headers: Headers,
  services: RelayServices,
): Promise<Response> {
  const received = await readAll(upstreamCall, services.log).catch((cause: unknown) => {
    throw toStreamError(cause);
  });
  const isJson = isObject(tryParseJson(decodeUtf8(received)));
  const bytes = screenWhole(received, services.shield);
  if (isJson) headers.set("content-type", toJsonType(headers.get("content-type")));
  const scanner = new AnswerScanner();
  scanner.push(bytes);
  services.lifetime.waitUntil(recordCompleted(services, scanner.usage));
  return new Response(bytes, { status: upstreamCall.upstream.status, headers });
}

/** JSON, or text, which is read as a string of JSON is. */
function screenWhole(bytes: Uint8Array, shield: CallShield | undefined): Uint8Array {
  if (shield?.answer.isChangedForClient !== true) return bytes;
  const text = decodeUtf8(bytes);
  const isJson = tryParseJson(text) !== undefined;
  const shown = shield.answer.toClientBody(shield.answer.screen(isJson ? text : JSON.stringify(text)));
  return encodeUtf8(isJson ? shown : (JSON.parse(shown) as string));
}

/** Scans the answer and records the call at its end. Resolves to the error that the client has yet to receive, if any. */
async function scanAnswer(
  upstreamCall: EndpointUpstream,
  relay: ByteRelay,
  isStream: boolean,
  services: RelayServices,
): Promise<GatewayError | undefined> {
  const { log } = services;
  const scanner = new AnswerScanner();
  let failure: GatewayError | undefined;
  try {
    for await (const block of relay.read(log, idleLimit(upstreamCall))) scanner.push(block);
  } catch (thrown) {
    failure = relay.isCancelled ? CLIENT_LEFT : toStreamError(thrown);
  }
  const { usage, hasError } = scanner;
  const hasEnded = failure === undefined && (!isStream || scanner.hasTerminal || hasError);
  if (hasEnded && !hasError) {
    await recordCompleted(services, usage, isStream);
    return undefined;
  }
  const error = hasEnded
    ? new GatewayError("provider.execution_failed", "the provider reported an error within its stream")
    : (failure ?? new GatewayError("stream.interrupted", "the provider's answer ended early"));
  await recordFailure({ host: services, log }, error, { usage });
  return hasEnded ? undefined : error;
}

/** The error's event; nothing without an error. */
function encodeError({ request: { surface }, call }: EndpointUpstream, error: GatewayError | undefined): Uint8Array {
  if (error === undefined) return new Uint8Array();
  const data = JSON.stringify(surface.dialect.encodeError(error, call.id));
  // The stream may have ended inside an event: a blank line terminates that event.
  return encodeUtf8(`\n\n${encodeSse({ event: "error", data })}`);
}

/** Records and settles a finished call. Its record has no turn: these calls are not part of a conversation. */
export async function recordCompleted(
  { store, budgets, log }: RelayServices,
  usage: Usage,
  isStream?: boolean,
): Promise<void> {
  const { turnId: _, costMicrosUsd, ...rest } = await log.toRecord("completed", { usage });
  const isPriced = costMicrosUsd !== undefined && !countsImages(usage);
  const record = { ...rest, ...(isPriced && { costMicrosUsd }), ...(isStream !== undefined && { stream: isStream }) };
  budgets.settle(record);
  await store.commit(record);
}
