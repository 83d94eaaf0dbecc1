import { type GatewayError, isRetryable } from "../../canonical/error.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import type { Call } from "../call/call.ts";
import { UpstreamRefusal, requestIdOf } from "../upstream/refusal.ts";
import type { Surface } from "../../surfaces/index.ts";
import type { CallLog } from "../call/call-log.ts";
import { rateHeaders } from "./rate-headers.ts";

/** An error in the surface's own shape, and in the provider's own bytes where they have it. */
export function errorResponse(surface: Surface, error: GatewayError, requestId: string): Response {
  const refusal = error instanceof UpstreamRefusal ? error : undefined;
  const type = refusal?.bytes && refusal.headers.get("content-type");
  const headers = new Headers({ "content-type": type ?? "application/json" });
  setRequestId(headers, requestId, surface);
  // Whole seconds, as all clients read it.
  if (error.retryAfterSeconds !== undefined) headers.set("retry-after", String(Math.ceil(error.retryAfterSeconds)));
  // OpenAI's and Anthropic's SDKs send every 5xx again, unless they are told not to.
  if (error.status >= 500 && !isRetryable(error)) headers.set("x-should-retry", "false");
  const body = refusal?.bytes ?? JSON.stringify(surface.dialect.encodeError(error, requestId));
  return new Response(body, { status: error.status, headers });
}

/** The same as the only event of a stream. */
export const errorStream = (surface: Surface, error: GatewayError, reply: ReplyContext): Response =>
  new Response(surface.dialect.encodeStream(reply).push({ type: "error", error }), {
    headers: { "content-type": EVENT_STREAM },
  });

export const EVENT_STREAM = "text/event-stream; charset=utf-8";

/** The request's id where all clients look for it, and where the surface's own do. A provider's own word stays. */
function setRequestId(headers: Headers, id: string, surface: Surface): void {
  headers.set("x-request-id", id);
  const own = surface.requestIdHeader;
  if (own !== undefined && !headers.has(own)) headers.set(own, id);
}

/** Of the provider's headers those that tell the caller something; none that could set state or hide a body's length. */
const FORWARDED = /^(retry-after|x-request-id|request-id|openai-(processing-ms|version)|(x|anthropic)-ratelimit-.*)$/;

type AnsweredCall = { call: Call; request: Pick<ParsedRequest, "surface">; log: CallLog };

/** The answer with what SPEC 3 says beside it. `upstream`: the headers of the provider that gave it. */
export function withHeaders(response: Response, { call, request, log }: AnsweredCall, upstream?: Headers): Response {
  const headers = new Headers(response.headers);
  upstream?.forEach((value, name) => {
    if (FORWARDED.test(name)) headers.set(name, value);
  });
  setRequestId(headers, call.headers.get("x-request-id") ?? requestIdOf(headers) ?? call.id, request.surface);
  headers.set("x-rhone-session-id", call.sessionId);
  headers.set("x-rhone-call-id", call.id);
  if (log.target !== undefined) {
    headers.set("x-rhone-model", encodeURI(log.target.model));
    headers.set("x-rhone-provider", log.target.provider.id);
  }
  if (log.losses.length > 0) headers.set("x-rhone-loss", String(log.losses.length));
  for (const [name, value] of rateHeaders(request.surface, log.rates, log.now)) headers.set(name, value);
  return new Response(response.body, { status: response.status, headers });
}
