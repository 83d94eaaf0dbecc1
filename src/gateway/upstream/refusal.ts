import { GatewayError, toClientError } from "../../canonical/error.ts";
import { decodeUtf8 } from "../../wire/bytes.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import { readAll } from "./read.ts";
import { type UpstreamCall, isSameDialect } from "../call/upstream-call.ts";

/** What a provider refused, in its own words and, where they have the surface's shape, in its own bytes. */
export class UpstreamRefusal extends GatewayError {
  readonly headers: Headers;
  /** Absent where the caller reads another shape. */
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

type RefusalDetails = { headers: Headers; bytes?: Uint8Array; retryAfterSeconds?: number };

/** A status that is no 2xx, as an error. */
export async function readRefusal(upstreamCall: UpstreamCall): Promise<GatewayError> {
  const { dialect, upstream, host } = upstreamCall;
  const { status, headers } = upstream;
  const bytes = await readAll(upstreamCall);
  if (status < 400)
    return new GatewayError(
      "provider.execution_failed",
      `the provider answered with status ${status}, which is no answer`,
    );
  const text = decodeUtf8(bytes);
  const said = dialect.decodeError(status, text, requestIdOf(headers) ?? undefined);
  const error = toClientError(said);
  const retryAfterSeconds = retryAfterOf(headers, host.now()) ?? error.retryAfterSeconds;
  const body = tryParseJson(text);
  const isOwnShape =
    error === said &&
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

export const requestIdOf = (headers: Headers): string | null =>
  headers.get("x-request-id") ?? headers.get("request-id");

/** RFC 9110: seconds or a date; OpenAI's and Azure's own header says it in milliseconds. */
function retryAfterOf(headers: Headers, now: number): number | undefined {
  const ms = headers.get("retry-after-ms");
  if (ms !== null && /^\d+(\.\d+)?$/.test(ms)) return Number(ms) / 1000;
  const text = headers.get("retry-after");
  if (text === null) return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, (at - now) / 1000);
}
