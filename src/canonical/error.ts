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

/** A refusal of the request itself, naming the field and what was expected. */
export const invalid = (param: string, expected: string): GatewayError =>
  new GatewayError("request.invalid", `${param}: ${expected}`, { param });

/** Whatever was thrown, as one of the list: what is not ours is a fault of ours, and says nothing of its inside. */
export function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError("internal", "the gateway failed on this request", { cause: thrown });
}
