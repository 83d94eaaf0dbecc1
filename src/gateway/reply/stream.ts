import type { GatewayError } from "../../canonical/error.ts";
import { concatBytes } from "../../wire/bytes.ts";
import type { CallLog } from "../call/call-log.ts";
import type { CallLifetime } from "../call/call.ts";
import { CANCELLED, CLIENT_LEFT, toStreamError } from "../call/stream-errors.ts";
import { findUsageOption, passesBytes, toReplyContext, type UpstreamCall } from "../call/upstream-call.ts";
import { keepAlive } from "../output/keep-alive.ts";
import { createReplyOutput, type ReplyOutput } from "../output/recorder.ts";
import { isContent, type StartedStream } from "../upstream/first-content.ts";
import { type AnswerPart, readWithRecovery } from "./answer-parts.ts";
import { removeFinishReason } from "./finish-reason.ts";
import { EVENT_STREAM } from "./headers.ts";
import type { Recover } from "./recovery.ts";
import { createResumedEncoder } from "./resumed-encoder.ts";
import { publishResponseId, type ReplyServices, settle, settleBroken, toStorageError } from "./settle.ts";
import { type EventWriter, RelayWriter, TranslationWriter, type WriterOptions } from "./writers.ts";

/**
 * Answers with a stream whose events all pass through JavaScript: each is decoded, and the stream's end is held back
 * until the turn is durable. `recover`: continues the answer at another target after a break.
 */
export function streamReply(started: StartedStream, services: ReplyServices, recover?: Recover): Response {
  const { call: upstreamCall, reader } = started;
  const { request, call, cancel } = upstreamCall;
  const { store, lifetime, log } = services;
  log.addLosses(reader.accumulated.losses);
  const output = createReplyOutput(store.recorderFor?.(call.id), () => {
    if (request.rhone.on_disconnect === "cancel") cancel();
  });
  lifetime.waitUntil(pump(started, output, services, recover));
  return new Response(output.body, { headers: { "content-type": EVENT_STREAM } });
}

/** Runs one streamed reply to its end: sends the answer, settles, then sends the end, or the error. */
async function pump(
  started: StartedStream,
  output: ReplyOutput,
  services: ReplyServices,
  recover: Recover | undefined,
): Promise<void> {
  const { log } = services;
  const timer = keepAlive(started.call.request.surface.dialect.id, (ping) => output.ping(ping));
  const findEarlyEnd = (): GatewayError | undefined => whyEndedEarly(started.call, output, services.lifetime);
  const hasEndedEarly = (): boolean => findEarlyEnd() !== undefined;
  let writer = createWriter(started, log);
  const send = (bytes: Uint8Array): Promise<void> => output.send(bytes, writer.numberer.takeCount());
  let last: Partial<AnswerPart> & Pick<AnswerPart, "call"> = started;
  try {
    for await (const part of readWithRecovery(started, recover, { log, hasEndedEarly })) {
      timer.onData();
      last = part;
      if (part.isJoined) writer = writer.withoutBytes();
      await send(encodeEvents(part, writer, services));
    }
    const earlyEnd = findEarlyEnd();
    if (earlyEnd !== undefined) throw earlyEnd;
    const record = await settle(last.call, last.response!, services).catch((cause: unknown) => {
      throw toStorageError(cause);
    });
    await send(writer.end(log.toRhoneObject(record)));
  } catch (thrown) {
    last.call.cancel();
    const error = findEarlyEnd() ?? toStreamError(thrown);
    // After a failed recovery, the received text is the first target's, so the record names that one.
    log.nameTarget(started.call.destination.target);
    // If the failure cannot be recorded, the session's watchdog finds the call; the client receives the error either
    // way.
    await settleBroken(started.call, error, started.reader, services).catch(() => {});
    await send(writer.fail(error));
  } finally {
    timer.stop();
    await output.close();
  }
}

/** The client's bytes of a part, for one write. */
function encodeEvents({ call, events }: AnswerPart, writer: EventWriter, services: ReplyServices): Uint8Array {
  const parts = events.map(({ event, decoded, isFinishing, isFailing, isBehindEnd }) => {
    if (isBehindEnd) return NOTHING;
    for (const one of decoded) if (one.type === "start") publishResponseId(call, one.id, services);
    // The content of the failing event is sent; the word for the failure is held back and gives way to the error.
    if (isFailing && decoded.some(isContent)) return writer.push(removeFinishReason(event), decoded, false);
    return writer.push(event, decoded, isFinishing);
  });
  return concatBytes(parts);
}

const NOTHING = new Uint8Array(0);

/**
 * Whether a stream of the client's dialect has to be encoded anew, because it has no start from which clients read the id
 * of the response (Responses). A stream that the client wants unchanged has not.
 */
export const lacksStart = ({ call: { call, request }, reader }: StartedStream): boolean =>
  call.annotate && request.surface.dialect.complete !== undefined && reader.accumulated.id === "";

/** The writer for the first answer: the provider's bytes if the client reads the same dialect, else a translation. */
function createWriter(started: StartedStream, log: CallLog): EventWriter {
  const { call: upstreamCall } = started;
  const options: WriterOptions = {
    surface: upstreamCall.request.surface.dialect,
    reply: toReplyContext(upstreamCall),
    hides: findUsageOption(upstreamCall)?.isUsageEvent,
    ...(upstreamCall.call.annotate && { rhone: log.toRhoneObject() }),
  };
  return passesBytes(upstreamCall) && !lacksStart(started)
    ? new RelayWriter(options, (last) => createResumedEncoder(started, last, log))
    : new TranslationWriter(options);
}

/**
 * Why the reply ends before its provider's answer does: cancellation, or a client that left with `on_disconnect:
 * "cancel"`.
 */
function whyEndedEarly(
  { request }: UpstreamCall,
  output: ReplyOutput,
  { cancelled, clientLeft }: CallLifetime,
): GatewayError | undefined {
  if (cancelled?.aborted) return CANCELLED;
  const hasLeft = output.isGone || clientLeft?.aborted === true;
  return hasLeft && request.rhone.on_disconnect === "cancel" ? CLIENT_LEFT : undefined;
}
