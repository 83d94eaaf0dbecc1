import type { OutboundNetwork } from "../outbound/bounded-fetch.ts";
import type { ClientCredentials } from "./client-credentials.ts";
import { prepareSending } from "./preparation.ts";

/** Where a session gets its bearer tokens from. `forget`: a token was refused, and is not used again. */
export type McpAuthorization = { getToken: () => Promise<string>; forget: (token: string) => void };

/** A token is not used in its last minute: a request takes time. Milliseconds. */
const MARGIN_MS = 60_000;
/** How long a token is used that does not say how long it is valid. Milliseconds. */
const DEFAULT_MS = 300_000;

type Entry = { token: Promise<string>; value?: string; until: number };

/**
 * Tokens for the MCP server at `url`. Each is in memory until a minute before it expires; calls at the same time share one. `getToken`
 * throws as `requestToken`, with `isSent` false: the server has not got its request yet.
 */
export function createAuthorization(
  credentials: ClientCredentials,
  { url, network, now }: { url: string; network: OutboundNetwork; now: () => number },
): McpAuthorization {
  let current: Entry | undefined;

  const load = async (entry: Entry): Promise<string> => {
    const { requestToken } = await import("./client-credentials.ts");
    const { token, seconds } = await prepareSending("getting a token", (signal) =>
      requestToken(credentials, { url, network, signal }),
    );
    entry.value = token;
    entry.until = now() + (seconds === undefined ? DEFAULT_MS : seconds * 1000 - MARGIN_MS);
    return token;
  };
  const start = (): Entry => {
    const entry = { until: Infinity } as Entry;
    entry.token = load(entry);
    entry.token.catch(() => {
      if (current === entry) current = undefined;
    });
    return entry;
  };

  return {
    getToken() {
      if (current !== undefined && now() >= current.until) current = undefined;
      return (current ??= start()).token;
    },
    forget(token) {
      if (current?.value === token) current = undefined;
    },
  };
}
