import type { GatewayError } from "../../canonical/error.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import { targetKeyOf } from "../../routing/locate.ts";
import type { DiscardedUsage } from "../../store/records.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { createPacedReader } from "../../wire/tee.ts";
import { priceDiscarded } from "../call/attempt-cost.ts";
import type { CallLog } from "../call/call-log.ts";
import type { CallLifetime } from "../call/call.ts";
import { CANCELLED, CLIENT_LEFT, toStreamError } from "../call/stream-errors.ts";
import { findUsageOption, passesBytes, toReplyContext, type UpstreamCall } from "../call/upstream-call.ts";
import type { EventNumberer } from "../output/event-numbers.ts";
import { keepAlive } from "../output/keep-alive.ts";
import { createReplyOutput, type ReplyOutput } from "../output/recorder.ts";
import { idleLimit, readChunks } from "../upstream/body-reader.ts";
import { isContent, type StartedStream } from "../upstream/first-content.ts";
import { NO_EVENT, type ReadEvent } from "../upstream/stream-reader.ts";
import { LATE_CITATIONS } from "./citation-losses.ts";
import { removeFinishReason } from "./finish-reason.ts";
import { EVENT_STREAM } from "./headers.ts";
import {
  ContinuationJoiner,
  buildContinuationPrompt,
  type Recover,
  recoverableText,
  requireStream,
  buildSentEvents,
} from "./recovery.ts";
import { createResumedEncoder } from "./resumed-encoder.ts";
import {
  publishResponseId,
  type ReplyServices,
  settle,
  settleBroken,
  toPublicReplyContext,
  toStorageError,
} from "./settle.ts";
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

/**
 * Runs one streamed reply to its end: sends the answer, recovers if it broke, settles, then sends the end or the error.
 */
async function pump(
  started: StartedStream,
  output: ReplyOutput,
  services: ReplyServices,
  recover: Recover | undefined,
): Promise<void> {
  const { log } = services;
  const timer = keepAlive(started.call.request.surface.dialect.id, (ping) => output.ping(ping));
  const replyStream = new ReplyStream(output, timer.onData, services, createWriter(started, log));
  const findEarlyEnd = (): GatewayError | undefined => whyEndedEarly(started.call, output, services.lifetime);
  let { call: upstreamCall } = started;
  try {
    let response = await replyStream.sendAll(started, recover !== undefined).catch((thrown: unknown) => {
      started.call.cancel();
      if (recover === undefined || findEarlyEnd() !== undefined) throw thrown;
      return undefined;
    });
    if (response === undefined)
      ({ call: upstreamCall, response } = await continueStream(started, replyStream, log, recover!));
    const earlyEnd = findEarlyEnd();
    if (earlyEnd !== undefined) throw earlyEnd;
    const record = await settle(upstreamCall, response, services).catch((cause: unknown) => {
      throw toStorageError(cause);
    });
    await replyStream.end(log.toRhoneObject(record));
  } catch (thrown) {
    upstreamCall.cancel();
    const error = findEarlyEnd() ?? toStreamError(thrown);
    // After a failed recovery, the received text is the first target's, so the record names that one.
    const { destination, losses } = started.call;
    if (log.target !== destination.target) log.startAttempt(destination.target, losses);
    // If the failure cannot be recorded, the session's watchdog finds the call; the client receives the error either
    // way.
    await settleBroken(started.call, error, started.reader, services).catch(() => {});
    await replyStream.fail(error);
  } finally {
    timer.stop();
    await output.close();
  }
}

/**
 * Continues a broken stream at another target. Throws the first target's error if its output cannot be continued or no
 * target is left. The usage of the answer that is not the call's own is logged as discarded.
 */
async function continueStream(
  started: StartedStream,
  replyStream: ReplyStream,
  log: CallLog,
  recover: Recover,
): Promise<{ call: UpstreamCall; response: ModelResponse }> {
  const { reader, call: first } = started;
  const { accumulated } = reader;
  const text = recoverableText(accumulated);
  const cause = accumulated.error ?? toStreamError(undefined);
  if (text === undefined) throw cause;
  const addDiscarded = log.markFailed(cause);
  const joiner = new ContinuationJoiner(reader);
  const second = requireStream(
    await recover(buildContinuationPrompt(text)).catch(() => {
      throw cause;
    }),
  );
  const { call: upstreamCall } = second;
  log.startAttempt(upstreamCall.destination.target, upstreamCall.losses);
  replyStream.continueWith(joiner, ({ numberer }) => createTranslationWriter(started, log, numberer));
  const rest = await replyStream.sendAll(second, true).catch(async (thrown: unknown) => {
    upstreamCall.cancel();
    const addSecondDiscarded = log.markFailed(toStreamError(thrown));
    addSecondDiscarded(await computeDiscarded(second));
    throw thrown;
  });
  const response = joiner.toResponse(accumulated, rest);
  addDiscarded(await computeDiscarded(started));
  log.recovered = {
    from: targetKeyOf(first.destination.target),
    after_chars: text.length,
    how: joiner.kind ?? "continuation",
  };
  return { call: upstreamCall, response };
}

/** Usage and cost that the target reported before its stream broke. */
const computeDiscarded = ({ call: { destination, call }, reader }: StartedStream): Promise<DiscardedUsage> =>
  priceDiscarded(destination.target, reader.usage, reader.accumulated.model, new Date(call.createdAt));

/**
 * Whether a stream of the client's dialect has to be encoded anew, because it has no start from which clients read the id
 * of the response (Responses). A stream that the client wants unchanged has not.
 */
export const lacksStart = ({ call: { call, request }, reader }: StartedStream): boolean =>
  call.annotate && request.surface.dialect.complete !== undefined && reader.accumulated.id === "";

/** The writer for the first answer: the provider's bytes if the client reads the same dialect, else a translation. */
function createWriter(started: StartedStream, log: CallLog): EventWriter {
  const options = writerOptionsOf(started.call, log);
  return passesBytes(started.call) && !lacksStart(started)
    ? new RelayWriter(options, (last) => createResumedEncoder(started, last, log))
    : new TranslationWriter(options);
}

/**
 * A writer that continues a relayed stream with encoded events: with the ids and event numbers the client has received.
 */
function createTranslationWriter(
  { call: upstreamCall, reader }: StartedStream,
  log: CallLog,
  numberer: EventNumberer,
): EventWriter {
  const reply = toPublicReplyContext(upstreamCall, reader.accumulated.id, log);
  const writer = new TranslationWriter({ ...writerOptionsOf(upstreamCall, log), reply }, numberer);
  writer.resumeAfter(buildSentEvents(reader), reader.lastEvent);
  return writer;
}

/** Both kinds of writers have the same options. */
const writerOptionsOf = (upstreamCall: UpstreamCall, log: CallLog): WriterOptions => ({
  surface: upstreamCall.request.surface.dialect,
  reply: toReplyContext(upstreamCall),
  hides: findUsageOption(upstreamCall)?.isUsageEvent,
  ...(upstreamCall.call.annotate && { rhone: log.toRhoneObject() }),
});

/** What the client receives: the events of one answer, or of two answers joined into one. */
class ReplyStream {
  readonly #output: ReplyOutput;
  readonly #onData: () => void;
  readonly #services: ReplyServices;
  #writer: EventWriter;
  #joiner: ContinuationJoiner | undefined;

  constructor(output: ReplyOutput, onData: () => void, services: ReplyServices, writer: EventWriter) {
    this.#output = output;
    this.#onData = onData;
    this.#services = services;
    this.#writer = writer;
  }

  /**
   * From now on, the events of a second answer are sent through the joiner. `toTranslation`: creates the writer in
   * place of one that relays bytes.
   */
  continueWith(joiner: ContinuationJoiner, toTranslation: (relay: RelayWriter) => EventWriter): void {
    if (this.#writer instanceof RelayWriter) this.#writer = toTranslation(this.#writer);
    this.#joiner = joiner;
  }

  /**
   * Sends an answer as it arrives and resolves to the whole of it. Throws its error; `withholdsError`: the error's
   * event is not sent, because recovery may follow.
   */
  async sendAll(
    { call: upstreamCall, events, reader }: StartedStream,
    withholdsError: boolean,
  ): Promise<ModelResponse> {
    await this.#sendEvents(upstreamCall, events);
    let isSilent = false;
    const { upstream, limits } = upstreamCall;
    const body = upstream.body === null ? undefined : createPacedReader(upstream.body, limits.now);
    for await (const chunk of readChunks(upstreamCall, this.#services.log, idleLimit(upstreamCall, reader), body)) {
      this.#onData();
      const read = reader.push(chunk);
      if (isSilent) continue;
      const { error } = reader.accumulated;
      // After the error, the stream is read on for its usage.
      isSilent = error !== undefined && (withholdsError || error.upstream === undefined);
      const errorAt = read.findIndex(({ decoded }) => decoded.some(({ type }) => type === "error"));
      await this.#sendEvents(upstreamCall, isSilent ? read.slice(0, errorAt) : read);
    }
    const rest = reader.end();
    const { response, error, hasLateCitations } = reader.accumulated;
    if (response === undefined) throw error;
    await this.#sendEvents(upstreamCall, rest);
    const { dialect } = upstreamCall.request.surface;
    const isLate =
      this.#joiner?.hasLateCitations ?? (hasLateCitations && dialect.id !== upstreamCall.destination.dialect.id);
    if (isLate && dialect.citesWholeTexts) this.#services.log.addLosses([LATE_CITATIONS]);
    return response;
  }

  async end(rhone: object): Promise<void> {
    await this.#send(this.#writer.end(rhone));
  }

  async fail(error: GatewayError): Promise<void> {
    await this.#send(this.#writer.fail(error));
  }

  /** One write for all events of a chunk. */
  async #sendEvents(upstreamCall: UpstreamCall, events: readonly ReadEvent[]): Promise<void> {
    const joiner = this.#joiner;
    const parts = events.map(({ event, decoded, isFinishing, isFailing, isBehindEnd }) => {
      if (isBehindEnd) return NOTHING;
      if (joiner !== undefined)
        return this.#writer.push(
          NO_EVENT,
          decoded.flatMap((one) => joiner.push(one)),
          isFinishing,
        );
      for (const one of decoded) if (one.type === "start") publishResponseId(upstreamCall, one.id, this.#services);
      // The content of the failing event is sent; the word for the failure is held back and gives way to the error.
      if (isFailing && decoded.some(isContent)) return this.#writer.push(removeFinishReason(event), decoded, false);
      return this.#writer.push(event, decoded, isFinishing);
    });
    await this.#send(concatBytes(parts));
  }

  async #send(bytes: Uint8Array): Promise<void> {
    await this.#output.send(bytes, this.#writer.numberer.takeCount());
  }
}

const NOTHING = new Uint8Array(0);

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
