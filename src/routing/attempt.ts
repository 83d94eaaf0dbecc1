import { GatewayError } from "../canonical/error.ts";
import type { Attempt } from "../store/records.ts";
import type { Target } from "./plan.ts";

/** Milliseconds. SPEC 20's defaults. */
export const DEADLINES = { headers: 60_000, idle: 60_000 } as const;

export type Fetch = (request: Request) => Promise<Response>;

/** One try at one target. `cancel` ends the upstream's answer, too. Throws `provider.*`; the attempt is noted either way. */
export async function attempt(
  target: Target,
  request: { url: string; headers: Headers; body: string | ReadableStream<Uint8Array> },
  tools: { fetch: Fetch; now: () => number; note: (attempt: Attempt) => void; headersMs?: number },
): Promise<{ response: Response; cancel: () => void }> {
  const startedAt = tools.now();
  const made: Attempt = { provider: target.provider.id, model: target.model, startedAt, ms: 0 };
  const { headersMs = DEADLINES.headers } = tools;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort("headers"), headersMs);
  try {
    // A redirect would carry the credential to wherever an upstream says.
    const init = {
      method: "POST",
      headers: request.headers,
      body: request.body,
      redirect: "manual",
      signal: abort.signal,
    } as const;
    const response = await tools.fetch(new Request(request.url, init));
    tools.note({ ...made, status: response.status, ms: tools.now() - startedAt });
    return { response, cancel: () => abort.abort("cancelled") };
  } catch (cause) {
    const error = abort.signal.aborted
      ? new GatewayError("provider.timeout", `${target.provider.id} did not answer within ${headersMs / 1000} s`, {
          cause,
        })
      : new GatewayError("provider.unavailable", `${target.provider.id} could not be reached`, { cause });
    tools.note({ ...made, error: error.code, ms: tools.now() - startedAt });
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
