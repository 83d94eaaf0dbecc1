import type { GatewayError } from "../../canonical/error.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { pacedReader } from "../../wire/tee.ts";
import { publishResponseId, toStorageError, settle, settleFailure, publicReplyContext } from "./settle.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import { keyOf } from "../../routing/locate.ts";
import type { DiscardedUsage } from "../../store/records.ts";
import { type ReadEvent, NO_EVENT } from "../upstream/stream-reader.ts";
import { keepAlive } from "../output/keep-alive.ts";
import { type ReplyOutput, replyOutput } from "../output/recorder.ts";
import type { StartedStream } from "../upstream/answer.ts";
import {
  requireStream,
  continuationPrompt,
  ContinuationJoiner,
  type Recover,
  recoverableText,
  sentEvents,
} from "./recovery.ts";
import { idleLimit, readChunks } from "../upstream/read.ts";
import { RelayWriter, type EventWriter, TranslationWriter } from "./writers.ts";
import { discardedCost } from "../call/attempt-cost.ts";
import { EVENT_STREAM } from "./headers.ts";
import { toStreamError, CLIENT_LEFT, CANCELLED } from "../call/endings.ts";
import { type UpstreamCall, passesBytes, replyContext, addedUsageOption } from "../call/upstream-call.ts";

/** Event by event through JavaScript: decoded on the way, the end held back until the turn is durable. */
export function streamReply(started: StartedStream, recover?: Recover): Response {
  const { call: upstreamCall } = started;
  const { request, call, host, cancel } = upstreamCall;
  const output = replyOutput(host.recorderFor?.(call.id), () => {
    if (request.rhone.on_disconnect === "cancel") cancel();
  });
  host.waitUntil(pump(started, output, recover));
  return new Response(output.body, { headers: { "content-type": EVENT_STREAM } });
}

async function pump(started: StartedStream, output: ReplyOutput, rescue: Recover | undefined): Promise<void> {
  const pinger = keepAlive(started.call.request.surface.dialect.id, (ping) => output.ping(ping));
  const replyStream = new ReplyStream(output, pinger.heard, createWriter(started.call));
  let { call: upstreamCall } = started;
  try {
    let response = await replyStream.sendAll(started, rescue !== undefined).catch((thrown: unknown) => {
      started.call.cancel();
      if (rescue === undefined || findEarlyEnd(upstreamCall, output) !== undefined) throw thrown;
      return undefined;
    });
    if (response === undefined)
      ({ answering: upstreamCall, response } = await continueStream(started, replyStream, rescue!));
    const earlyEnd = findEarlyEnd(upstreamCall, output);
    if (earlyEnd !== undefined) throw earlyEnd;
    const record = await settle(upstreamCall, response).catch((cause: unknown) => {
      throw toStorageError(cause);
    });
    await replyStream.end(upstreamCall.log.toRhoneObject(record));
  } catch (thrown) {
    upstreamCall.cancel();
    const error = findEarlyEnd(upstreamCall, output) ?? toStreamError(thrown);
    // Who was to go on with it has not: the words are the first one's.
    const { log, target, losses } = started.call;
    if (log.target !== target) log.startAttempt(target, losses);
    // Where not even that can be noted, the watchdog finds the call; the client is told either way.
    await settleFailure(started.call, error, started.reader).catch(() => {});
    await replyStream.fail(error);
  } finally {
    pinger.stop();
    await output.close();
  }
}

/**
 * Another target goes on where the first has broken off; throws the first one's error where that cannot be. What either
 * counted is wasted where the other's is the call's own.
 */
async function continueStream(
  started: StartedStream,
  replyStream: ReplyStream,
  rescue: Recover,
): Promise<{ answering: UpstreamCall; response: ModelResponse }> {
  const { reader, call: first } = started;
  const { accumulated } = reader;
  const text = recoverableText(accumulated);
  const cause = accumulated.error ?? toStreamError(undefined);
  if (text === undefined) throw cause;
  const addDiscarded = first.log.markFailed(cause);
  const joiner = new ContinuationJoiner(reader);
  const second = requireStream(
    await rescue(continuationPrompt(text)).catch(() => {
      throw cause;
    }),
  );
  const { call: upstreamCall } = second;
  upstreamCall.log.startAttempt(upstreamCall.target, upstreamCall.losses);
  replyStream.continueWith(joiner, passesBytes(first) ? createTranslationWriter(started) : undefined);
  const rest = await replyStream.sendAll(second, true).catch(async (thrown: unknown) => {
    upstreamCall.cancel();
    const addSecondDiscarded = first.log.markFailed(toStreamError(thrown));
    addSecondDiscarded(await computeDiscarded(second));
    throw thrown;
  });
  const response = joiner.toResponse(accumulated, rest);
  addDiscarded(await computeDiscarded(started));
  upstreamCall.log.recovered = {
    from: keyOf(first.target),
    after_chars: text.length,
    how: joiner.kind ?? "continuation",
  };
  return { answering: upstreamCall, response };
}

const computeDiscarded = ({ call: { target, call }, reader }: StartedStream): Promise<DiscardedUsage> =>
  discardedCost(target, reader.usage, reader.accumulated.model, new Date(call.createdAt));

function createWriter(upstreamCall: UpstreamCall): EventWriter {
  return passesBytes(upstreamCall)
    ? new RelayWriter(writerOptionsOf(upstreamCall))
    : new TranslationWriter(writerOptionsOf(upstreamCall));
}

/** Words of ours for a client that has heard its provider's own: their ids and their count are gone on with. */
function createTranslationWriter({ call: upstreamCall, reader }: StartedStream): EventWriter {
  const reply = publicReplyContext(upstreamCall, reader.accumulated.id);
  const writer = new TranslationWriter({ ...writerOptionsOf(upstreamCall), reply });
  writer.resumeAfter(sentEvents(reader), reader.lastEvent);
  return writer;
}

const writerOptionsOf = (upstreamCall: UpstreamCall): ConstructorParameters<typeof RelayWriter>[0] => ({
  surface: upstreamCall.request.surface.dialect,
  reply: replyContext(upstreamCall),
  hides: addedUsageOption(upstreamCall)?.isUsageEvent,
  ...(upstreamCall.call.annotate && { rhone: upstreamCall.log.toRhoneObject() }),
});

/** What a client is told of one stream, or of two that are one to it. */
class ReplyStream {
  readonly #output: ReplyOutput;
  readonly #onData: () => void;
  #writer: EventWriter;
  #joiner: ContinuationJoiner | undefined;

  constructor(output: ReplyOutput, heard: () => void, writer: EventWriter) {
    this.#output = output;
    this.#onData = heard;
    this.#writer = writer;
  }

  /** From here on what another says, joined to what was said; in the words of `telling`, where they change. */
  continueWith(joiner: ContinuationJoiner, writer: EventWriter = this.#writer): void {
    this.#writer = writer;
    this.#joiner = joiner;
  }

  /** Tells a stream as it comes. Resolves to the whole answer. `keepsError`: its error is not told, but only thrown. */
  async sendAll(
    { call: upstreamCall, events: heard, reader: hearing }: StartedStream,
    withholdsError: boolean,
  ): Promise<ModelResponse> {
    await this.#sendEvents(upstreamCall, heard);
    const { upstream, host } = upstreamCall;
    const reader = upstream.body === null ? undefined : pacedReader(upstream.body, host.now);
    for await (const chunk of readChunks(upstreamCall, idleLimit(upstreamCall, hearing), reader)) {
      this.#onData();
      const read = hearing.push(chunk);
      const { error } = hearing.accumulated;
      const errorAt = withholdsError
        ? read.findIndex(({ decoded }) => decoded.some(({ type }) => type === "error"))
        : -1;
      await this.#sendEvents(upstreamCall, errorAt < 0 ? read : read.slice(0, errorAt));
      if (error !== undefined && (withholdsError || error.upstream === undefined)) break;
    }
    const rest = hearing.end();
    const { response, error } = hearing.accumulated;
    if (response === undefined) throw error;
    await this.#sendEvents(upstreamCall, rest);
    return response;
  }

  async end(rhone: object): Promise<void> {
    await this.#send(this.#writer.end(rhone));
  }

  async fail(error: GatewayError): Promise<void> {
    await this.#send(this.#writer.fail(error));
  }

  async #sendEvents(upstreamCall: UpstreamCall, heard: readonly ReadEvent[]): Promise<void> {
    const joiner = this.#joiner;
    const parts = heard.map(({ event, decoded, isFinishing }) => {
      if (joiner !== undefined)
        return this.#writer.push(
          NO_EVENT,
          decoded.flatMap((one) => joiner.push(one)),
          isFinishing,
        );
      for (const one of decoded) if (one.type === "start") publishResponseId(upstreamCall, one.id);
      return this.#writer.push(event, decoded, isFinishing);
    });
    await this.#send(concatBytes(parts));
  }

  async #send(bytes: Uint8Array): Promise<void> {
    await this.#output.send(bytes, this.#writer.takeCount());
  }
}

/** Why a reply is not to go on, though its provider would. */
function findEarlyEnd({ request, host }: UpstreamCall, output: ReplyOutput): GatewayError | undefined {
  if (host.cancelled?.aborted) return CANCELLED;
  const hasLeft = output.isGone || host.clientLeft?.aborted === true;
  return hasLeft && request.rhone.on_disconnect === "cancel" ? CLIENT_LEFT : undefined;
}
