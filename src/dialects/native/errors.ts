import {
  ERROR_STATUS,
  type ErrorCode,
  GatewayError,
  isRetryable,
  toUpstreamMembers,
  type UpstreamError,
} from "../../canonical/error.ts";
import {
  isObject,
  type Json,
  type JsonObject,
  numberOf,
  stringifyMember,
  stringOf,
  tryParseJson,
  withoutUndefined,
} from "../../wire/json.ts";

/** `{error: {code, message, retryable, details, request_id}}`, the error object of the API. */
export function decodeError(status: number, body: string, requestId?: string): GatewayError {
  return decodeErrorBody(status, tryParseJson(body), requestId);
}

/**
 * The same for a parsed body. `status`: `undefined` for an error in a stream, where the code determines it.
 */
export function decodeErrorBody(status: number | undefined, body: Json | undefined, requestId?: string): GatewayError {
  const outer = isObject(body) ? body : {};
  const error = isObject(outer.error) ? outer.error : outer;
  const details = isObject(error.details) ? error.details : {};
  const code = stringOf(error.code);
  const known = status ?? (isGatewayCode(code) ? ERROR_STATUS[code] : 502);
  const upstream: UpstreamError = withoutUndefined({
    status: known,
    code,
    requestId: stringOf(error.request_id) ?? requestId,
  });
  const message =
    stringifyMember(error.message) || stringOf(outer.error) || `the provider answered with status ${known}`;
  const extras = withoutUndefined({
    param: stringOf(details.param),
    retryAfterSeconds: numberOf(details.retry_after_s),
  });
  return new GatewayError(classifyError(known, code), message, { status: known, upstream, ...extras });
}

/** `requestId`: the id of the request, or of the call in a stream. */
export function encodeError(error: GatewayError, requestId: string): JsonObject {
  return { error: errorMembers(error, requestId) };
}

/**
 * Members of the error object. `details` has the field, the delay before a retry in seconds, the run that is in the way and the error
 * of the provider.
 */
export function errorMembers(error: GatewayError, requestId: string): JsonObject {
  const { code, message, param, retryAfterSeconds, runId, upstream } = error;
  const details = withoutUndefined({
    param,
    retry_after_s: retryAfterSeconds,
    run_id: runId,
    upstream: upstream && toUpstreamMembers(upstream),
  });
  return { code, message, retryable: isRetryable(error), details, request_id: requestId };
}

/** A code of the closed list of the gateway. */
const isGatewayCode = (code: string | undefined): code is ErrorCode =>
  code !== undefined && Object.hasOwn(ERROR_STATUS, code);

/** A credential of this gateway at another gateway is no fault of the request of the caller. */
function classifyError(status: number, code: string | undefined): ErrorCode {
  const isCredential = code?.startsWith("auth.") || status === 401 || status === 403;
  if (isCredential) return "provider.execution_failed";
  if (isGatewayCode(code)) return code;
  if (status === 429) return "rate.limited";
  if (status === 408 || status === 504) return "provider.timeout";
  if (status === 404) return "model.not_found";
  return status >= 400 && status < 500 ? "request.invalid" : "provider.execution_failed";
}
