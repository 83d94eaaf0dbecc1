import {
  type ErrorCode,
  GatewayError,
  hiddenUpstream,
  upstreamDetails,
  type UpstreamError,
} from "../../canonical/error.ts";
import { decodeUtf8 } from "../../wire/bytes.ts";
import { isObject, type Json, type JsonObject, stringifyMember, stringOf, tryParseJson } from "../../wire/json.ts";
import { statusOfCode } from "../error-body.ts";

/**
 * `{error: {code, message, status, details}}` (google.rpc.Status); a stream without `alt=sse` has it inside a
 * list.
 */
export function decodeError(status: number, body: string, requestId?: string): GatewayError {
  return decodeErrorBody(status, tryParseJson(body), requestId);
}

/**
 * The same for a parsed body. `details` has the reason (ErrorInfo) and the delay before a retry (RetryInfo).
 */
export function decodeErrorBody(status: number, body: Json | undefined, requestId?: string): GatewayError {
  const outer = Array.isArray(body) ? body[0] : body;
  const error = isObject(outer) && isObject(outer.error) ? outer.error : isObject(outer) ? outer : {};
  const details = Array.isArray(error.details) ? error.details.filter(isObject) : [];
  const reason = details.map((detail) => detail.reason).find((one) => typeof one === "string");
  const code = reason ?? (typeof error.code === "number" ? String(error.code) : undefined);
  const upstream: UpstreamError = {
    status,
    ...(typeof error.status === "string" && { type: error.status }),
    ...(code !== undefined && { code }),
    ...(requestId !== undefined && { requestId }),
  };
  const text = stringOf(isObject(outer) ? outer.error : undefined);
  const message = stringifyMember(error.message) || text || `the provider answered with status ${status}`;
  const seconds = details.map((detail) => Number.parseFloat(stringifyMember(detail.retryDelay))).find(Number.isFinite);
  return new GatewayError(classifyError(status, upstream, message), message, {
    status,
    upstream,
    ...(seconds !== undefined && { retryAfterSeconds: Math.ceil(seconds) }),
  });
}

/** An error inside a 200 (in a stream, or a body that is no answer), which has its HTTP status as the code. */
export const decodeStreamError = (body: JsonObject): GatewayError =>
  decodeErrorBody(statusOfCode(isObject(body.error) ? body.error.code : body.code), body);

/** JSON outside of an event of a stream: an error that is sent so. */
export function readPlainJson(raw: Uint8Array): string | undefined {
  const text = decodeUtf8(raw).trim();
  return text.startsWith("{") || text.startsWith("[") ? text : undefined;
}

/** The id of the request is a detail of its own (google.rpc.RequestInfo). */
export function encodeError(error: GatewayError, requestId: string): JsonObject {
  const members = errorMembers(error);
  const request = { "@type": "type.googleapis.com/google.rpc.RequestInfo", requestId };
  return { error: { ...members, details: [...(members.details as Json[]), request] } };
}

/** An error of a third party is in the metadata of ErrorInfo, which has string values only. */
export function errorMembers(error: GatewayError): JsonObject {
  const { message, status, retryAfterSeconds, code } = error;
  const [own, upstream] = [upstreamDetails(error), hiddenUpstream(error)];
  // A numeric code only repeats the status.
  const reason = own?.code === undefined || /^\d+$/.test(own.code) ? code : own.code;
  const metadata = upstream && { upstream_status: String(upstream.status), upstream_code: upstream.code ?? "" };
  return {
    code: status,
    message,
    status: own?.type !== undefined && RPC_NAMES.has(own.type) ? own.type : rpcNameOf(status),
    details: [
      { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "gateway", ...(metadata && { metadata }) },
      ...(retryAfterSeconds === undefined
        ? []
        : [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: `${retryAfterSeconds}s` }]),
    ],
  };
}

function classifyError(status: number, { code }: UpstreamError, message: string): ErrorCode {
  if (/input token count.*exceeds the maximum/i.test(message)) return "context.too_long";
  // The key is that of the gateway: the request is not at fault, although Google answers with 400.
  if (code === "API_KEY_INVALID" || code === "API_KEY_EXPIRED") return "provider.execution_failed";
  if (status === 429) return "rate.limited";
  if (status === 408 || status === 504) return "provider.timeout";
  if (status === 404) return "model.not_found";
  if (status >= 400 && status < 500 && ![401, 402, 403].includes(status)) return "request.invalid";
  return "provider.execution_failed";
}

/** HTTP status of each google.rpc.Code; the first name of a status is the usual one. */
const RPC_CODES: readonly (readonly [number, string])[] = [
  [400, "INVALID_ARGUMENT"],
  [400, "FAILED_PRECONDITION"],
  [400, "OUT_OF_RANGE"],
  [401, "UNAUTHENTICATED"],
  [403, "PERMISSION_DENIED"],
  [404, "NOT_FOUND"],
  [409, "ABORTED"],
  [409, "ALREADY_EXISTS"],
  [429, "RESOURCE_EXHAUSTED"],
  [499, "CANCELLED"],
  [500, "INTERNAL"],
  [500, "UNKNOWN"],
  [501, "UNIMPLEMENTED"],
  [503, "UNAVAILABLE"],
  [504, "DEADLINE_EXCEEDED"],
];
const RPC_NAMES = new Set(RPC_CODES.map(([, name]) => name));

/** A status outside of the list gets the most general name of its class. */
function rpcNameOf(status: number): string {
  const known = RPC_CODES.find(([http]) => http === status);
  if (known !== undefined) return known[1];
  if (status === 502) return "UNAVAILABLE";
  return status < 500 ? "INVALID_ARGUMENT" : "INTERNAL";
}
