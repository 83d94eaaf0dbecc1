import { GatewayError } from "../canonical/error.ts";
import type { Fetch } from "../providers/request.ts";
import type { Target } from "./locate.ts";

/** A response whose headers have arrived; its status may be an error. `cancel` aborts the body. */
type AttemptResponse = { response: Response; cancel: () => void };

/**
 * Sends one request to a target and waits for the headers, at most `headersMs`. Throws `provider.timeout` or
 * `provider.unavailable`, or the signal's reason. The signal also cancels the body later.
 */
export async function attempt(
  { provider }: Target,
  request: { url: string; headers: Headers; body: string | Uint8Array | ReadableStream<Uint8Array> },
  { fetch, headersMs, signal }: { fetch: Fetch; headersMs: number; signal?: AbortSignal },
): Promise<AttemptResponse> {
  const controller = new AbortController();
  signal?.addEventListener("abort", () => controller.abort(signal.reason), { once: true, signal: controller.signal });
  const onTimeout = (): void => {
    const message = `${provider.id} did not answer within ${headersMs / 1000} s`;
    controller.abort(new GatewayError("provider.timeout", message));
  };
  const timer = setTimeout(onTimeout, headersMs);
  try {
    signal?.throwIfAborted();
    const response = await fetch(
      new Request(request.url, {
        method: "POST",
        headers: request.headers,
        body: request.body,
        // Following a redirect would send the credential to an address that the upstream chooses.
        redirect: "manual",
        signal: controller.signal,
      }),
    );
    return { response, cancel: () => controller.abort(new GatewayError("stream.interrupted", "cancelled")) };
  } catch (cause) {
    if (controller.signal.aborted) throw controller.signal.reason;
    throw new GatewayError("provider.unavailable", `${provider.id} could not be reached`, { cause });
  } finally {
    clearTimeout(timer);
  }
}
