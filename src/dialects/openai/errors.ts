import {
  hiddenUpstream,
  type ErrorCode,
  GatewayError,
  type UpstreamError,
  upstreamMembers,
  upstreamDetails,
} from "../../canonical/error.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";

/**
 * The errors of both OpenAI wires: `{error: {…}}`, and the flat bodies of their kin: Mistral's `{message}` and `{detail}`,
 * xAI's `{code, error: "…"}`.
 */
export function decodeError(status: number, body: string, requestId?: string): GatewayError {
  return errorOf(status, tryParseJson(body), requestId);
}

export function errorOf(status: number, body: Json | undefined, requestId?: string): GatewayError {
  const outer = isObject(body) ? body : {};
  const inner = isObject(outer.error) ? outer.error : outer;
  const said = [inner.message, outer.message, outer.detail, outer.error].find(
    (text) => text !== undefined && text !== null,
  );
  const message = said === undefined ? `the provider answered with status ${status}` : stringifyMember(said);
  const upstream: UpstreamError = {
    status,
    ...(typeof inner.type === "string" && inner.type !== "error" && { type: inner.type }),
    ...((typeof inner.code === "string" || typeof inner.code === "number") && { code: String(inner.code) }),
    ...(requestId !== undefined && { requestId }),
  };
  const param = typeof inner.param === "string" ? { param: inner.param } : {};
  return new GatewayError(codeOf(status, upstream), message, { status, upstream, ...param });
}

/** An error said inside a 200, by an event or a failed response: its code stands for the status that was not sent. */
export function streamErrorOf(body: JsonObject): GatewayError {
  const { code } = isObject(body.error) ? body.error : body;
  return errorOf((typeof code === "string" && STATUS[code]) || 502, body);
}

export function encodeError(error: GatewayError, requestId: string): JsonObject {
  return { error: { ...errorMembers(error), request_id: requestId } };
}

/** `upstream` is beyond the published shape, which has no place for it, and no SDK minds. */
export function errorMembers(error: GatewayError): JsonObject {
  const [words, upstream] = [upstreamDetails(error), hiddenUpstream(error)];
  return {
    message: error.message,
    type: words?.type ?? typeOf(error.status),
    param: error.param ?? null,
    code: words?.code ?? error.word ?? error.code,
    ...(upstream !== undefined && { upstream: upstreamMembers(upstream) }),
  };
}

const STATUS: Record<string, number> = {
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  context_length_exceeded: 400,
  invalid_prompt: 400,
};

function codeOf(status: number, upstream: UpstreamError): ErrorCode {
  if (upstream.code === "context_length_exceeded") return "context.too_long";
  if (status === 429) return "rate.limited";
  if (status === 408 || status === 504) return "provider.timeout";
  if (status === 404) return "model.not_found";
  if (status >= 400 && status < 500 && ![401, 402, 403].includes(status)) return "request.invalid";
  return "provider.execution_failed";
}

/** The words the official SDKs know. */
function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "api_error";
}
