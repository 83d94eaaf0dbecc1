import type { WireDialect } from "../../dialects/dialect.ts";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { encodeUsage } from "../../dialects/native/response.ts";
import type { EventBuffer, StoredStream } from "../../session/stream/event-buffer.ts";
import type { EventCount } from "../../session/stream/segments.ts";
import type { CallState, CallStart } from "../../session/calls.ts";
import type { CallRecord } from "../../store/records.ts";
import { concatBytes, encodeUtf8 } from "../../wire/bytes.ts";
import { withoutUndefined } from "../../wire/json.ts";
import { keepAlive } from "../output/keep-alive.ts";
import type { StreamChunk } from "../output/remote-recorder.ts";
import type { StreamRecorder } from "../output/recorder.ts";
import { ClientStream } from "../output/client-stream.ts";
import { SURFACES, type SurfaceId } from "../../surfaces/index.ts";
import { hasEventIds, EventNumberer } from "../output/event-numbers.ts";
import { EVENT_STREAM } from "../reply/headers.ts";

type StreamServices = {
  buffer: EventBuffer;
  /** Keeps the object awake until then. */
  waitUntil: (work: Promise<unknown>) => void;
};

/** What a session tells of its calls: streams on tape while they run, and to be read again by whoever lost one. */
export class SessionStreams {
  readonly #services: StreamServices;
  /** Calls whose streams are on tape, and what is on record of them while the end is still to be told. */
  readonly #recording = new Map<string, CallRecord | undefined>();

  constructor(services: StreamServices) {
    this.#services = services;
  }

  start({ id, surface, modelAsked, stream, createdAt }: CallStart): void {
    const { buffer } = this.#services;
    const created_at = new Date(createdAt).toISOString();
    notify(buffer, id, { type: "call.started", call_id: id, surface, model: modelAsked, stream, created_at });
    if (stream) buffer.start(id);
  }

  isStored(call: string): boolean {
    return this.#services.buffer.countEvents(call) !== undefined;
  }

  recorderFor(call: string): StreamRecorder {
    const { buffer, waitUntil } = this.#services;
    // A whole answer that is told as a stream is on record before its stream begins.
    if (!this.#recording.has(call)) this.#recording.set(call, undefined);
    return {
      append: (bytes, count) => buffer.append(call, bytes, count),
      end: () => this.#end(call),
      pipeTo: (client) => waitUntil(follow(buffer.readStream(call, 0), client)),
    };
  }

  /** Some of a stream that runs elsewhere. */
  append(started: CallStart, { bytes, count }: StreamChunk): void {
    if (!this.isStored(started.id)) this.start(started);
    this.recorderFor(started.id).append(bytes, count);
    this.#services.buffer.flush();
  }

  /** A call that ran elsewhere is on record, and all of its stream has been told. */
  onImported(record: CallRecord): void {
    if (!this.isStored(record.id)) this.start(record);
    this.onRecord(record);
    this.#end(record.id);
  }

  /** An answer that is no stream, as its client is told it. */
  appendBody(call: string, body: Uint8Array): void {
    const head = encodeUtf8(`{"type":"call.event","call_id":"${call}","event":`);
    this.#services.buffer.appendNotice(call, concatBytes([head, body, encodeUtf8("}")]));
    this.#end(call);
  }

  /** A call is on record. Its end is told behind its answer; a stream that failed before it began says why. */
  onRecord(record: CallRecord): void {
    const { id, status } = record;
    if (status === "completed" || this.#recording.has(id)) this.#recording.set(id, record);
    else this.#finish(record);
  }

  /** All work for a call is done. */
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
    const { buffer } = this.#services;
    const { id, error, status } = record;
    if (error !== undefined && buffer.countEvents(id) === 0) {
      const { bytes, count } = encodeFailure(record);
      buffer.append(id, bytes, count);
    }
    buffer.end(id);
    notify(buffer, id, status === "completed" ? completedNotice(record) : failedNotice(record));
    buffer.flush();
  }

  /** How many events of a call's stream can be told again; undefined when it is not kept. */
  eventsOf(call: string): number | undefined {
    return this.#services.buffer.countEvents(call);
  }

  /** A crash took the call, and the end of what was told of it. */
  interrupt(record: CallRecord): void {
    const { buffer } = this.#services;
    if (record.stream) buffer.interrupt(record.id, (stored) => encodeFailure(record, stored));
    notify(buffer, record.id, failedNotice(record));
    buffer.flush();
  }

  /**
   * What follows a stream's event number `after`: byte for byte what the client would have been told, to the end of
   * the stream. Throws `request.invalid` naming `after`, `object.not_found` when the stream is no longer kept.
   */
  resume({ id, started, status, record }: CallState, after: number): Response {
    const { buffer, waitUntil } = this.#services;
    if (!started.stream)
      throw invalid("id", "expected a call that was made as a stream; GET /v1/calls/{id} tells of others");
    const events = buffer.countEvents(id);
    if (events === undefined)
      throw new GatewayError("object.not_found", "the stream was kept until ten minutes after the reply");
    if (events === 0 && status === "completed")
      throw invalid("id", "expected a call whose stream was told as server-sent events");
    // What a crash took cannot be told again; that it did is told in any case.
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

/** Tells a client what is there and what still comes, to the end or until it leaves. */
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

/** The error is the one that the caller's surface tells. */
const failedNotice = (record: CallRecord): object => ({
  type: "call.failed",
  call_id: record.id,
  status: record.status,
  error: dialectOf(record).encodeError(errorOf(record), record.id).error,
});

/** The surface's own words for the error with which a call ended. `kept`: of the stream that it ends, where one had begun. */
function encodeFailure(record: CallRecord, stored?: StoredStream): { bytes: Uint8Array; count: EventCount } {
  const dialect = dialectOf(record);
  const encoder = dialect.encodeStream({ created: Math.floor(record.createdAt / 1000) });
  if (stored?.lastEvent !== undefined) encoder.resumeAfter?.(stored.lastEvent);
  const numberer = new EventNumberer(hasEventIds(dialect.id, stored !== undefined), stored?.events);
  const bytes = numberer.numberEncoded(encoder.push({ type: "error", error: errorOf(record) }));
  return { bytes, count: numberer.takeCount() };
}

const errorOf = ({ error }: CallRecord): GatewayError =>
  error === undefined
    ? new GatewayError("internal", "the call failed")
    : new GatewayError(error.code, error.message, { status: error.status });

/** Of the endpoints that generate nothing, OpenAI's words: they have no surface of their own. */
const dialectOf = ({ surface }: CallRecord): WireDialect =>
  (Object.hasOwn(SURFACES, surface) ? SURFACES[surface as SurfaceId] : SURFACES.chat).dialect;
