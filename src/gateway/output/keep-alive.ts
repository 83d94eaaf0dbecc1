import type { Dialect } from "../../canonical/types.ts";
import { encodeUtf8 } from "../../wire/bytes.ts";

/** Interval of keep-alives. Proxies commonly close a connection that is silent for 60 s. Milliseconds. */
export const KEEP_ALIVE_MS = 15_000;

/** Keep-alives by dialect; elsewhere an SSE comment, which clients ignore. Anthropic API reference: `ping` events. */
const PING: Partial<Record<Dialect, string>> = { anthropic: 'event: ping\ndata: {"type": "ping"}\n\n' };

/**
 * Sends a keep-alive after each interval in which `onData` was not called. Call it only between whole events. `pingNow`
 * sends one at once, `stop` ends the timer.
 */
export function keepAlive(
  dialect: Dialect,
  send: (bytes: Uint8Array) => Promise<void>,
  intervalMs = KEEP_ALIVE_MS,
): { onData: () => void; stop: () => void; pingNow: () => void } {
  const ping = encodeUtf8(PING[dialect] ?? ": keep-alive\n\n");
  let isQuiet = true;
  const timer = setInterval(() => {
    if (isQuiet) void send(ping);
    isQuiet = true;
  }, intervalMs);
  return {
    onData: () => {
      isQuiet = false;
    },
    stop: () => clearInterval(timer),
    pingNow: () => void send(ping),
  };
}
