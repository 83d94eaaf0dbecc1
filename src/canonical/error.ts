import { withoutUndefined, type JsonObject } from "../wire/json.ts";

/** Everything that can go wrong, as a closed list: `family.reason` → HTTP status. SPEC 18. */
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

/** What the provider itself said; its words, code and request id reach the caller. */
export type UpstreamError = { status: number; type?: string; code?: string; requestId?: string };

export type ErrorDetails = {
  /** The field that is wrong, as a path into the request: `messages[0].role`. */
  param?: string;
  /** Overrides the code's own status: an upstream's 4xx and 5xx survive. */
  status?: number;
  retryAfterSeconds?: number;
  upstream?: UpstreamError;
  /** The code by which OpenAI's clients know it, where that is not ours. */
  word?: string;
  cause?: unknown;
};

export class GatewayError extends Error {
  override name = "GatewayError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly param?: string;
  readonly retryAfterSeconds?: number;
  readonly upstream?: UpstreamError;
  readonly word?: string;

  /** `message` is for the caller: no internal detail, no header, no credential. */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.status = details.status ?? ERROR_STATUS[code];
    if (details.param !== undefined) this.param = details.param;
    if (details.retryAfterSeconds !== undefined) this.retryAfterSeconds = details.retryAfterSeconds;
    if (details.upstream !== undefined) this.upstream = details.upstream;
    if (details.word !== undefined) this.word = details.word;
  }
}

/**
 * A provider's refusal as its caller is told it. One of the account that the gateway has there (401, 402, 403) is none
 * of the request: under its own status an SDK would take it for one of the caller's key, and a provider that quotes the
 * credential would be quoted. It is a 502 then, and what the provider said stands beside it.
 */
export function toClientError(error: GatewayError): GatewayError {
  const { code, upstream, retryAfterSeconds } = error;
  if (upstream === undefined || !isOfAccount(error)) return error;
  const isCredential = upstream.status === 401 || upstream.code?.startsWith("API_KEY_") === true;
  const message = isCredential
    ? "the provider does not take the credential that the gateway has for it"
    : error.message;
  return new GatewayError(code, message, { upstream, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) });
}

const isOfAccount = ({ code, upstream }: GatewayError): boolean =>
  code === "provider.execution_failed" && upstream !== undefined && upstream.status >= 400 && upstream.status < 500;

/** The provider's own words for an error, where it is told under the status that they came with. */
export const upstreamDetails = ({ upstream, status }: GatewayError): UpstreamError | undefined =>
  upstream?.status === status ? upstream : undefined;

/** What the provider said of an error that is told as another. */
export const hiddenUpstream = (error: GatewayError): UpstreamError | undefined =>
  upstreamDetails(error) === undefined ? error.upstream : undefined;

/** As it stands in an error's body. */
export const toUpstreamMembers = ({ status, type, code, requestId }: UpstreamError): JsonObject =>
  withoutUndefined({ status, type, code, request_id: requestId });

/** Whether the same request may do better in a while. */
export const isRetryable = (error: GatewayError): boolean =>
  !isOfAccount(error) && (error.status === 429 || error.status >= 500 || error.retryAfterSeconds !== undefined);

/** A refusal of the request itself, naming the field and what was expected. */
export const invalid = (param: string, expected: string): GatewayError =>
  new GatewayError("request.invalid", `${param}: ${expected}`, { param });

/** Whatever was thrown, as one of the list: what is not ours is a fault of ours, and says nothing of its inside. */
export function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError("internal", "the gateway failed on this request", { cause: thrown });
}
