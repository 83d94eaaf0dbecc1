import { GatewayError, invalid } from "../../canonical/error.ts";
import type { WireDialect } from "../../dialects/dialect.ts";
import { encodeUsage } from "../../dialects/native/usage.ts";
import type { CallStart, CallState } from "../../session/calls.ts";
import type { EventBuffer, StoredStream } from "../../session/stream/event-buffer.ts";
import type { EventCount } from "../../session/stream/segments.ts";
import type { CallRecord } from "../../store/records.ts";
import { type SurfaceId, SURFACES } from "../../surfaces/index.ts";
import { concatBytes, encodeUtf8 } from "../../wire/bytes.ts";
import { withoutUndefined } from "../../wire/json.ts";
import { ClientStream } from "../output/client-stream.ts";
import { EventNumberer, hasEventIds } from "../output/event-numbers.ts";
import { keepAlive } from "../output/keep-alive.ts";
import type { StreamRecorder } from "../output/recorder.ts";
import type { StreamChunk } from "../output/remote-recorder.ts";
import { EVENT_STREAM } from "../reply/headers.ts";

type StreamServices = {
  buffer: EventBuffer;
  /** Whether a WebSocket is connected to the session. */
  hasListeners: () => boolean;
  /** Keeps the object awake until the promise settles. */
  waitUntil: (work: Promise<unknown>) => void;
};

/**
 * The event streams and notices of a session's calls: recorded in the session's buffer while calls run, sent to its
 * WebSockets from there, and resumable over HTTP while the buffer retains them.
 */
export class SessionStreams {
  readonly #services: StreamServices;
  /** Calls whose stream is being recorded, with their record if it was written before the end of the stream. */
  readonly #recording = new Map<string, CallRecord | undefined>();

  constructor(services: StreamServices) {
    this.#services = services;
  }

  /** A call has started: publishes the notice, and opens the buffer of a call that streams. */
  start({ id, surface, modelAsked, stream, createdAt }: CallStart): void {
    const { buffer } = this.#services;
    const created_at = new Date(createdAt).toISOString();
    notify(buffer, id, { type: "call.started", call_id: id, surface, model: modelAsked, stream, created_at });
    if (stream) buffer.start(id);
  }

  /** Whether the buffer has a stream of this call, be it empty. */
  isStored(call: string): boolean {
    return this.#services.buffer.countEvents(call) !== undefined;
  }

  /** The recorder that writes the stream of a call running in this object. */
  recorderFor(call: string): StreamRecorder {
    const { buffer, waitUntil } = this.#services;
    // A whole answer that is sent as a stream is recorded before its stream starts: an existing entry stays.
    if (!this.#recording.has(call)) this.#recording.set(call, undefined);
    return {
      append: (bytes, count) => buffer.append(call, bytes, count),
      end: () => this.#end(call),
      pipeTo: (client) => waitUntil(follow(buffer.readOn(call), client)),
    };
  }

  /** Appends a part of the stream of a stateless call, which runs in the Worker. */
  append(started: CallStart, { bytes, count }: StreamChunk): void {
    if (!this.isStored(started.id)) this.start(started);
    this.recorderFor(started.id).append(bytes, count);
    this.#services.buffer.flush();
  }

  /** Ends the stream of a stateless call: it is recorded, and all of its stream has been appended. */
  onImported(record: CallRecord): void {
    if (!this.isStored(record.id)) this.start(record);
    this.onRecord(record);
    this.#end(record.id);
  }

  /** Publishes a whole answer, in the bytes its client receives, as one event. */
  appendBody(call: string, body: Uint8Array): void {
    const head = encodeUtf8(`{"type":"call.event","call_id":"${call}","event":`);
    this.#services.buffer.appendNotice(call, concatBytes([head, body, encodeUtf8("}")]));
    this.#end(call);
  }

  /**
   * A call was recorded. The notice of a completed call, or of one that is being streamed, waits for the end of the
   * stream, so that it follows the answer; any other is published at once.
   */
  onRecord(record: CallRecord): void {
    const { id, status } = record;
    if (status === "completed" || this.#recording.has(id)) this.#recording.set(id, record);
    else this.#finish(record);
  }

  /** All work of a call is done: ends its stream, and publishes a notice that still waits. */
  onWorkDone(call: string): void {
    this.#end(call);
  }

  #end(call: string): void {
    const record = this.#recording.get(call);
    this.#recording.delete(call);
    this.#services.buffer.end(call);
    if (record !== undefined) this.#finish(record);
  }

  #finish(record: CallRecord): void {
    const { buffer, hasListeners } = this.#services;
    const { id, error, status } = record;
    if (error !== undefined && buffer.countEvents(id) === 0) {
      const { bytes, count } = encodeFailure(record);
      buffer.append(id, bytes, count);
    }
    buffer.end(id);
    notify(buffer, id, status === "completed" ? completedNotice(record) : failedNotice(record));
    // Otherwise it is written with those of the next seconds, by the alarm that each recorded call sets.
    if (hasListeners()) buffer.flush();
  }

  /** Number of events in the buffered stream of a call; `undefined` if the stream is not or no longer buffered. */
  countEvents(call: string): number | undefined {
    return this.#services.buffer.countEvents(call);
  }

  /** Ends the stream of a call that a crash interrupted with an error event, and publishes its failure. */
  interrupt(record: CallRecord): void {
    const { buffer } = this.#services;
    if (record.stream) buffer.interrupt(record.id, (stored) => encodeFailure(record, stored));
    notify(buffer, record.id, failedNotice(record));
    buffer.flush();
  }

  /**
   * A response with the events after number `after`, byte for byte as the original stream, to its end. Throws
   * `request.invalid` naming `after` if the stream has fewer events, and `object.not_found` if it is no longer buffered.
   */
  resume({ id, started, status, record }: CallState, after: number): Response {
    const { buffer, waitUntil } = this.#services;
    if (!started.stream)
      throw invalid("id", "expected a call that was made as a stream; GET /v1/calls/{id} shows any call");
    const events = buffer.countEvents(id);
    if (events === undefined)
      throw new GatewayError("object.not_found", "the stream is no longer stored (ten minutes after the reply)");
    if (events === 0 && status === "completed")
      throw invalid("id", "expected a call whose stream was sent as server-sent events");
    // Events lost in a crash cannot be sent again; the error event that reports the crash is sent in any case.
    const cut = status === "interrupted" && record !== undefined ? encodeFailure(record).count.events : 0;
    const from = cut === 0 ? after : Math.min(after, events - cut);
    if (from > events) throw invalid("after", `expected at most ${events}: the stream has no more events so far`);
    const client = new ClientStream(() => {});
    const alive = keepAlive(SURFACES[started.surface as SurfaceId].dialect.id, (ping) => client.ping(ping));
    waitUntil(follow(buffer.readStream(id, from), client).finally(alive.stop));
    const headers = { "content-type": EVENT_STREAM, "cache-control": "no-cache" };
    return new Response(client.body, {
      headers: { ...headers, "x-rhone-call-id": id, "x-rhone-session-id": started.sessionId },
    });
  }
}

/** Sends buffered and future bytes of a stream to a client, until the stream ends or the client disconnects. */
async function follow(bytes: AsyncIterable<Uint8Array>, client: ClientStream): Promise<void> {
  for await (const more of bytes) {
    if (client.isGone) return;
    await client.send(more);
  }
  await client.close();
}

const notify = (buffer: EventBuffer, call: string, notice: object): void =>
  buffer.appendNotice(call, encodeUtf8(JSON.stringify(notice)));

const completedNotice = ({ id, turnId, model, provider, finishReason, usage, costMicrosUsd }: CallRecord): object =>
  withoutUndefined({
    type: "call.completed",
    call_id: id,
    turn_id: turnId,
    model,
    provider,
    finish_reason: finishReason,
    usage: encodeUsage(usage),
    cost_micros_usd: costMicrosUsd,
  });

/** `error` has the shape of the caller's surface, in which the HTTP status need not be. */
function failedNotice(record: CallRecord): object {
  const error = errorOf(record);
  return withoutUndefined({
    type: "call.failed",
    call_id: record.id,
    status: record.status,
    http_status: error.status,
    retry_after_s: error.retryAfterSeconds,
    error: dialectOf(record).encodeError(error, record.id).error,
  });
}

/**
 * The error event of a failed call in the surface's wire format. `stored`: the stream that the event ends, if one had
 * started: event numbers and open blocks continue from it.
 */
function encodeFailure(record: CallRecord, stored?: StoredStream): { bytes: Uint8Array; count: EventCount } {
  const dialect = dialectOf(record);
  const encoder = dialect.encodeStream({ created: Math.floor(record.createdAt / 1000) });
  if (stored?.lastEvent !== undefined) encoder.resumeAfter?.(stored.lastEvent);
  const numberer = new EventNumberer(hasEventIds(dialect.id, stored !== undefined), {
    alreadySent: stored?.events ?? 0,
  });
  const bytes = numberer.numberEncoded(encoder.push({ type: "error", error: errorOf(record) }));
  return { bytes, count: numberer.takeCount() };
}

const errorOf = ({ error }: CallRecord): GatewayError =>
  error === undefined
    ? new GatewayError("internal", "the call failed")
    : new GatewayError(error.code, error.message, error);

/** The caller's wire. Endpoints that do not generate (embeddings, images) have no surface and use OpenAI's error shape. */
const dialectOf = ({ surface }: CallRecord): WireDialect =>
  (Object.hasOwn(SURFACES, surface) ? SURFACES[surface as SurfaceId] : SURFACES.chat).dialect;
