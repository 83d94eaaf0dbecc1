import type { GatewayError } from "../../canonical/error.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { pacedReader } from "../../wire/tee.ts";
import {
  type Answering,
  hearId,
  keepsBytes,
  lost,
  replyOf,
  settle,
  settleFailure,
  toldReply,
  unaskedUsage,
} from "./settle.ts";
import type { ModelResponse } from "../../canonical/types.ts";
import { keyOf } from "../../routing/locate.ts";
import type { DiscardedUsage } from "../../store/records.ts";
import { brokenOff, type Heard, LEFT, NO_EVENT, STOPPED } from "../upstream/stream-reader.ts";
import { keepAlive } from "../output/keep-alive.ts";
import { type Outlet, outletTo } from "../output/recorder.ts";
import type { Begun } from "../upstream/answer.ts";
import { begunOf, continuationOf, Joiner, type Rescue, rescuable, toldOf } from "./recovery.ts";
import { between, chunksOf } from "../upstream/read.ts";
import { RelayedTelling, type Telling, TranslatedTelling } from "./writers.ts";
import { wasteOf } from "../call/attempt-cost.ts";
import { EVENT_STREAM } from "./headers.ts";

/** Event by event through JavaScript: decoded on the way, the end held back until the turn is durable. */
export function pumped(begun: Begun, rescue?: Rescue): Response {
  const { answering } = begun;
  const { asked, call, host, cancel } = answering;
  const outlet = outletTo(host.tape?.(call.id), () => {
    if (asked.rhone.on_disconnect === "cancel") cancel();
  });
  host.keepAlive(pump(begun, outlet, rescue));
  return new Response(outlet.body, { headers: { "content-type": EVENT_STREAM } });
}

async function pump(begun: Begun, outlet: Outlet, rescue: Rescue | undefined): Promise<void> {
  const alive = keepAlive(begun.answering.asked.surface.dialect.id, (ping) => outlet.ping(ping));
  const teller = new Teller(outlet, alive.heard, tellingOf(begun.answering));
  let { answering } = begun;
  try {
    let response = await teller.tell(begun, rescue !== undefined).catch((thrown: unknown) => {
      begun.answering.cancel();
      if (rescue === undefined || endOf(answering, outlet) !== undefined) throw thrown;
      return undefined;
    });
    if (response === undefined) ({ answering, response } = await goOn(begun, teller, rescue!));
    const ended = endOf(answering, outlet);
    if (ended !== undefined) throw ended;
    const record = await settle(answering, response).catch((cause: unknown) => {
      throw lost(cause);
    });
    await teller.end(answering.notes.rhone(record));
  } catch (thrown) {
    answering.cancel();
    const error = endOf(answering, outlet) ?? brokenOff(thrown);
    // Who was to go on with it has not: the words are the first one's.
    const { notes, place, losses } = begun.answering;
    if (notes.target !== place) notes.aim(place, losses);
    // Where not even that can be noted, the watchdog finds the call; the client is told either way.
    await settleFailure(begun.answering, error, begun.hearing).catch(() => {});
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
async function goOn(
  begun: Begun,
  teller: Teller,
  rescue: Rescue,
): Promise<{ answering: Answering; response: ModelResponse }> {
  const { hearing, answering: first } = begun;
  const { folded } = hearing;
  const said = rescuable(folded);
  const cause = folded.error ?? brokenOff(undefined);
  if (said === undefined) throw cause;
  const noteWaste = first.notes.brokeOff(cause);
  const joiner = new Joiner(hearing);
  const second = begunOf(
    await rescue(continuationOf(said)).catch(() => {
      throw cause;
    }),
  );
  const { answering } = second;
  answering.notes.aim(answering.place, answering.losses);
  teller.goOn(joiner, keepsBytes(first) ? knowing(begun) : undefined);
  const whole = await teller.tell(second, true).catch(async (thrown: unknown) => {
    answering.cancel();
    const noteItsWaste = first.notes.brokeOff(brokenOff(thrown));
    noteItsWaste(await wasteIn(second));
    throw thrown;
  });
  const response = joiner.joined(folded, whole);
  noteWaste(await wasteIn(begun));
  answering.notes.rescued = { from: keyOf(first.place), after_chars: said.length, how: joiner.how ?? "continuation" };
  return { answering, response };
}

const wasteIn = ({ answering: { place, call }, hearing }: Begun): Promise<DiscardedUsage> =>
  wasteOf(place, hearing.counted, hearing.folded.model, new Date(call.createdAt));

function tellingOf(answering: Answering): Telling {
  return keepsBytes(answering) ? new RelayedTelling(optionsOf(answering)) : new TranslatedTelling(optionsOf(answering));
}

/** Words of ours for a client that has heard its provider's own: their ids and their count are gone on with. */
function knowing({ answering, hearing }: Begun): Telling {
  const reply = toldReply(answering, hearing.folded.id);
  const telling = new TranslatedTelling({ ...optionsOf(answering), reply });
  telling.learn(toldOf(hearing), hearing.last);
  return telling;
}

const optionsOf = (answering: Answering): ConstructorParameters<typeof RelayedTelling>[0] => ({
  surface: answering.asked.surface.dialect,
  reply: replyOf(answering),
  hides: unaskedUsage(answering)?.isItsEvent,
  ...(answering.call.annotate && { rhone: answering.notes.rhone() }),
});

/** What a client is told of one stream, or of two that are one to it. */
class Teller {
  readonly #outlet: Outlet;
  readonly #heard: () => void;
  #telling: Telling;
  #joiner: Joiner | undefined;

  constructor(outlet: Outlet, heard: () => void, telling: Telling) {
    this.#outlet = outlet;
    this.#heard = heard;
    this.#telling = telling;
  }

  /** From here on what another says, joined to what was said; in the words of `telling`, where they change. */
  goOn(joiner: Joiner, telling: Telling = this.#telling): void {
    this.#telling = telling;
    this.#joiner = joiner;
  }

  /** Tells a stream as it comes. Resolves to the whole answer. `keepsError`: its error is not told, but only thrown. */
  async tell({ answering, heard, hearing }: Begun, keepsError: boolean): Promise<ModelResponse> {
    await this.#say(answering, heard);
    const { upstream, host } = answering;
    const reader = upstream.body === null ? undefined : pacedReader(upstream.body, host.now);
    for await (const chunk of chunksOf(answering, between(answering, hearing), reader)) {
      this.#heard();
      const more = hearing.push(chunk);
      const { error } = hearing.folded;
      const failed = keepsError ? more.findIndex(({ decoded }) => decoded.some(({ type }) => type === "error")) : -1;
      await this.#say(answering, failed < 0 ? more : more.slice(0, failed));
      if (error !== undefined && (keepsError || error.upstream === undefined)) break;
    }
    const rest = hearing.end();
    const { response, error } = hearing.folded;
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

  async #say(answering: Answering, heard: readonly Heard[]): Promise<void> {
    const joiner = this.#joiner;
    const parts = heard.map(({ event, decoded, isFinishing }) => {
      if (joiner !== undefined)
        return this.#telling.push(
          NO_EVENT,
          decoded.flatMap((one) => joiner.push(one)),
          isFinishing,
        );
      for (const one of decoded) if (one.type === "start") hearId(answering, one.id);
      return this.#telling.push(event, decoded, isFinishing);
    });
    await this.#send(concatBytes(parts));
  }

  async #send(bytes: Uint8Array): Promise<void> {
    await this.#outlet.send(bytes, this.#telling.counted());
  }
}

/** Why a reply is not to go on, though its provider would. */
function endOf({ asked, host }: Answering, outlet: Outlet): GatewayError | undefined {
  if (host.stopped?.aborted) return STOPPED;
  const hasLeft = outlet.isGone || host.left?.aborted === true;
  return hasLeft && asked.rhone.on_disconnect === "cancel" ? LEFT : undefined;
}
