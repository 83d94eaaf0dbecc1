import { GatewayError } from "../canonical/error.ts";
import type { Target } from "./locate.ts";

export type Fetch = (request: Request) => Promise<Response>;

/** An upstream that has answered with a status. `cancel` ends its answer. */
export type AttemptResponse = { response: Response; cancel: () => void };

/** One request to one target. Throws `provider.*`, or the signal's reason. */
export async function attempt(
  { provider }: Target,
  request: { url: string; headers: Headers; body: string | ReadableStream<Uint8Array> },
  { fetch, headersMs, signal }: { fetch: Fetch; headersMs: number; signal?: AbortSignal },
): Promise<AttemptResponse> {
  const abort = new AbortController();
  signal?.addEventListener("abort", () => abort.abort(signal.reason), { once: true, signal: abort.signal });
  const silent = new GatewayError("provider.timeout", `${provider.id} did not answer within ${headersMs / 1000} s`);
  const timer = setTimeout(() => abort.abort(silent), headersMs);
  try {
    signal?.throwIfAborted();
    const response = await fetch(
      new Request(request.url, {
        method: "POST",
        headers: request.headers,
        body: request.body,
        // A redirect would carry the credential to wherever an upstream says.
        redirect: "manual",
        signal: abort.signal,
      }),
    );
    return { response, cancel: () => abort.abort(new GatewayError("stream.interrupted", "cancelled")) };
  } catch (cause) {
    if (abort.signal.aborted) throw abort.signal.reason;
    throw new GatewayError("provider.unavailable", `${provider.id} could not be reached`, { cause });
  } finally {
    clearTimeout(timer);
  }
}
