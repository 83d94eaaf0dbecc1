import { GatewayError } from "../canonical/error.ts";
import { concatBytes } from "../wire/bytes.ts";
import { type Answering, isRelay, lost, replyOf, settle, settleFailure, unaskedUsage } from "./answering.ts";
import { brokenOff, type Heard, Hearing } from "./hearing.ts";
import { keepAlive } from "./keep-alive.ts";
import { Sink } from "./sink.ts";
import { chunksOf } from "./upstream.ts";
import { RelayedTelling, type Telling, TranslatedTelling } from "./telling.ts";

/** Event by event through JavaScript: decoded on the way, the end held back until the turn is durable. */
export function pumped(answering: Answering): Response {
  const { asked, call, host, notes, cancel } = answering;
  const sink = new Sink(() => {
    if (asked.rhone.on_disconnect === "cancel") cancel();
  });
  const options = {
    surface: asked.surface.dialect,
    reply: replyOf(answering),
    hides: unaskedUsage(answering)?.isItsEvent,
    ...(call.annotate && { rhone: notes.rhone() }),
  };
  const telling = isRelay(answering) ? new RelayedTelling(options) : new TranslatedTelling(options);
  host.keepAlive(pump(answering, sink, telling));
  return new Response(sink.body, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
}

async function pump(answering: Answering, sink: Sink, telling: Telling): Promise<void> {
  const { dialect, target, notes, cancel } = answering;
  const hearing = new Hearing(dialect.decodeStream(target.issuer));
  const tell = ({ event, decoded, isFinishing }: Heard): Uint8Array => telling.push(event, decoded, isFinishing);
  const alive = keepAlive(answering.asked.surface.dialect.id, (ping) => sink.ping(ping));
  try {
    for await (const chunk of chunksOf(answering, () => hearing.isFinished)) {
      alive.heard();
      await sink.send(concatBytes(hearing.push(chunk).map(tell)));
      if (hearing.folded.error !== undefined && hearing.folded.error.upstream === undefined) break;
    }
    await sink.send(concatBytes(hearing.end().map(tell)));
    const { response, error } = hearing.folded;
    if (response === undefined) throw error;
    if (wasLeft(answering, sink)) throw LEFT;
    const record = await settle(answering, response).catch((cause: unknown) => {
      throw lost(cause);
    });
    await sink.send(telling.end(notes.rhone(record)));
  } catch (thrown) {
    cancel();
    const error = wasLeft(answering, sink) ? LEFT : brokenOff(thrown);
    // Where not even that can be noted, the watchdog finds the call; the client is told either way.
    await settleFailure(answering, error, hearing.folded).catch(() => {});
    await sink.send(telling.fail(error));
  } finally {
    alive.stop();
    await sink.close();
  }
}

const LEFT = new GatewayError("stream.interrupted", "the client left, and had asked to cancel then");

const wasLeft = ({ asked }: Answering, sink: Sink): boolean => sink.isGone && asked.rhone.on_disconnect === "cancel";
