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
import { type ReplyServices, settle, settleBroken, toStorageError } from "./settle.ts";

/**
 * The longest pause between two reads of the recording branch. Reading in blocks wakes JavaScript once a second however
 * small the chunks are, and is frequent enough to notice a stalled provider. Milliseconds.
 */
const READ_INTERVAL_MS = 1_000;

/**
 * Relays the provider's bytes with the runtime's own pipe. JavaScript has read them up to the first content, wakes once
 * a second to record the second branch, and at the end appends a missing terminal event or the error before it closes.
 */
export function relayBytes(started: StartedStream, services: ReplyServices): Response {
  const { call: upstreamCall, reader } = started;
  const { request, upstream, call } = upstreamCall;
  const { store, lifetime, log } = services;
  log.addLosses(reader.accumulated.losses);
  const [client, branch] = upstream.body!.tee();
  const { readable, writable } = new IdentityTransformStream();
  const held = prepareHeld(started, request.surface.dialect.id, call.annotate ? log.toRhoneObject() : undefined);
  const recorder = store.recorderFor?.(call.id);
  writeEvents(recorder, held.events);
  const relay = new Relay(started, services, { client, branch, writable, recorder });
  const pipe = relay.pipeToClient(held);
  const record = relay.recordStream(pipe);
  const finish = Promise.allSettled([pipe, record]).then(([, recorded]) =>
    relay.appendEnd(recorded.status === "fulfilled" ? recorded.value : toStorageError(recorded.reason)),
  );
  // A client that leaves ends its own branch only: recording continues.
  lifetime.waitUntil(Promise.allSettled([finish]));
  const type = upstream.headers.get("content-type")!;
  return new Response(readable, { headers: { "content-type": type } });
}

/** The three tasks of one relayed stream: the pipe and the recording run side by side, then the end is written. */
class Relay {
  readonly #started: StartedStream;
  readonly #services: ReplyServices;
  readonly #streams: RelayStreams;
  readonly #writeFailed = new AbortController();

  constructor(started: StartedStream, services: ReplyServices, streams: RelayStreams) {
    this.#started = started;
    this.#services = services;
    this.#streams = streams;
  }

  /** Resolves when the client has received all of the provider's bytes, or either end has failed. */
  async pipeToClient({ events, rest }: HeldBytes): Promise<void> {
    const { client, writable } = this.#streams;
    const { request, cancel } = this.#started.call;
    try {
      await write(writable, concatBytes([...events.map(({ raw }) => raw), rest]));
      await client.pipeTo(writable, { preventClose: true, preventAbort: true });
    } catch {
      // If the provider's end failed, the client still receives the error at the end.
      if (isBroken(writable)) this.#writeFailed.abort(CLIENT_LEFT);
      if (request.rhone.on_disconnect === "cancel") cancel();
      // A branch of a tee that is not read would hold the rest of the stream in memory.
      if (!client.locked) await client.cancel().catch(() => {});
    }
  }

  /**
   * Reads the second branch, records it and settles the call. Resolves when the call's record is durable, to the error
   * that the client has not received yet, if there is one.
   */
  async recordStream(pipe: Promise<void>): Promise<GatewayError | undefined> {
    const { call: upstreamCall, reader } = this.#started;
    const { branch, recorder } = this.#streams;
    const { log } = this.#services;
    const pauseMs = Math.min(READ_INTERVAL_MS, upstreamCall.limits.idle / 4);
    try {
      const blocks = createBlockReader(branch);
      for await (const block of readChunks(upstreamCall, log, idleLimit(upstreamCall, reader), blocks)) {
        writeEvents(
          recorder,
          reader.push(block).map(({ event }) => event),
        );
        // The tee buffers what arrives during the pause. The pause ends at once when the client has received everything.
        if (!isFullBlock(block)) await raceTimeout(pipe, pauseMs);
      }
      reader.end();
      const { response, error } = reader.accumulated;
      if (response === undefined) throw error;
      await settle(upstreamCall, response, this.#services).catch((cause: unknown) => {
        throw toStorageError(cause);
      });
      return undefined;
    } catch (thrown) {
      const error = this.#isCancelled() ? CLIENT_LEFT : toStreamError(thrown);
      upstreamCall.cancel();
      await settleBroken(upstreamCall, error, reader, this.#services);
      // No client reads beyond the end mark, and after it an error would contradict the answer that it has received. The
      // provider's own error event has been sent, whereas its word for a failure is no error event.
      const isSent = reader.isFailing ? reader.isTerminated : error.upstream !== undefined || reader.hasEndMark;
      return isSent ? undefined : error;
    }
  }

  /** Writes the error's event, or the terminal event that the provider left out, and closes the client's stream. */
  async appendEnd(error: GatewayError | undefined): Promise<void> {
    const { reader } = this.#started;
    const { writable, recorder } = this.#streams;
    const lastEvents =
      error === undefined
        ? reader.missingTerminator
        : createResumedEncoder(this.#started, reader.lastEvent, this.#services.log).push({ type: "error", error });
    writeEvents(recorder, decodeSse(encodeUtf8(lastEvents)));
    recorder?.end();
    await write(writable, encodeUtf8(reader.afterPartialEvent(lastEvents)));
    await writable.close();
  }

  /** Whether the client has left a call that ends with its client. */
  #isCancelled(): boolean {
    const { clientLeft } = this.#services.lifetime;
    const hasLeft = this.#writeFailed.signal.aborted || clientLeft?.aborted === true;
    return hasLeft && this.#started.call.request.rhone.on_disconnect === "cancel";
  }
}

/** `client`, `branch`: the provider's bytes, twice. `writable`: the client's stream. */
type RelayStreams = {
  client: ReadableStream<Uint8Array>;
  branch: ReadableStream<Uint8Array>;
  writable: WritableStream<Uint8Array>;
  recorder: StreamRecorder | undefined;
};

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

/** Whole events, and the bytes of a partial one after them. */
type HeldBytes = { events: SseEvent[]; rest: Uint8Array };

/**
 * The bytes held back until the first content: whole events without malformed ones, with `rhone` in the first one, and
 * the partial event after them.
 */
function prepareHeld({ chunks, events: held }: StartedStream, dialect: Dialect, rhone: object | undefined): HeldBytes {
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
