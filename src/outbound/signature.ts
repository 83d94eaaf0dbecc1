import { createHmac } from "node:crypto";

/**
 * The headers that identify and sign a request (Standard Webhooks 1.0.0). `id` stays the same over repetitions. `at`: Unix
 * milliseconds. `secret`: `whsec_` and base64, or any text; without one nothing is signed.
 */
export function signWebhook(
  { id, at, body }: { id: string; at: number; body: string },
  secret: string | undefined,
): Record<string, string> {
  const timestamp = String(Math.floor(at / 1000));
  const unsigned = { "webhook-id": id, "webhook-timestamp": timestamp };
  if (secret === undefined) return unsigned;
  const signature = createHmac("sha256", toKey(secret)).update(`${id}.${timestamp}.${body}`).digest("base64");
  return { ...unsigned, "webhook-signature": `v1,${signature}` };
}

const PREFIX = "whsec_";

const toKey = (secret: string): Buffer =>
  secret.startsWith(PREFIX) ? Buffer.from(secret.slice(PREFIX.length), "base64") : Buffer.from(secret);
