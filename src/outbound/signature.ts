import { createHmac } from "node:crypto";

/**
 * The headers that identify and sign a request (Standard Webhooks 1.0.0). `id` stays the same over repetitions. `at`: Unix
 * milliseconds. `secrets`: each `whsec_` and base64, or any text; of several, while one replaces another, a receiver needs to know one.
 * Without any nothing is signed.
 */
export function signWebhook(
  { id, at, body }: { id: string; at: number; body: string },
  secrets: readonly string[],
): Record<string, string> {
  const timestamp = String(Math.floor(at / 1000));
  const unsigned = { "webhook-id": id, "webhook-timestamp": timestamp };
  if (secrets.length === 0) return unsigned;
  const signatures = secrets.map(
    (secret) => `v1,${createHmac("sha256", toKey(secret)).update(`${id}.${timestamp}.${body}`).digest("base64")}`,
  );
  return { ...unsigned, "webhook-signature": signatures.join(" ") };
}

const PREFIX = "whsec_";

const toKey = (secret: string): Buffer =>
  secret.startsWith(PREFIX) ? Buffer.from(secret.slice(PREFIX.length), "base64") : Buffer.from(secret);

/** A new secret: 24 random bytes, as Standard Webhooks recommends. */
export const newSigningSecret = (): string =>
  PREFIX + Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString("base64");
