import type { GatewayError } from "../../canonical/error.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { INTERVAL, keepAlive } from "../output/keep-alive.ts";
import { EVENT_STREAM } from "./headers.ts";
import { ClientStream } from "../output/client-stream.ts";
import type { Surface } from "../../surfaces/index.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import { raceTimeout } from "../../wire/time.ts";

/** An answer for the client; `error` where it is one. */
export type Outcome = { response: Response; error?: GatewayError };

type Waiting = {
  surface: Surface;
  reply: () => ReplyContext;
  /** What can be said before it is known who answers. */
  headers: Record<string, string>;
  /** Keeps the host awake until then. */
  waitUntil: (work: Promise<unknown>) => void;
  /** The client has left before it was answered. */
  onGone: () => void;
  intervalMs?: number;
};

/**
 * The response to a streamed call. It is held until there is an answer, so that an error has a status of its own; but
 * no longer than a client or a proxy on the way waits in silence: then it begins without one, with keep-alives, and an
 * error is an event.
 */
export async function respondWithin(answered: Promise<Outcome>, waiting: Waiting): Promise<Response> {
  const answer = await raceTimeout(answered, waiting.intervalMs ?? INTERVAL);
  if (answer !== undefined) return answer.response;
  const sink = new ClientStream(waiting.onGone);
  waiting.waitUntil(tell(answered, sink, waiting));
  return new Response(sink.body, { headers: { ...waiting.headers, "content-type": EVENT_STREAM } });
}

async function tell(
  answered: Promise<Outcome>,
  sink: ClientStream,
  { surface, reply, intervalMs }: Waiting,
): Promise<void> {
  const alive = keepAlive(surface.dialect.id, (ping) => sink.ping(ping), intervalMs);
  alive.now();
  const { response, error } = await answered;
  alive.stop();
  if (error !== undefined)
    await sink.send(encodeUtf8(surface.dialect.encodeStream(reply()).push({ type: "error", error })));
  else {
    for await (const chunk of response.body ?? []) {
      // Leaving the loop lets go of the answer's own stream: to it, the client has left.
      if (sink.isGone) break;
      await sink.send(chunk);
    }
  }
  await sink.close();
}
