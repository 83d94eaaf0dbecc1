import type { GatewayError } from "../../canonical/error.ts";
import type { Dialect } from "../../canonical/types.ts";
import { concatBytes, encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse, type SseEvent } from "../../wire/sse.ts";
import { createBlockReader, isFullBlock } from "../../wire/tee.ts";
import { raceTimeout } from "../../wire/time.ts";
import { CLIENT_LEFT, toStreamError } from "../call/stream-errors.ts";
import { EventNumberer } from "../output/event-numbers.ts";
import type { StreamRecorder } from "../output/recorder.ts";
import { idleLimit, readChunks } from "../upstream/body-reader.ts";
import type { StartedStream } from "../upstream/first-content.ts";
import { isMalformed } from "../upstream/stream-reader.ts";
import { annotateEvent } from "./annotate.ts";
import { createResumedEncoder } from "./resumed-encoder.ts";
import { addLosses, settle, settleFailure, toStorageError } from "./settle.ts";

/**
 * The longest pause between two reads of the recording branch. Reading in blocks wakes JavaScript once a second however
 * small the chunks are, and is frequent enough to notice a stalled provider. Milliseconds.
 */
const READ_INTERVAL_MS = 1_000;

/**
 * Relays the provider's bytes with the runtime's own pipe. JavaScript has read them up to the first content, wakes once
 * a second to record the second branch, and at the end appends a missing terminal event or the error before it closes.
 */
export function relayBytes(started: StartedStream): Response {
  const { call: upstreamCall, reader } = started;
  const { request, host, upstream, call, log } = upstreamCall;
  addLosses(log, reader.accumulated.losses);
  const [client, branch] = upstream.body!.tee();
  const piped = Promise.withResolvers<void>();
  const writeFailed = new AbortController();
  const { readable, writable } = new IdentityTransformStream();
  const { events, rest } = prepareHeld(
    started,
    request.surface.dialect.id,
    call.annotate ? log.toRhoneObject() : undefined,
  );
  const recorder = host.recorderFor?.(call.id);
  writeEvents(recorder, events);
  const clientLeft = AbortSignal.any([writeFailed.signal, ...(host.clientLeft ? [host.clientLeft] : [])]);
  const recording = record(started, { branch, recorder, piped: piped.promise, clientLeft });
  const relaying = (async () => {
    try {
      await write(writable, concatBytes([...events.map(({ raw }) => raw), rest]));
      await client.pipeTo(writable, { preventClose: true, preventAbort: true });
    } catch {
      // Either end of the pipe can have failed. If it was the provider's, the client still receives the error below.
      if (isBroken(writable)) writeFailed.abort(CLIENT_LEFT);
      if (request.rhone.on_disconnect === "cancel") upstreamCall.cancel();
      // A branch of a tee that is not read would hold the rest of the stream in memory.
      if (!client.locked) await client.cancel().catch(() => {});
    }
    piped.resolve();
    const error = await recording;
    const lastEvents =
      error === undefined
        ? reader.missingTerminator
        : createResumedEncoder(started, reader.lastEvent).push({ type: "error", error });
    writeEvents(recorder, decodeSse(encodeUtf8(lastEvents)));
    recorder?.end();
    await write(writable, encodeUtf8(reader.afterPartialEvent(lastEvents)));
    await writable.close();
  })();
  // A client that leaves ends its own branch only: recording continues.
  host.waitUntil(Promise.allSettled([relaying, recording]));
  const type = upstream.headers.get("content-type")!;
  return new Response(readable, { headers: { "content-type": type } });
}

/**
 * Reads the second branch, records it and settles the call. Resolves when the call's record is durable, to the error
 * that the client has not received yet, if there is one.
 */
async function record(
  { call: upstreamCall, reader }: StartedStream,
  {
    branch,
    recorder,
    piped,
    clientLeft,
  }: {
    branch: ReadableStream<Uint8Array>;
    recorder: StreamRecorder | undefined;
    piped: Promise<void>;
    clientLeft: AbortSignal;
  },
): Promise<GatewayError | undefined> {
  const pauseMs = Math.min(READ_INTERVAL_MS, upstreamCall.deadlines.idle / 4);
  try {
    for await (const block of readChunks(upstreamCall, idleLimit(upstreamCall, reader), createBlockReader(branch))) {
      writeEvents(
        recorder,
        reader.push(block).map(({ event }) => event),
      );
      // The tee buffers what arrives during the pause. The pause ends at once when the client has received everything.
      if (!isFullBlock(block)) await raceTimeout(piped, pauseMs);
    }
    reader.end();
    const { response, error } = reader.accumulated;
    if (response === undefined) throw error;
    await settle(upstreamCall, response).catch((cause: unknown) => {
      throw toStorageError(cause);
    });
    return undefined;
  } catch (thrown) {
    const isCancelled = clientLeft.aborted && upstreamCall.request.rhone.on_disconnect === "cancel";
    const error = isCancelled ? CLIENT_LEFT : toStreamError(thrown);
    upstreamCall.cancel();
    await settleFailure(upstreamCall, error, reader);
    // No client reads beyond the end mark, and after it an error would contradict the answer that it has received. The
    // provider's own error event has been sent, whereas its word for a failure is no error event.
    const isSent = reader.isFailing ? reader.isTerminated : error.upstream !== undefined || reader.hasEndMark;
    return isSent ? undefined : error;
  }
}

/**
 * Whether the client can no longer be written to. workerd's pipe does not release the lock of a stream whose reader is
 * gone, so a locked stream counts as broken.
 */
function isBroken(writable: WritableStream<Uint8Array>): boolean {
  if (writable.locked) return true;
  const writer = writable.getWriter();
  const { desiredSize } = writer;
  writer.releaseLock();
  return desiredSize === null;
}

/**
 * The bytes held back until the first content: whole events without malformed ones, with `rhone` in the first one, and
 * the partial event after them.
 */
function prepareHeld(
  { chunks, events: held }: StartedStream,
  dialect: Dialect,
  rhone: object | undefined,
): { events: SseEvent[]; rest: Uint8Array } {
  const rest = concatBytes(chunks).subarray(held.reduce((size, { event }) => size + event.raw.length, 0));
  const events = held.filter(({ decoded }) => !isMalformed(decoded)).map(({ event }) => event);
  const first = events.findIndex(({ data }) => data !== undefined);
  const annotated = events.map((event, i) =>
    i === first && rhone !== undefined ? { ...event, raw: annotateEvent(dialect, event, rhone) } : event,
  );
  return { events: annotated, rest };
}

/** Appends events to the recorder as the client receives them. */
function writeEvents(recorder: StreamRecorder | undefined, events: readonly SseEvent[]): void {
  if (recorder === undefined) return;
  const numberer = new EventNumberer(false);
  const bytes = concatBytes(events.map((event) => numberer.numberBlock(event)));
  recorder.append(bytes, numberer.takeCount());
}

/** Writes bytes and releases the lock, so that a pipe can use the stream afterwards. */
async function write(writable: WritableStream<Uint8Array>, bytes: Uint8Array): Promise<void> {
  const writer = writable.getWriter();
  try {
    await writer.write(bytes);
  } finally {
    writer.releaseLock();
  }
}
