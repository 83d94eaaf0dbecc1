import {
  type ErrorCode,
  GatewayError,
  hiddenUpstream,
  upstreamDetails,
  type UpstreamError,
  upstreamMembers,
} from "../../canonical/error.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";

/**
 * The errors of both OpenAI wires: `{error: {…}}`, and the flat bodies of their kin: Mistral's `{message}` and `{detail}`,
 * xAI's `{code, error: "…"}`.
 */
export function decodeError(status: number, body: string, requestId?: string): GatewayError {
  return decodeErrorBody(status, tryParseJson(body), requestId);
}

export function decodeErrorBody(status: number, body: Json | undefined, requestId?: string): GatewayError {
  const outer = isObject(body) ? body : {};
  const inner = isObject(outer.error) ? outer.error : outer;
  const upstreamMessage = [inner.message, outer.message, outer.detail, outer.error].find(
    (text) => text !== undefined && text !== null,
  );
  const message =
    upstreamMessage === undefined ? `the provider answered with status ${status}` : stringifyMember(upstreamMessage);
  const upstream: UpstreamError = {
    status,
    ...(typeof inner.type === "string" && inner.type !== "error" && { type: inner.type }),
    ...((typeof inner.code === "string" || typeof inner.code === "number") && { code: String(inner.code) }),
    ...(requestId !== undefined && { requestId }),
  };
  const param = typeof inner.param === "string" ? { param: inner.param } : {};
  return new GatewayError(classifyError(status, upstream), message, { status, upstream, ...param });
}

/** An error said inside a 200, by an event or a failed response: its code stands for the status that was not sent. */
export function decodeStreamError(body: JsonObject): GatewayError {
  const { code } = isObject(body.error) ? body.error : body;
  return decodeErrorBody((typeof code === "string" && STATUS_BY_CODE[code]) || 502, body);
}

export function encodeError(error: GatewayError, requestId: string): JsonObject {
  return { error: { ...errorMembers(error), request_id: requestId } };
}

/** `upstream` is beyond the published shape, which has no place for it, and no SDK minds. */
export function errorMembers(error: GatewayError): JsonObject {
  const [details, upstream] = [upstreamDetails(error), hiddenUpstream(error)];
  return {
    message: error.message,
    type: details?.type ?? typeOf(error.status),
    param: error.param ?? null,
    code: details?.code ?? error.word ?? error.code,
    ...(upstream !== undefined && { upstream: upstreamMembers(upstream) }),
  };
}

const STATUS_BY_CODE: Record<string, number> = {
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  context_length_exceeded: 400,
  invalid_prompt: 400,
};

function classifyError(status: number, upstream: UpstreamError): ErrorCode {
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
