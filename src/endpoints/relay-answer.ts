import { GatewayError } from "../canonical/error.ts";
import type { Usage } from "../canonical/types.ts";
import type { CallLog } from "../gateway/call/call-log.ts";
import type { CallHost } from "../gateway/call/call.ts";
import { toStreamError } from "../gateway/call/stream-errors.ts";
import type { Destination, UpstreamCall } from "../gateway/call/upstream-call.ts";
import { toJsonType } from "../gateway/reply/headers.ts";
import { recordFailure } from "../gateway/reply/settle.ts";
import { idleLimit, readAll, readChunks } from "../gateway/upstream/body-reader.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import { decodeUtf8, encodeUtf8 } from "../wire/bytes.ts";
import { isObject, tryParseJson } from "../wire/json.ts";
import { encodeSse } from "../wire/sse.ts";
import { createBlockReader, isFullBlock } from "../wire/tee.ts";
import { raceTimeout } from "../wire/time.ts";
import { AnswerScanner, countsImages } from "./answer-scan.ts";

/** An endpoint's request at one target, with its response. `request`: its surface is the caller's. */
export type EndpointUpstream = Pick<UpstreamCall, "call" | "losses" | "upstream" | "cancel" | "limits"> & {
  request: Pick<ParsedRequest, "surface">;
  destination: Pick<Destination, "target" | "dialect">;
};

/** The longest pause between two reads of the scanned branch. Milliseconds. */
const READ_INTERVAL_MS = 1_000;

/** What relaying uses of the call's host, and the call's log. */
type RelayServices = Pick<CallHost, "store" | "budgets" | "lifetime"> & { log: CallLog };

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
  if (isFromMemory || mayBeJson(upstream.headers)) return await relayWhole(upstreamCall, headers, services);
  const [client, branch] = upstream.body.tee();
  const { readable, writable } = new IdentityTransformStream();
  // Either end may fail. If it was the provider's, the client of a stream still gets the error event below.
  const pipe = client.pipeTo(writable, { preventClose: isStream, preventAbort: isStream }).catch(async () => {
    // A branch of a tee that is not read would hold the rest of the answer in memory.
    if (!client.locked) await client.cancel().catch(() => {});
  });
  const scan = scanBranch(upstreamCall, { branch, pipe, isStream }, services);
  const finish = async (): Promise<void> => {
    const [, error] = await Promise.all([pipe, scan]);
    if (isStream) await appendEnd(writable, upstreamCall, error);
  };
  lifetime.waitUntil(Promise.allSettled([finish()]));
  return new Response(readable, { status: upstream.status, headers });
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
  const bytes = await readAll(upstreamCall, services.log).catch((cause: unknown) => {
    throw toStreamError(cause);
  });
  if (isObject(tryParseJson(decodeUtf8(bytes)))) headers.set("content-type", toJsonType(headers.get("content-type")));
  const scanner = new AnswerScanner();
  scanner.push(bytes);
  services.lifetime.waitUntil(recordCompleted(services, scanner.usage));
  return new Response(bytes, { status: upstreamCall.upstream.status, headers });
}

/** Scans the answer and records the call at its end. Resolves to the error that the client has yet to receive, if any. */
async function scanBranch(
  upstreamCall: EndpointUpstream,
  { branch, pipe, isStream }: { branch: ReadableStream<Uint8Array>; pipe: Promise<void>; isStream: boolean },
  services: RelayServices,
): Promise<GatewayError | undefined> {
  const { log } = services;
  const scanner = new AnswerScanner();
  const pauseMs = Math.min(READ_INTERVAL_MS, upstreamCall.limits.idle / 4);
  let failure: GatewayError | undefined;
  try {
    for await (const block of readChunks(upstreamCall, log, idleLimit(upstreamCall), createBlockReader(branch))) {
      scanner.push(block);
      // The tee buffers what arrives during the pause. The pause ends at once when the client has received everything.
      if (!isFullBlock(block)) await raceTimeout(pipe, pauseMs);
    }
  } catch (thrown) {
    failure = toStreamError(thrown);
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

/** Writes the error's event, if the client has yet to receive the error, and closes the client's stream. */
async function appendEnd(
  writable: WritableStream<Uint8Array>,
  { request: { surface }, call }: EndpointUpstream,
  error: GatewayError | undefined,
): Promise<void> {
  const writer = writable.getWriter();
  if (error !== undefined) {
    const data = JSON.stringify(surface.dialect.encodeError(error, call.id));
    // The stream may have ended inside an event: a blank line terminates that event.
    await writer.write(encodeUtf8(`\n\n${encodeSse({ event: "error", data })}`));
  }
  await writer.close();
}

/** Records and settles a finished call. Its record has no turn: these calls are not part of a conversation. */
export async function recordCompleted(
  { store, budgets, log }: RelayServices,
  usage: Usage,
  isStream?: boolean,
): Promise<void> {
  await log.pricesLoaded;
  const { turnId: _, costMicrosUsd, ...rest } = log.toRecord("completed", { usage });
  const isPriced = costMicrosUsd !== undefined && !countsImages(usage);
  const record = { ...rest, ...(isPriced && { costMicrosUsd }), ...(isStream !== undefined && { stream: isStream }) };
  budgets.settle(record);
  await store.commit(record);
}
