import { type GatewayError, isRetryable } from "../../canonical/error.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import type { Surface } from "../../surfaces/index.ts";
import type { CallLog } from "../call/call-log.ts";
import type { Call } from "../call/call.ts";
import { requestIdOf, UpstreamRefusal } from "../upstream/refusal.ts";
import { toRateHeaders } from "./rate-headers.ts";

/** An error in the surface's format. A provider's refusal in the same format is passed on byte for byte. */
export function buildErrorResponse(surface: Surface, error: GatewayError, requestId: string): Response {
  const refusal = error instanceof UpstreamRefusal ? error : undefined;
  const type = refusal?.bytes === undefined ? null : refusal.headers.get("content-type");
  const headers = new Headers({ "content-type": toJsonType(type) });
  setRequestId(headers, requestId, surface);
  // Rounded up to whole seconds (RFC 9110), as clients parse an integer.
  if (error.retryAfterSeconds !== undefined) headers.set("retry-after", String(Math.ceil(error.retryAfterSeconds)));
  if (error.runId !== undefined) headers.set("x-rhone-run-id", error.runId);
  // The SDKs of OpenAI and Anthropic retry every 5xx unless this header is set.
  if (error.status >= 500 && !isRetryable(error)) headers.set("x-should-retry", "false");
  const body = refusal?.bytes ?? JSON.stringify(surface.dialect.encodeError(error, requestId));
  return new Response(body, { status: error.status, headers });
}

/** A stream whose only event is the error. */
export const buildErrorStream = (surface: Surface, error: GatewayError, reply: ReplyContext): Response =>
  new Response(surface.dialect.encodeStream(reply).push({ type: "error", error }), {
    headers: { "content-type": EVENT_STREAM },
  });

/** The content type of a JSON body: the provider's own if it is one of JSON, as some hosts send `text/html`. */
export const toJsonType = (type: string | null): string =>
  type !== null && /^\s*application\/([\w.-]+\+)?json\s*(;|$)/i.test(type) ? type : "application/json";

/** The content type of server-sent events. */
export const EVENT_STREAM = "text/event-stream; charset=utf-8";

/** Sets `x-request-id`, and the header of the surface's own clients unless the provider has set it. */
function setRequestId(headers: Headers, id: string, surface: Surface): void {
  headers.set("x-request-id", id);
  const own = surface.requestIdHeader;
  if (own !== undefined && !headers.has(own)) headers.set(own, id);
}

/**
 * The provider's headers that are passed on: request id, processing time, rate limits. Cookies, `content-length` and
 * `content-encoding` are not: they would set state or describe other bytes.
 */
const FORWARDED = /^(retry-after|x-request-id|request-id|openai-(processing-ms|version)|(x|anthropic)-ratelimit-.*)$/;

/** What response headers are made of. `surface` decides on the names of request id and rate limits. */
type AnsweredCall = { call: Call; request: { surface: Surface }; log: CallLog };

/**
 * The response with the gateway's headers: request, session and call id, model, provider, number of losses, rate
 * limits. `upstream`: headers of the provider that answered.
 */
export function withHeaders(response: Response, { call, request, log }: AnsweredCall, upstream?: Headers): Response {
  const { surface } = request;
  const headers = new Headers(response.headers);
  upstream?.forEach((value, name) => {
    if (FORWARDED.test(name)) headers.set(name, value);
  });
  setRequestId(headers, call.headers.get("x-request-id") ?? requestIdOf(headers) ?? call.id, surface);
  headers.set("x-rhone-session-id", call.sessionId);
  headers.set("x-rhone-call-id", call.id);
  if (log.target !== undefined) {
    headers.set("x-rhone-model", encodeURI(log.target.model));
    headers.set("x-rhone-provider", log.target.provider.id);
  }
  if (log.losses.length > 0) headers.set("x-rhone-loss", String(log.losses.length));
  for (const [name, value] of toRateHeaders(surface, log.rates, log.now)) headers.set(name, value);
  return new Response(response.body, { status: response.status, headers });
}
