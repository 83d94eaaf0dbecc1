import {
  type ErrorCode,
  GatewayError,
  hiddenUpstream,
  toUpstreamMembers,
  upstreamDetails,
  type UpstreamError,
} from "../../canonical/error.ts";
import {
  isObject,
  type Json,
  type JsonObject,
  stringifyMember,
  stringOf,
  tryParseJson,
  lookUp,
} from "../../wire/json.ts";

/**
 * `{type: "error", error: {type, message}, request_id}` (Anthropic API, "Errors"), and flat bodies of other
 * hosts.
 */
export function decodeError(status: number, body: string, requestId?: string): GatewayError {
  return decodeErrorBody(status, tryParseJson(body), requestId);
}

/**
 * The same for a parsed body. `status`: `undefined` for an error in a stream, where the type determines it.
 */
export function decodeErrorBody(status: number | undefined, body: Json | undefined, requestId?: string): GatewayError {
  const outer = isObject(body) ? body : {};
  const inner = isObject(outer.error) ? outer.error : outer;
  const type = stringOf(inner.type);
  const known = status ?? lookUp(STATUS_BY_TYPE, type ?? "") ?? 500;
  const upstreamMessage = [inner.message, outer.message, outer.detail, outer.error].find(
    (text) => text !== undefined && text !== null,
  );
  const message =
    upstreamMessage === undefined ? `the provider answered with status ${known}` : stringifyMember(upstreamMessage);
  const id = stringOf(outer.request_id) ?? requestId;
  const upstream: UpstreamError = {
    status: known,
    ...(type !== undefined && { type }),
    ...((typeof inner.code === "string" || typeof inner.code === "number") && { code: String(inner.code) }),
    ...(id !== undefined && { requestId: id }),
  };
  return new GatewayError(classifyError(known, type, message), message, { status: known, upstream });
}

/** `requestId`: the id that the gateway gave the request. */
export function encodeError(error: GatewayError, requestId: string): JsonObject {
  return { ...errorMembers(error), request_id: requestId };
}

/** `code` and `upstream` are beyond the published shape; the official SDKs ignore them. */
export function errorMembers(error: GatewayError): { type: "error"; error: JsonObject } {
  const [details, upstream] = [upstreamDetails(error), hiddenUpstream(error)];
  const upstreamType = details?.type;
  const type =
    upstreamType !== undefined && lookUp(STATUS_BY_TYPE, upstreamType) !== undefined
      ? upstreamType
      : typeOf(error.status);
  const code = details?.code ?? error.code;
  // The official SDK's name of an error (Anthropic SDK, `error_code`).
  const own = error.word === undefined ? {} : { details: { error_code: error.word } };
  const members = { type, message: error.message, code, ...own };
  return {
    type: "error",
    error: { ...members, ...(upstream !== undefined && { upstream: toUpstreamMembers(upstream) }) },
  };
}

/** Anthropic API, "Errors": HTTP errors. */
const STATUS_BY_TYPE: Record<string, number> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
};

/**
 * The API has no code for it. "prompt is too long: 3333404 tokens > 200000 maximum"; before Claude 4.5 the
 * message was about the context limit.
 */
const TOO_LONG = /prompt is too long|exceed(s|ed)? (the )?context (limit|window)/i;

/** Credentials and account of the gateway (401, 402, 403) are no fault of the request of the caller. */
function classifyError(status: number, type: string | undefined, message: string): ErrorCode {
  if (status < 500 && TOO_LONG.test(message)) return "context.too_long";
  if (status === 429) return "rate.limited";
  if (status === 408 || status === 504) return "provider.timeout";
  if (status === 413) return "request.too_large";
  if (status === 404) return "model.not_found";
  if (status === 529 || type === "overloaded_error") return "provider.unavailable";
  if (status >= 400 && status < 500 && ![401, 402, 403].includes(status)) return "request.invalid";
  return "provider.execution_failed";
}

/** A status outside of the list gets the most general type of its class. */
function typeOf(status: number): string {
  const known = Object.entries(STATUS_BY_TYPE).find(([, listed]) => listed === status);
  return known?.[0] ?? (status < 500 ? "invalid_request_error" : "api_error");
}
