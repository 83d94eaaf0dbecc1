import { fetchBounded, type OutboundNetwork } from "./bounded-fetch.ts";
import { signWebhook } from "./signature.ts";

/** Where messages are delivered, and what they are signed with. */
export type Receiver = { url: string; secrets: readonly string[] };

/** How long a receiver may take to answer. Milliseconds. */
const TIMEOUT_MS = 15_000;

/**
 * Delivers a message (Standard Webhooks 1.0.0): true if the receiver has taken it, with a status from 200 to 299. `gone`: with 410 it
 * refuses all further ones. Redirects are not followed. Never throws.
 */
export async function deliver(
  { id, body }: { id: string; body: string },
  { url, secrets }: Receiver,
  { network, now }: { network: OutboundNetwork; now: number },
): Promise<boolean | "gone"> {
  try {
    const { status } = await fetchBounded(
      url,
      {
        method: "POST",
        headers: { "content-type": "application/json", ...signWebhook({ id, at: now, body }, secrets) },
        body,
        maxBytes: 0,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      },
      network,
    );
    return status === 410 ? "gone" : status >= 200 && status < 300;
  } catch {
    return false;
  }
}
