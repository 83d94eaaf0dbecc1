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

type OpenOptions = { signal: AbortSignal; hosts?: readonly string[] | undefined };
type BoundedOptions = OpenOptions & { maxBytes: number };

const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Not sent to another origin than the one that they were meant for. */
const CREDENTIALS = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/**
 * Fetches a URL that was given from outside, as `openBounded` does, and reads its answer: at most `maxBytes`; with 0 nothing of the body
 * is waited for. Throws as `openBounded` and `readBounded`.
 */
export async function fetchBounded(
  target: string,
  { maxBytes, ...init }: RequestInit & BoundedOptions,
  network: OutboundNetwork,
): Promise<BoundedAnswer> {
  const response = await openBounded(target, init, network);
  const { status, headers } = response;
  if (maxBytes === 0) {
    void response.body?.cancel().catch(() => {});
    return { status, headers, body: new Uint8Array(0), isCut: false };
  }
  const chunks = readBounded(response, { maxBytes, signal: init.signal });
  const parts: Uint8Array[] = [];
  let next = await chunks.next();
  for (; next.done !== true; next = await chunks.next()) parts.push(next.value);
  return { status, headers, body: concatBytes(parts), isCut: next.value };
}

/**
 * Sends a request to a URL that was given from outside; its answer is not read. Each redirect is checked as the URL is, and only a GET
 * follows one. `hosts`: the only ones that may be fetched; absent: any public one. Throws `UrlRefusal`, `OutboundError`, and the
 * signal's reason.
 */
export async function openBounded(
  target: string,
  { signal, hosts, ...init }: RequestInit & OpenOptions,
  network: OutboundNetwork,
): Promise<Response> {
  const headers = new Headers(init.headers);
  let url = requireAllowed(target, hosts, network);
  for (let redirects = 0; ; redirects++) {
    const response = await send(url, { ...init, headers, signal, redirect: "manual" }, network);
    const location = response.headers.get("location");
    const isFollowed = REDIRECTS.has(response.status) && location !== null && (init.method ?? "GET") === "GET";
    if (!isFollowed) return response;
    await response.body?.cancel();
    if (redirects === MAX_REDIRECTS) throw new UrlRefusal(`expected at most ${MAX_REDIRECTS} redirects`);
    const next = requireAllowed(URL.parse(location, url)?.href ?? location, hosts, network);
    if (next.origin !== url.origin) for (const name of CREDENTIALS) headers.delete(name);
    url = next;
  }
}

/**
 * Reads an answer as it arrives: at most `maxBytes`, as they are after decompression, since a small answer may be a large one. Returns
 * whether there was more. A reader that stops early cancels the rest. Throws `OutboundError`, and the signal's reason.
 */
export async function* readBounded(
  { body }: Response,
  { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
): AsyncGenerator<Uint8Array, boolean> {
  if (body === null) return false;
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  const cancel = (): void => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  try {
    for (let rest = maxBytes; ;) {
      const { done, value } = await reader.read().catch((cause: unknown) => {
        signal.throwIfAborted();
        throw new OutboundError("the answer broke off", { isSent: true, cause });
      });
      // A body that was cancelled reports its end.
      signal.throwIfAborted();
      if (done) return false;
      yield value.subarray(0, rest);
      if (value.length > rest) return true;
      rest -= value.length;
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
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
