import type { Dialect } from "../../canonical/types.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";

/** Proxies on the way cut what is silent for a minute; SPEC 4 says 15 s. Milliseconds. */
export const KEEP_ALIVE_MS = 15_000;

/** A comment says nothing to anyone; Anthropic has an event for it. */
const PING: Partial<Record<Dialect, string>> = { anthropic: 'event: ping\ndata: {"type": "ping"}\n\n' };

/** Tells a client in its own form that its stream lives, whenever nothing was `heard` for a while. Only whole events go before it. */
export function keepAlive(
  dialect: Dialect,
  send: (bytes: Uint8Array) => Promise<void>,
  intervalMs = KEEP_ALIVE_MS,
): { heard: () => void; stop: () => void; now: () => void } {
  const ping = encodeUtf8(PING[dialect] ?? ": keep-alive\n\n");
  let isQuiet = true;
  const timer = setInterval(() => {
    if (isQuiet) void send(ping);
    isQuiet = true;
  }, intervalMs);
  return {
    heard: () => {
      isQuiet = false;
    },
    stop: () => clearInterval(timer),
    now: () => void send(ping),
  };
}
