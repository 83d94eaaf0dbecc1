import { concatBytes } from "../wire/bytes.ts";
import { isAmongHosts, type Reach, requirePublic, UrlRefusal } from "./public-url.ts";

/** How a deployment reaches URLs that were given from outside. */
export type OutboundNetwork = {
  reach: Reach;
  /** To a public address, or else refused by the platform. */
  fetchPublic: typeof fetch;
  /** To an origin that the deployment has registered. */
  fetchRegistered: typeof fetch;
};

/** `isSent`: the request may have reached its receiver. */
export class OutboundError extends Error {
  readonly isSent: boolean;

  constructor(message: string, { isSent, cause }: { isSent: boolean; cause?: unknown }) {
    super(message, { cause });
    this.isSent = isSent;
  }
}

/** An answer, with as much of its body as was read. `isCut`: there was more. */
export type BoundedAnswer = { status: number; headers: Headers; body: Uint8Array; isCut: boolean };

type BoundedOptions = { maxBytes: number; signal: AbortSignal; hosts?: readonly string[] | undefined };

const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Not sent to another origin than the one that they were meant for. */
const CREDENTIALS = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/**
 * Fetches a URL that was given from outside. Each redirect is checked as the URL is, and only a GET follows one. `hosts`: the only ones
 * that may be fetched; absent: any public one. At most `maxBytes` are read, as they are after decompression: a small answer may be a
 * large one; with 0 nothing of the body is waited for. Throws `UrlRefusal`, `OutboundError`, and the signal's reason.
 */
export async function fetchBounded(
  target: string,
  { maxBytes, signal, hosts, ...init }: RequestInit & BoundedOptions,
  network: OutboundNetwork,
): Promise<BoundedAnswer> {
  const headers = new Headers(init.headers);
  let url = requireAllowed(target, hosts, network);
  for (let redirects = 0; ; redirects++) {
    const response = await send(url, { ...init, headers, signal, redirect: "manual" }, network);
    const location = response.headers.get("location");
    const isFollowed = REDIRECTS.has(response.status) && location !== null && (init.method ?? "GET") === "GET";
    if (!isFollowed) return await read(response, maxBytes, signal);
    await response.body?.cancel();
    if (redirects === MAX_REDIRECTS) throw new UrlRefusal(`expected at most ${MAX_REDIRECTS} redirects`);
    const next = requireAllowed(URL.parse(location, url)?.href ?? location, hosts, network);
    if (next.origin !== url.origin) for (const name of CREDENTIALS) headers.delete(name);
    url = next;
  }
}

function requireAllowed(target: string, hosts: readonly string[] | undefined, { reach }: OutboundNetwork): URL {
  const url = requirePublic(target, reach);
  if (hosts !== undefined && !isAmongHosts(url, hosts)) throw new UrlRefusal(`expected a URL of ${hosts.join(", ")}`);
  return url;
}

async function send(
  url: URL,
  init: RequestInit & { signal: AbortSignal },
  network: OutboundNetwork,
): Promise<Response> {
  const fetching = network.reach.registered.has(url.origin) ? network.fetchRegistered : network.fetchPublic;
  try {
    return await fetching(url.href, init);
  } catch (cause) {
    init.signal.throwIfAborted();
    // Whether a request has left before its connection broke is not known.
    throw new OutboundError(`${url.host} could not be reached`, { isSent: true, cause });
  }
}

async function read(
  { status, headers, body }: Response,
  maxBytes: number,
  signal: AbortSignal,
): Promise<BoundedAnswer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  if (maxBytes === 0) void body?.cancel().catch(() => {});
  if (body === null || maxBytes === 0) return { status, headers, body: new Uint8Array(0), isCut: false };
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      signal.throwIfAborted();
      throw new OutboundError("the answer broke off", { isSent: true, cause });
    });
    if (done) break;
    const rest = maxBytes - size;
    parts.push(value.subarray(0, rest));
    size += value.length;
    if (value.length <= rest) continue;
    void reader.cancel().catch(() => {});
    return { status, headers, body: concatBytes(parts), isCut: true };
  }
  return { status, headers, body: concatBytes(parts), isCut: false };
}
