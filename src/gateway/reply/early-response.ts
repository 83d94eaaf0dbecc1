import type { GatewayError } from "../../canonical/error.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { KEEP_ALIVE_MS, keepAlive } from "../output/keep-alive.ts";
import { EVENT_STREAM } from "./headers.ts";
import { ClientStream } from "../output/client-stream.ts";
import type { Surface } from "../../surfaces/index.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import { raceTimeout } from "../../wire/time.ts";

/** An answer for the client; `error` where it is one. */
export type Outcome = { response: Response; error?: GatewayError };

type EarlyResponseOptions = {
  surface: Surface;
  reply: () => ReplyContext;
  /** What can be said before it is known who answers. */
  headers: Record<string, string>;
  /** Keeps the host awake until then. */
  waitUntil: (work: Promise<unknown>) => void;
  /** The client has left before it was answered. */
  onClientLeft: () => void;
  intervalMs?: number;
};

/**
 * The response to a streamed call. It is held until there is an answer, so that an error has a status of its own; but
 * no longer than a client or a proxy on the way waits in silence: then it begins without one, with keep-alives, and an
 * error is an event.
 */
export async function respondWithin(outcome: Promise<Outcome>, options: EarlyResponseOptions): Promise<Response> {
  const answer = await raceTimeout(outcome, options.intervalMs ?? KEEP_ALIVE_MS);
  if (answer !== undefined) return answer.response;
  const client = new ClientStream(options.onClientLeft);
  options.waitUntil(sendOutcome(outcome, client, options));
  return new Response(client.body, { headers: { ...options.headers, "content-type": EVENT_STREAM } });
}

async function sendOutcome(
  outcome: Promise<Outcome>,
  client: ClientStream,
  { surface, reply, intervalMs }: EarlyResponseOptions,
): Promise<void> {
  const pinger = keepAlive(surface.dialect.id, (ping) => client.ping(ping), intervalMs);
  pinger.now();
  const { response, error } = await outcome;
  pinger.stop();
  if (error !== undefined)
    await client.send(encodeUtf8(surface.dialect.encodeStream(reply()).push({ type: "error", error })));
  else {
    for await (const chunk of response.body ?? []) {
      // Leaving the loop lets go of the answer's own stream: to it, the client has left.
      if (client.isGone) break;
      await client.send(chunk);
    }
  }
  await client.close();
}
