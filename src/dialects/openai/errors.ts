import {
  type ErrorCode,
  GatewayError,
  hiddenUpstream,
  toUpstreamMembers,
  upstreamDetails,
  type UpstreamError,
} from "../../canonical/error.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson, lookUp } from "../../wire/json.ts";
import { statusOfCode } from "../error-body.ts";

/**
 * Errors of both OpenAI wires, `{error: {message, type, param, code}}` (OpenAI API reference, "Error codes"),
 * and the flat bodies of compatible hosts: `{message}` and `{detail}` of Mistral, `{code, error: "…"}` of xAI.
 */
export function decodeError(status: number, body: string, requestId?: string): GatewayError {
  return decodeErrorBody(status, tryParseJson(body), requestId);
}

/** The same for a parsed body; `undefined` if it was no JSON. */
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

/**
 * An error inside a 200 (an error event, a failed response, a body that is no answer): its code determines the status, 502
 * if it is unknown.
 */
export function decodeStreamError(body: JsonObject): GatewayError {
  const { code } = isObject(body.error) ? body.error : body;
  return decodeErrorBody((typeof code === "string" && lookUp(STATUS_BY_CODE, code)) || statusOfCode(code), body);
}

/** `request_id` is beyond the published shape; SDKs read the id from the header. */
export function encodeError(error: GatewayError, requestId: string): JsonObject {
  return { error: { ...errorMembers(error), request_id: requestId } };
}

/**
 * Members of the error object. `upstream` is beyond the published shape, which has no member for an error of a
 * third party; the official SDKs ignore it.
 */
export function errorMembers(error: GatewayError): JsonObject {
  const [details, upstream] = [upstreamDetails(error), hiddenUpstream(error)];
  return {
    message: error.message,
    type: details?.type ?? typeOf(error.status),
    param: error.param ?? null,
    code: details?.code ?? error.word ?? error.code,
    ...(upstream !== undefined && { upstream: toUpstreamMembers(upstream) }),
  };
}

/** HTTP status for codes that arrive without one, as the API sends them outside of streams. */
const STATUS_BY_CODE: Record<string, number> = {
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  context_length_exceeded: 400,
  invalid_prompt: 400,
};

/**
 * 401, 402 and 403 concern the account of the gateway at the provider, not the request of the caller: they are
 * `provider.execution_failed`.
 */
function classifyError(status: number, upstream: UpstreamError): ErrorCode {
  if (upstream.code === "context_length_exceeded") return "context.too_long";
  if (status === 429) return "rate.limited";
  if (status === 408 || status === 504) return "provider.timeout";
  if (status === 404) return "model.not_found";
  if (status >= 400 && status < 500 && ![401, 402, 403].includes(status)) return "request.invalid";
  return "provider.execution_failed";
}

/** Values of `type` for which the official SDKs have error classes. */
function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "api_error";
}
