import { GatewayError, toClientError } from "../../canonical/error.ts";
import type { ParsedRequest } from "../../surfaces/request.ts";
import { decodeUtf8 } from "../../wire/bytes.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import type { CallLog } from "../call/call-log.ts";
import { type Destination, isSameDialect, type UpstreamCall } from "../call/upstream-call.ts";
import { readAll } from "./body-reader.ts";

/**
 * An error status of a provider, decoded, with its headers and, if the caller's dialect has the same format, its bytes.
 */
export class UpstreamRefusal extends GatewayError {
  readonly headers: Headers;
  /** Absent if the caller's dialect has another format, or the error has to hide details of the upstream. */
  readonly bytes?: Uint8Array;

  constructor({ code, message, status, param, upstream }: GatewayError, details: RefusalDetails) {
    const { retryAfterSeconds, headers, bytes } = details;
    super(code, message, {
      status,
      ...(param !== undefined && { param }),
      ...(upstream !== undefined && { upstream }),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    });
    this.headers = headers;
    if (bytes !== undefined) this.bytes = bytes;
  }
}

/** What a refusal adds to the decoded error. */
type RefusalDetails = { headers: Headers; bytes?: Uint8Array; retryAfterSeconds?: number };

/** A call that its upstream has refused; `request`: the caller's surface. */
type RefusedCall = Pick<UpstreamCall, "upstream" | "limits" | "cancel"> & {
  request: Pick<ParsedRequest, "surface">;
  destination: Pick<Destination, "target" | "dialect">;
};

/**
 * Reads a response with a status other than 2xx into the error to throw. `x-request-id` and `retry-after` are part of
 * it.
 */
export async function readRefusal(
  upstreamCall: RefusedCall,
  log: Pick<CallLog, "markFirstByte">,
): Promise<GatewayError> {
  const { destination, upstream, limits } = upstreamCall;
  const { status, headers } = upstream;
  const bytes = await readAll(upstreamCall, log);
  if (status < 400)
    return new GatewayError(
      "provider.execution_failed",
      `the provider answered with status ${status}, which is neither success nor error`,
    );
  const text = decodeUtf8(bytes);
  const decoded = destination.dialect.decodeError(status, text, requestIdOf(headers) ?? undefined);
  const error = toClientError(decoded);
  const retryAfterSeconds = retryAfterOf(headers, limits.now()) ?? error.retryAfterSeconds;
  const body = tryParseJson(text);
  const isOwnShape =
    error === decoded &&
    isSameDialect(upstreamCall) &&
    isObject(body) &&
    isObject(body.error) &&
    typeof body.error.message === "string";
  return new UpstreamRefusal(error, {
    headers,
    ...(isOwnShape && { bytes }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}

/** The provider's request id: OpenAI and others `x-request-id`, Anthropic `request-id`. */
export const requestIdOf = (headers: Headers): string | null =>
  headers.get("x-request-id") ?? headers.get("request-id");

/** Seconds to wait. `retry-after` is seconds or a date (RFC 9110); OpenAI and Azure also send `retry-after-ms`. */
function retryAfterOf(headers: Headers, now: number): number | undefined {
  const ms = headers.get("retry-after-ms");
  if (ms !== null && /^\d+(\.\d+)?$/.test(ms)) return Number(ms) / 1000;
  const text = headers.get("retry-after");
  if (text === null) return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, (at - now) / 1000);
}
