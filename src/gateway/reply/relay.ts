import type { GatewayError } from "../../canonical/error.ts";
import type { Dialect } from "../../canonical/types.ts";
import { concatBytes, encodeUtf8 } from "../../wire/bytes.ts";
import { decodeSse, type SseEvent } from "../../wire/sse.ts";
import { CLIENT_LEFT, toStreamError } from "../call/stream-errors.ts";
import { EventNumberer } from "../output/event-numbers.ts";
import type { StreamRecorder } from "../output/recorder.ts";
import { idleLimit } from "../upstream/body-reader.ts";
import type { StartedStream } from "../upstream/first-content.ts";
import { isMalformed } from "../upstream/stream-reader.ts";
import { annotateEvent } from "./annotate.ts";
import { ByteRelay } from "./byte-relay.ts";
import { createResumedEncoder } from "./resumed-encoder.ts";
import { type ReplyServices, settle, settleBroken, toStorageError } from "./settle.ts";

/**
 * Relays the provider's bytes with the runtime's own pipe. JavaScript has read them up to the first content, wakes once
 * a second to record the second branch, and at the end appends a missing terminal event or the error before it closes.
 */
export function relayBytes(started: StartedStream, services: ReplyServices): Response {
  const { call: upstreamCall, reader } = started;
  const { request, upstream, call } = upstreamCall;
  const { store, lifetime, log } = services;
  log.addLosses(reader.accumulated.losses);
  const held = prepareHeld(started, request.surface.dialect.id, call.annotate ? log.toRhoneObject() : undefined);
  const recorder = store.recorderFor?.(call.id);
  writeEvents(recorder, held.events);
  const head = concatBytes([...held.events.map(({ raw }) => raw), held.rest]);
  const relay = new ByteRelay(upstreamCall, lifetime, head);
  const finish = recordStream(started, relay, recorder, services)
    .catch(toStorageError)
    .then((error) => endStream(started, relay, recorder, { log, error }));
  lifetime.waitUntil(Promise.allSettled([finish]));
  const type = upstream.headers.get("content-type")!;
  return new Response(relay.body, { headers: { "content-type": type } });
}

/**
 * Records the stream and settles the call. Resolves when the call's record is durable, to the error that the client has
 * not received yet, if there is one.
 */
async function recordStream(
  { call: upstreamCall, reader }: StartedStream,
  relay: ByteRelay,
  recorder: StreamRecorder | undefined,
  services: ReplyServices,
): Promise<GatewayError | undefined> {
  try {
    for await (const block of relay.read(services.log, idleLimit(upstreamCall, reader)))
      writeEvents(
        recorder,
        reader.push(block).map(({ event }) => event),
      );
    reader.end();
    const { response, error } = reader.accumulated;
    if (response === undefined) throw error;
    await settle(upstreamCall, response, services).catch((cause: unknown) => {
      throw toStorageError(cause);
    });
    return undefined;
  } catch (thrown) {
    const error = relay.isCancelled ? CLIENT_LEFT : toStreamError(thrown);
    upstreamCall.cancel();
    await settleBroken(upstreamCall, error, reader, services);
    // No client reads beyond the end mark, and after it an error would contradict the answer that it has received. The
    // provider's own error event has been sent, whereas its word for a failure is no error event.
    const isSent = reader.isFailing ? reader.isTerminated : error.upstream !== undefined || reader.hasEndMark;
    return isSent ? undefined : error;
  }
}

/** Writes the error's event, or the terminal event that the provider left out, and closes the client's stream. */
async function endStream(
  started: StartedStream,
  relay: ByteRelay,
  recorder: StreamRecorder | undefined,
  { log, error }: Pick<ReplyServices, "log"> & { error: GatewayError | undefined },
): Promise<void> {
  const { reader } = started;
  const lastEvents =
    error === undefined
      ? reader.missingTerminator
      : createResumedEncoder(started, reader.lastEvent, log).push({ type: "error", error });
  writeEvents(recorder, decodeSse(encodeUtf8(lastEvents)));
  recorder?.end();
  await relay.end(encodeUtf8(reader.afterPartialEvent(lastEvents)));
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
