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
  const outlet = replyOutput(host.recorderFor?.(call.id), () => {
    if (request.rhone.on_disconnect === "cancel") cancel();
  });
  host.waitUntil(pump(started, outlet, recover));
  return new Response(outlet.body, { headers: { "content-type": EVENT_STREAM } });
}

async function pump(started: StartedStream, outlet: ReplyOutput, rescue: Recover | undefined): Promise<void> {
  const alive = keepAlive(started.call.request.surface.dialect.id, (ping) => outlet.ping(ping));
  const replyStream = new ReplyStream(outlet, alive.heard, tellingOf(started.call));
  let { call: upstreamCall } = started;
  try {
    let response = await replyStream.tell(started, rescue !== undefined).catch((thrown: unknown) => {
      started.call.cancel();
      if (rescue === undefined || endOf(upstreamCall, outlet) !== undefined) throw thrown;
      return undefined;
    });
    if (response === undefined) ({ answering: upstreamCall, response } = await recover(started, replyStream, rescue!));
    const ended = endOf(upstreamCall, outlet);
    if (ended !== undefined) throw ended;
    const record = await settle(upstreamCall, response).catch((cause: unknown) => {
      throw toStorageError(cause);
    });
    await replyStream.end(upstreamCall.log.toRhoneObject(record));
  } catch (thrown) {
    upstreamCall.cancel();
    const error = endOf(upstreamCall, outlet) ?? toStreamError(thrown);
    // Who was to go on with it has not: the words are the first one's.
    const { log, place, losses } = started.call;
    if (log.target !== place) log.startAttempt(place, losses);
    // Where not even that can be noted, the watchdog finds the call; the client is told either way.
    await settleFailure(started.call, error, started.reader).catch(() => {});
    await replyStream.fail(error);
  } finally {
    alive.stop();
    await outlet.close();
  }
}

/**
 * Another target goes on where the first has broken off; throws the first one's error where that cannot be. What either
 * counted is wasted where the other's is the call's own.
 */
async function recover(
  started: StartedStream,
  replyStream: ReplyStream,
  rescue: Recover,
): Promise<{ answering: UpstreamCall; response: ModelResponse }> {
  const { reader, call: first } = started;
  const { accumulated: folded } = reader;
  const said = recoverableText(folded);
  const cause = folded.error ?? toStreamError(undefined);
  if (said === undefined) throw cause;
  const noteWaste = first.log.markFailed(cause);
  const joiner = new ContinuationJoiner(reader);
  const second = requireStream(
    await rescue(continuationPrompt(said)).catch(() => {
      throw cause;
    }),
  );
  const { call: upstreamCall } = second;
  upstreamCall.log.startAttempt(upstreamCall.place, upstreamCall.losses);
  replyStream.goOn(joiner, passesBytes(first) ? translatingFrom(started) : undefined);
  const whole = await replyStream.tell(second, true).catch(async (thrown: unknown) => {
    upstreamCall.cancel();
    const noteItsWaste = first.log.markFailed(toStreamError(thrown));
    noteItsWaste(await wasteIn(second));
    throw thrown;
  });
  const response = joiner.joined(folded, whole);
  noteWaste(await wasteIn(started));
  upstreamCall.log.recovered = {
    from: keyOf(first.place),
    after_chars: said.length,
    how: joiner.how ?? "continuation",
  };
  return { answering: upstreamCall, response };
}

const wasteIn = ({ call: { place, call }, reader }: StartedStream): Promise<DiscardedUsage> =>
  discardedCost(place, reader.usage, reader.accumulated.model, new Date(call.createdAt));

function tellingOf(upstreamCall: UpstreamCall): EventWriter {
  return passesBytes(upstreamCall)
    ? new RelayWriter(optionsOf(upstreamCall))
    : new TranslationWriter(optionsOf(upstreamCall));
}

/** Words of ours for a client that has heard its provider's own: their ids and their count are gone on with. */
function translatingFrom({ call: upstreamCall, reader }: StartedStream): EventWriter {
  const reply = publicReplyContext(upstreamCall, reader.accumulated.id);
  const writer = new TranslationWriter({ ...optionsOf(upstreamCall), reply });
  writer.resumeAfter(sentEvents(reader), reader.last);
  return writer;
}

const optionsOf = (upstreamCall: UpstreamCall): ConstructorParameters<typeof RelayWriter>[0] => ({
  surface: upstreamCall.request.surface.dialect,
  reply: replyContext(upstreamCall),
  hides: addedUsageOption(upstreamCall)?.isItsEvent,
  ...(upstreamCall.call.annotate && { rhone: upstreamCall.log.toRhoneObject() }),
});

/** What a client is told of one stream, or of two that are one to it. */
class ReplyStream {
  readonly #outlet: ReplyOutput;
  readonly #heard: () => void;
  #telling: EventWriter;
  #joiner: ContinuationJoiner | undefined;

  constructor(outlet: ReplyOutput, heard: () => void, writer: EventWriter) {
    this.#outlet = outlet;
    this.#heard = heard;
    this.#telling = writer;
  }

  /** From here on what another says, joined to what was said; in the words of `telling`, where they change. */
  goOn(joiner: ContinuationJoiner, writer: EventWriter = this.#telling): void {
    this.#telling = writer;
    this.#joiner = joiner;
  }

  /** Tells a stream as it comes. Resolves to the whole answer. `keepsError`: its error is not told, but only thrown. */
  async tell(
    { call: upstreamCall, events: heard, reader: hearing }: StartedStream,
    keepsError: boolean,
  ): Promise<ModelResponse> {
    await this.#say(upstreamCall, heard);
    const { upstream, host } = upstreamCall;
    const reader = upstream.body === null ? undefined : pacedReader(upstream.body, host.now);
    for await (const chunk of readChunks(upstreamCall, idleLimit(upstreamCall, hearing), reader)) {
      this.#heard();
      const more = hearing.push(chunk);
      const { error } = hearing.accumulated;
      const failed = keepsError ? more.findIndex(({ decoded }) => decoded.some(({ type }) => type === "error")) : -1;
      await this.#say(upstreamCall, failed < 0 ? more : more.slice(0, failed));
      if (error !== undefined && (keepsError || error.upstream === undefined)) break;
    }
    const rest = hearing.end();
    const { response, error } = hearing.accumulated;
    if (response === undefined) throw error;
    await this.#say(upstreamCall, rest);
    return response;
  }

  async end(rhone: object): Promise<void> {
    await this.#send(this.#telling.end(rhone));
  }

  async fail(error: GatewayError): Promise<void> {
    await this.#send(this.#telling.fail(error));
  }

  async #say(upstreamCall: UpstreamCall, heard: readonly ReadEvent[]): Promise<void> {
    const joiner = this.#joiner;
    const parts = heard.map(({ event, decoded, isFinishing }) => {
      if (joiner !== undefined)
        return this.#telling.push(
          NO_EVENT,
          decoded.flatMap((one) => joiner.push(one)),
          isFinishing,
        );
      for (const one of decoded) if (one.type === "start") publishResponseId(upstreamCall, one.id);
      return this.#telling.push(event, decoded, isFinishing);
    });
    await this.#send(concatBytes(parts));
  }

  async #send(bytes: Uint8Array): Promise<void> {
    await this.#outlet.send(bytes, this.#telling.usage());
  }
}

/** Why a reply is not to go on, though its provider would. */
function endOf({ request, host }: UpstreamCall, outlet: ReplyOutput): GatewayError | undefined {
  if (host.cancelled?.aborted) return CANCELLED;
  const hasLeft = outlet.isGone || host.clientLeft?.aborted === true;
  return hasLeft && request.rhone.on_disconnect === "cancel" ? CLIENT_LEFT : undefined;
}
