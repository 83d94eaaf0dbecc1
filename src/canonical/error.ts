import { type JsonObject, withoutUndefined } from "../wire/json.ts";

/** The error codes of the API, a closed list: `family.reason` → HTTP status. */
export const ERROR_STATUS = {
  "auth.missing": 401,
  "auth.invalid": 401,
  "auth.expired": 401,
  "auth.forbidden": 403,
  "request.invalid": 400,
  "request.too_large": 413,
  "request.unprocessable": 422,
  "route.not_found": 404,
  "object.not_found": 404,
  "session.not_found": 404,
  "session.busy": 409,
  "session.paused": 409,
  "model.not_found": 404,
  "model.not_allowed": 403,
  "budget.exceeded": 429,
  "rate.limited": 429,
  "idempotency.mismatch": 409,
  "safety.policy_denied": 403,
  "provider.unavailable": 502,
  "provider.timeout": 504,
  "provider.execution_failed": 502,
  "stream.interrupted": 502,
  "context.too_long": 400,
  internal: 500,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** A provider's error response. Type, code and request id are passed on to the caller. */
export type UpstreamError = { status: number; type?: string; code?: string; requestId?: string };

type ErrorDetails = {
  /** The field that is wrong, as a path into the request: `messages[0].role`. */
  param?: string;
  /** Overrides the status of the code, so that an upstream's 4xx and 5xx reach the caller. */
  status?: number;
  /** Sent as `retry-after`. */
  retryAfterSeconds?: number;
  /** The run that the caller has to wait for, or to end. */
  runId?: string;
  upstream?: UpstreamError;
  /** The error code of the caller's own API, where it has one that its SDKs read. */
  word?: string;
  /** The model's output was unusable, while the host works: no reason to avoid the target. */
  isModelFault?: true;
  cause?: unknown;
};

/** The only error whose message, code and status reach the caller; everything else becomes `internal`. */
export class GatewayError extends Error {
  override name = "GatewayError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly param?: string;
  readonly retryAfterSeconds?: number;
  readonly runId?: string;
  readonly upstream?: UpstreamError;
  readonly word?: string;
  readonly isModelFault?: true;

  /** `message` is shown to the caller: it must hold no internal detail, header or credential. */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.status = details.status ?? ERROR_STATUS[code];
    if (details.param !== undefined) this.param = details.param;
    if (details.retryAfterSeconds !== undefined) this.retryAfterSeconds = details.retryAfterSeconds;
    if (details.runId !== undefined) this.runId = details.runId;
    if (details.upstream !== undefined) this.upstream = details.upstream;
    if (details.word !== undefined) this.word = details.word;
    if (details.isModelFault) this.isModelFault = true;
  }
}

/**
 * The error as it is sent to the caller. A provider's refusal of the gateway's account (401, 402, 403) becomes a 502 with
 * the provider's response as details: with the original status an SDK would blame the caller's key. The message for a
 * refused credential is replaced, because a provider may quote the credential in it.
 */
export function toClientError(error: GatewayError): GatewayError {
  const { code, upstream, retryAfterSeconds } = error;
  if (upstream === undefined || !isOfAccount(error)) return error;
  const isCredential = upstream.status === 401 || upstream.code?.startsWith("API_KEY_") === true;
  const message = isCredential ? "the provider rejected the gateway's credential" : error.message;
  return new GatewayError(code, message, { upstream, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) });
}

/** A provider refused the gateway's account and not the request. */
const isOfAccount = ({ code, upstream }: GatewayError): boolean =>
  code === "provider.execution_failed" && upstream !== undefined && upstream.status >= 400 && upstream.status < 500;

/** The provider's response to an error that is sent with the provider's status. Undefined for any other error. */
export const upstreamDetails = ({ upstream, status }: GatewayError): UpstreamError | undefined =>
  upstream?.status === status ? upstream : undefined;

/** The provider's response behind an error that is sent with another status. Undefined for any other error. */
export const hiddenUpstream = (error: GatewayError): UpstreamError | undefined =>
  upstreamDetails(error) === undefined ? error.upstream : undefined;

/** A provider's response → its members in an API error body. */
export const toUpstreamMembers = ({ status, type, code, requestId }: UpstreamError): JsonObject =>
  withoutUndefined({ status, type, code, request_id: requestId });

/** Whether the caller may repeat the same request later with success. */
export const isRetryable = (error: GatewayError): boolean =>
  !isOfAccount(error) && (error.status === 429 || error.status >= 500 || error.retryAfterSeconds !== undefined);

/** A `request.invalid` error that names the field and states what was expected. */
export const invalid = (param: string, expected: string): GatewayError =>
  new GatewayError("request.invalid", `${param}: ${expected}`, { param });

/** A `request.unprocessable` error: the request is valid, and the field is what the chosen model or provider cannot do. */
export const unprocessable = (param: string, reason: string): GatewayError =>
  new GatewayError("request.unprocessable", `${param}: ${reason}`, { param });

/** Any thrown value → a `GatewayError`. An unexpected one becomes `internal` with a fixed message, and stays as its cause. */
export function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError("internal", "internal error in the gateway; report the request id", { cause: thrown });
}
