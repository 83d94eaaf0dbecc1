import type { GatewayError } from "../../canonical/error.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import type { Surface } from "../../surfaces/index.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";
import { raceTimeout } from "../../wire/time.ts";
import { ClientStream } from "../output/client-stream.ts";
import { KEEP_ALIVE_MS, keepAlive } from "../output/keep-alive.ts";
import { EVENT_STREAM } from "./headers.ts";

/** The response to a call, and its error if it failed. */
export type Outcome = { response: Response; error?: GatewayError };

/** What a response needs that starts before the call's outcome is known. */
type EarlyResponseOptions = {
  surface: Surface;
  reply: () => ReplyContext;
  /** Headers that do not depend on the target. */
  headers: Record<string, string>;
  /** Prevents the host's eviction until the work is done. */
  waitUntil: (work: Promise<unknown>) => void;
  /** Called when the client leaves before the outcome is known. */
  onClientLeft: () => void;
  /** Time until the early start and between keep-alives, in milliseconds; default `KEEP_ALIVE_MS`. */
  intervalMs?: number;
};

/**
 * The response to a streamed call. It waits for the outcome, so that an error has a status of its own, but no longer
 * than clients and proxies wait without data. After that, status 200 and keep-alives are sent, and an error becomes an
 * event of the stream.
 */
export async function respondWithin(outcome: Promise<Outcome>, options: EarlyResponseOptions): Promise<Response> {
  const answer = await raceTimeout(outcome, options.intervalMs ?? KEEP_ALIVE_MS);
  if (answer !== undefined) return answer.response;
  const client = new ClientStream(options.onClientLeft);
  options.waitUntil(sendOutcome(outcome, client, options));
  return new Response(client.body, { headers: { ...options.headers, "content-type": EVENT_STREAM } });
}

/** Sends keep-alives until the outcome is known, then its body or its error event. */
async function sendOutcome(
  outcome: Promise<Outcome>,
  client: ClientStream,
  { surface, reply, intervalMs }: EarlyResponseOptions,
): Promise<void> {
  const timer = keepAlive(surface.dialect.id, (ping) => client.ping(ping), intervalMs);
  timer.pingNow();
  const { response, error } = await outcome;
  timer.stop();
  if (error !== undefined)
    await client.send(encodeUtf8(surface.dialect.encodeStream(reply()).push({ type: "error", error })));
  else {
    for await (const chunk of response.body ?? []) {
      // Leaving the loop cancels the response's body, so its producer handles it as a client that left.
      if (client.isGone) break;
      await client.send(chunk);
    }
  }
  await client.close();
}
