import type { GatewayError } from "../../canonical/error.ts";
import type { Dialect } from "../../canonical/types.ts";
import { concatBytes, encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse, type SseEvent } from "../../wire/sse.ts";
import { blockReader, isFullBlock } from "../../wire/tee.ts";
import { annotateEvent } from "./annotate.ts";
import { settle, settleFailure } from "./settle.ts";
import type { StreamRecorder } from "../output/recorder.ts";
import type { StartedStream } from "../upstream/answer.ts";
import { idleLimit, readChunks } from "../upstream/read.ts";
import { EventNumberer } from "../output/event-numbers.ts";
import { toStreamError, CLIENT_LEFT } from "../call/endings.ts";
import { replyContext } from "../call/upstream-call.ts";
import { raceTimeout } from "../../wire/time.ts";

/**
 * How often the recorder looks at what has come, at most: JavaScript wakes that seldom, however small the chunks are,
 * and often enough to see that nothing comes. Milliseconds.
 */
const READ_INTERVAL_MS = 1_000;

/**
 * The provider's bytes, natively: JavaScript has seen those up to the first content, wakes once a second to record, and
 * at the end, where it tells the truth about a missing terminal event before it closes.
 */
export function relayBytes(started: StartedStream): Response {
  const { call: upstreamCall, reader } = started;
  const { request, host, upstream, call, log } = upstreamCall;
  const [client, recorder] = upstream.body!.tee();
  const passed = Promise.withResolvers<void>();
  const gone = new AbortController();
  const { readable, writable } = new IdentityTransformStream();
  const { events, rest } = prepareHeld(
    started,
    request.surface.dialect.id,
    call.annotate ? log.toRhoneObject() : undefined,
  );
  const tape = host.recorderFor?.(call.id);
  writeEvents(tape, events);
  const left = AbortSignal.any([gone.signal, ...(host.clientLeft ? [host.clientLeft] : [])]);
  const recording = record(started, { recorder, tape, passed: passed.promise, left });
  const relaying = (async () => {
    try {
      await write(writable, concatBytes([...events.map(({ raw }) => raw), rest]));
      await client.pipeTo(writable, { preventClose: true, preventAbort: true });
    } catch {
      // Either end may have failed. If it was the provider's, the client is still there to be told.
      if (isBroken(writable)) gone.abort(CLIENT_LEFT);
      if (request.rhone.on_disconnect === "cancel") upstreamCall.cancel();
      // A branch that nobody reads would hold the rest of the stream.
      if (!client.locked) await client.cancel().catch(() => {});
    }
    passed.resolve();
    const error = await recording;
    const lastEvents =
      error === undefined
        ? reader.missingTerminator
        : request.surface.dialect.encodeStream(replyContext(upstreamCall)).push({ type: "error", error });
    writeEvents(tape, decodeSse(encodeUtf8(lastEvents)));
    tape?.end();
    await write(writable, encodeUtf8(reader.afterPartialEvent(lastEvents)));
    await writable.close();
  })();
  // A client that leaves ends its own branch only: the recorder reads on.
  host.waitUntil(Promise.allSettled([relaying, recording]));
  const type = upstream.headers.get("content-type")!;
  return new Response(readable, { headers: { "content-type": type } });
}

/** Resolves when the call is on record: to the error that the client has not been told yet. */
async function record(
  { call: upstreamCall, reader }: StartedStream,
  {
    recorder,
    tape,
    passed,
    left,
  }: {
    recorder: ReadableStream<Uint8Array>;
    tape: StreamRecorder | undefined;
    passed: Promise<void>;
    left: AbortSignal;
  },
): Promise<GatewayError | undefined> {
  const pace = Math.min(READ_INTERVAL_MS, upstreamCall.deadlines.idle / 4);
  try {
    for await (const block of readChunks(upstreamCall, idleLimit(upstreamCall, reader), blockReader(recorder))) {
      writeEvents(
        tape,
        reader.push(block).map(({ event }) => event),
      );
      // The branch keeps what comes meanwhile. When the client has all of it, nobody waits any longer.
      if (!isFullBlock(block)) await raceTimeout(passed, pace);
    }
    reader.end();
    const { response, error } = reader.accumulated;
    if (response === undefined) throw error;
    await settle(upstreamCall, response);
    return undefined;
  } catch (thrown) {
    const isCancelled = left.aborted && upstreamCall.request.rhone.on_disconnect === "cancel";
    const error = isCancelled ? CLIENT_LEFT : toStreamError(thrown);
    upstreamCall.cancel();
    await settleFailure(upstreamCall, error, reader);
    return error.upstream === undefined ? error : undefined;
  }
}

/** Whoever should read it has gone: workerd's pipe does not let go of a stream that it cannot write to. */
function isBroken(writable: WritableStream<Uint8Array>): boolean {
  if (writable.locked) return true;
  const writer = writable.getWriter();
  const { desiredSize } = writer;
  writer.releaseLock();
  return desiredSize === null;
}

/** What was held back, to the byte: whole events, with `rhone` in the first, and what has begun to come behind them. */
function prepareHeld(
  { chunks, events: held }: StartedStream,
  dialect: Dialect,
  rhone: object | undefined,
): { events: SseEvent[]; rest: Uint8Array } {
  const first = held.findIndex(({ event }) => event.data !== undefined);
  const events = held.map(({ event }) => event);
  const rest = concatBytes(chunks).subarray(events.reduce((size, { raw }) => size + raw.length, 0));
  const annotated = events.map((event, i) =>
    i === first && rhone !== undefined ? { ...event, raw: annotateEvent(dialect, event, rhone) } : event,
  );
  return { events: annotated, rest };
}

/** Events as the client is told them. */
function writeEvents(recorder: StreamRecorder | undefined, events: readonly SseEvent[]): void {
  if (recorder === undefined) return;
  const numberer = new EventNumberer(false);
  const bytes = concatBytes(events.map((event) => numberer.numberBlock(event)));
  recorder.append(bytes, numberer.takeCount());
}

async function write(writable: WritableStream<Uint8Array>, bytes: Uint8Array): Promise<void> {
  const writer = writable.getWriter();
  try {
    await writer.write(bytes);
  } finally {
    writer.releaseLock();
  }
}
