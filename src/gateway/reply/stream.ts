import type { GatewayError } from "../../canonical/error.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { pacedReader } from "../../wire/tee.ts";
import {
  type UpstreamCall,
  publishResponseId,
  passesBytes,
  toStorageError,
  replyContext,
  settle,
  settleFailure,
  publicReplyContext,
  addedUsageOption,
} from "./settle.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import { keyOf } from "../../routing/locate.ts";
import type { DiscardedUsage } from "../../store/records.ts";
import { toStreamError, type ReadEvent, CLIENT_LEFT, NO_EVENT, CANCELLED } from "../upstream/stream-reader.ts";
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

/** Event by event through JavaScript: decoded on the way, the end held back until the turn is durable. */
export function streamReply(begun: StartedStream, rescue?: Recover): Response {
  const { call: answering } = begun;
  const { request: asked, call, host, cancel } = answering;
  const outlet = replyOutput(host.recorderFor?.(call.id), () => {
    if (asked.rhone.on_disconnect === "cancel") cancel();
  });
  host.waitUntil(pump(begun, outlet, rescue));
  return new Response(outlet.body, { headers: { "content-type": EVENT_STREAM } });
}

async function pump(begun: StartedStream, outlet: ReplyOutput, rescue: Recover | undefined): Promise<void> {
  const alive = keepAlive(begun.call.request.surface.dialect.id, (ping) => outlet.ping(ping));
  const teller = new ReplyStream(outlet, alive.heard, tellingOf(begun.call));
  let { call: answering } = begun;
  try {
    let response = await teller.tell(begun, rescue !== undefined).catch((thrown: unknown) => {
      begun.call.cancel();
      if (rescue === undefined || endOf(answering, outlet) !== undefined) throw thrown;
      return undefined;
    });
    if (response === undefined) ({ answering, response } = await recover(begun, teller, rescue!));
    const ended = endOf(answering, outlet);
    if (ended !== undefined) throw ended;
    const record = await settle(answering, response).catch((cause: unknown) => {
      throw toStorageError(cause);
    });
    await teller.end(answering.log.toRhoneObject(record));
  } catch (thrown) {
    answering.cancel();
    const error = endOf(answering, outlet) ?? toStreamError(thrown);
    // Who was to go on with it has not: the words are the first one's.
    const { log: notes, place, losses } = begun.call;
    if (notes.target !== place) notes.startAttempt(place, losses);
    // Where not even that can be noted, the watchdog finds the call; the client is told either way.
    await settleFailure(begun.call, error, begun.reader).catch(() => {});
    await teller.fail(error);
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
  begun: StartedStream,
  teller: ReplyStream,
  rescue: Recover,
): Promise<{ answering: UpstreamCall; response: ModelResponse }> {
  const { reader: hearing, call: first } = begun;
  const { accumulated: folded } = hearing;
  const said = recoverableText(folded);
  const cause = folded.error ?? toStreamError(undefined);
  if (said === undefined) throw cause;
  const noteWaste = first.log.markFailed(cause);
  const joiner = new ContinuationJoiner(hearing);
  const second = requireStream(
    await rescue(continuationPrompt(said)).catch(() => {
      throw cause;
    }),
  );
  const { call: answering } = second;
  answering.log.startAttempt(answering.place, answering.losses);
  teller.goOn(joiner, passesBytes(first) ? translatingFrom(begun) : undefined);
  const whole = await teller.tell(second, true).catch(async (thrown: unknown) => {
    answering.cancel();
    const noteItsWaste = first.log.markFailed(toStreamError(thrown));
    noteItsWaste(await wasteIn(second));
    throw thrown;
  });
  const response = joiner.joined(folded, whole);
  noteWaste(await wasteIn(begun));
  answering.log.recovered = { from: keyOf(first.place), after_chars: said.length, how: joiner.how ?? "continuation" };
  return { answering, response };
}

const wasteIn = ({ call: { place, call }, reader: hearing }: StartedStream): Promise<DiscardedUsage> =>
  discardedCost(place, hearing.usage, hearing.accumulated.model, new Date(call.createdAt));

function tellingOf(answering: UpstreamCall): EventWriter {
  return passesBytes(answering) ? new RelayWriter(optionsOf(answering)) : new TranslationWriter(optionsOf(answering));
}

/** Words of ours for a client that has heard its provider's own: their ids and their count are gone on with. */
function translatingFrom({ call: answering, reader: hearing }: StartedStream): EventWriter {
  const reply = publicReplyContext(answering, hearing.accumulated.id);
  const telling = new TranslationWriter({ ...optionsOf(answering), reply });
  telling.resumeAfter(sentEvents(hearing), hearing.last);
  return telling;
}

const optionsOf = (answering: UpstreamCall): ConstructorParameters<typeof RelayWriter>[0] => ({
  surface: answering.request.surface.dialect,
  reply: replyContext(answering),
  hides: addedUsageOption(answering)?.isItsEvent,
  ...(answering.call.annotate && { rhone: answering.log.toRhoneObject() }),
});

/** What a client is told of one stream, or of two that are one to it. */
class ReplyStream {
  readonly #outlet: ReplyOutput;
  readonly #heard: () => void;
  #telling: EventWriter;
  #joiner: ContinuationJoiner | undefined;

  constructor(outlet: ReplyOutput, heard: () => void, telling: EventWriter) {
    this.#outlet = outlet;
    this.#heard = heard;
    this.#telling = telling;
  }

  /** From here on what another says, joined to what was said; in the words of `telling`, where they change. */
  goOn(joiner: ContinuationJoiner, telling: EventWriter = this.#telling): void {
    this.#telling = telling;
    this.#joiner = joiner;
  }

  /** Tells a stream as it comes. Resolves to the whole answer. `keepsError`: its error is not told, but only thrown. */
  async tell(
    { call: answering, events: heard, reader: hearing }: StartedStream,
    keepsError: boolean,
  ): Promise<ModelResponse> {
    await this.#say(answering, heard);
    const { upstream, host } = answering;
    const reader = upstream.body === null ? undefined : pacedReader(upstream.body, host.now);
    for await (const chunk of readChunks(answering, idleLimit(answering, hearing), reader)) {
      this.#heard();
      const more = hearing.push(chunk);
      const { error } = hearing.accumulated;
      const failed = keepsError ? more.findIndex(({ decoded }) => decoded.some(({ type }) => type === "error")) : -1;
      await this.#say(answering, failed < 0 ? more : more.slice(0, failed));
      if (error !== undefined && (keepsError || error.upstream === undefined)) break;
    }
    const rest = hearing.end();
    const { response, error } = hearing.accumulated;
    if (response === undefined) throw error;
    await this.#say(answering, rest);
    return response;
  }

  async end(rhone: object): Promise<void> {
    await this.#send(this.#telling.end(rhone));
  }

  async fail(error: GatewayError): Promise<void> {
    await this.#send(this.#telling.fail(error));
  }

  async #say(answering: UpstreamCall, heard: readonly ReadEvent[]): Promise<void> {
    const joiner = this.#joiner;
    const parts = heard.map(({ event, decoded, isFinishing }) => {
      if (joiner !== undefined)
        return this.#telling.push(
          NO_EVENT,
          decoded.flatMap((one) => joiner.push(one)),
          isFinishing,
        );
      for (const one of decoded) if (one.type === "start") publishResponseId(answering, one.id);
      return this.#telling.push(event, decoded, isFinishing);
    });
    await this.#send(concatBytes(parts));
  }

  async #send(bytes: Uint8Array): Promise<void> {
    await this.#outlet.send(bytes, this.#telling.usage());
  }
}

/** Why a reply is not to go on, though its provider would. */
function endOf({ request: asked, host }: UpstreamCall, outlet: ReplyOutput): GatewayError | undefined {
  if (host.cancelled?.aborted) return CANCELLED;
  const hasLeft = outlet.isGone || host.clientLeft?.aborted === true;
  return hasLeft && asked.rhone.on_disconnect === "cancel" ? CLIENT_LEFT : undefined;
}
