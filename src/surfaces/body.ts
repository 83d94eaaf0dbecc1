import { GatewayError, invalid } from "../canonical/error.ts";
import { concatBytes, decodeUtf8Strictly } from "../wire/bytes.ts";
import { createBlockReader } from "../wire/tee.ts";

/** Largest body of a request in bytes. An isolate has 128 MiB for all of its calls; see platform/capacity.ts. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;
/** Largest WebSocket frame in bytes, on `rhone.ws.v1` (docs/websocket.md) and in OpenAI's WebSocket mode. */
export const MAX_FRAME_BYTES = 1024 * 1024;

/**
 * A body that is declared to have at most this size is read by the platform, as a whole: each part that JavaScript reads
 * costs as much as many kilobytes. Bytes.
 */
const MAX_NATIVE_BYTES = 1024 * 1024;
/** Of such bodies in one isolate that are not there yet. Beyond it bodies are read in parts, as capacity allows. Bytes. */
const MAX_PENDING_BYTES = 8 * 1024 * 1024;
let pendingBytes = 0;

/** Milliseconds without any bytes of a started body after which the client counts as disconnected. */
const IDLE_MS = 30_000;

/**
 * Bounds a client that sends a few bytes now and then and holds capacity meanwhile: the whole body may take ten idle
 * limits, and longer only as far as it arrives at this rate (8 bytes per millisecond, a slow line).
 */
const IDLE_PERIODS = 10;
const MIN_BYTES_PER_MS = 8;

/** The body as text; see `readPlainBytes`. Throws `request.invalid` also for bytes that are not UTF-8. */
export async function readText(request: Request, idleMs = IDLE_MS, hold = COUNT_NOTHING): Promise<string> {
  const text = decodeUtf8Strictly(await readPlainBytes(request, idleMs, hold));
  if (text === undefined) throw invalid("body", "expected UTF-8");
  return text;
}

/**
 * The request with an uncompressed body of at most `MAX_BODY_BYTES`, for readers that know neither. One of a declared
 * length stays as it is: the platform enforces the length. Throws as `readPlainBytes` does.
 */
export async function withPlainBody(request: Request): Promise<Request> {
  const { headers, method, signal, url } = request;
  const declaredLength = Number(headers.get("content-length") ?? Number.NaN);
  if (request.body === null) return request;
  if (declaredLength <= MAX_BODY_BYTES && !headers.has("content-encoding")) return request;
  const body = await readPlainBytes(request);
  const plain = new Headers(headers);
  for (const name of ["content-encoding", "transfer-encoding", "content-length"]) plain.delete(name);
  return new Request(url, { method, headers: plain, body, signal });
}

/**
 * Reads the body as `readBytes` does, and decompresses it. `hold` gets both sizes. Throws `request.too_large`, and
 * `request.invalid` for a coding that the gateway does not read (415) and for data that are not in it.
 */
async function readPlainBytes(request: Request, idleMs = IDLE_MS, hold = COUNT_NOTHING): Promise<Uint8Array> {
  const coding = readCoding(request.headers);
  const bytes = await readBytes(request, idleMs, hold);
  if (coding === undefined) return bytes;
  const plain = await decompress(bytes, coding);
  hold(plain.length);
  return plain;
}

type Decompress = (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

/** The codings of `content-encoding` that the gateway reads (RFC 9110, 8.4.1; RFC 7932; RFC 8878). */
const DECOMPRESS: Record<string, (zlib: typeof import("node:zlib")) => Decompress> = {
  gzip: (zlib) => zlib.gunzipSync,
  "x-gzip": (zlib) => zlib.gunzipSync,
  // The name means the zlib format; some clients send the bare format inside it.
  deflate: (zlib) => (bytes, options) =>
    (bytes[0]! & 0x0f) === ZLIB ? zlib.inflateSync(bytes, options) : zlib.inflateRawSync(bytes, options),
  br: (zlib) => zlib.brotliDecompressSync,
  zstd: (zlib) => zlib.zstdDecompressSync,
};

/** The compression method in the first byte of the zlib format (RFC 1950). */
const ZLIB = 8;

/** The coding of the body; no client compresses one twice. */
function readCoding(headers: Headers): string | undefined {
  const codings = (headers.get("content-encoding") ?? "").split(",").map((one) => one.trim().toLowerCase());
  const [coding, ...others] = codings.filter((one) => one !== "" && one !== "identity");
  if (coding === undefined || (others.length === 0 && Object.hasOwn(DECOMPRESS, coding))) return coding;
  throw unreadableCoding(`expected one of ${Object.keys(DECOMPRESS).join(", ")}`);
}

/** For bodies that are piped through. Throws `request.invalid` (415) for a compressed one. */
export function requireUncompressed({ headers }: Request): void {
  if (readCoding(headers) !== undefined) throw unreadableCoding("expected an uncompressed form");
}

const unreadableCoding = (expected: string): GatewayError =>
  new GatewayError("request.invalid", `content-encoding: ${expected}`, { param: "content-encoding", status: 415 });

async function decompress(bytes: Uint8Array, coding: string): Promise<Uint8Array> {
  // Loaded by the few requests that need it.
  const run = DECOMPRESS[coding]!(await import("node:zlib"));
  try {
    return run(bytes, { maxOutputLength: MAX_BODY_BYTES });
  } catch (cause) {
    if (cause instanceof RangeError) throw tooLarge();
    throw invalid("body", `expected ${coding} data, as content-encoding names it`);
  }
}

/**
 * Reads the body, at most `MAX_BODY_BYTES` of it whether or not `content-length` is right. `hold` gets the size of each part
 * and throws if there is no capacity for it. Throws `request.too_large`, `request.invalid` for a broken connection, and 408
 * if no bytes arrive for `idleMs` or the body is too slow.
 */
export async function readBytes(request: Request, idleMs = IDLE_MS, hold = COUNT_NOTHING): Promise<Uint8Array> {
  const declaredLength = Number(request.headers.get("content-length") ?? Number.NaN);
  if (declaredLength > MAX_BODY_BYTES) throw tooLarge();
  if (request.body === null) return new Uint8Array(0);
  const isNative =
    declaredLength <= MAX_NATIVE_BYTES &&
    pendingBytes + declaredLength <= MAX_PENDING_BYTES &&
    !request.headers.has("transfer-encoding");
  return isNative
    ? await readNatively(request, declaredLength, idleMs, hold)
    : await readParts(request.body, idleMs, hold);
}

/** Reads a body of a declared length, which the platform enforces. It may take `idleMs`, and the time of a slow line. */
async function readNatively(
  request: Request,
  length: number,
  idleMs: number,
  hold: typeof COUNT_NOTHING,
): Promise<Uint8Array> {
  pendingBytes += length;
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(tooSlow(`not received within ${idleMs / 1000} s`)),
    idleMs + length / MIN_BYTES_PER_MS,
  );
  try {
    const body = new Uint8Array(await Promise.race([request.arrayBuffer().catch(throwAborted), timeout]));
    if (body.length > MAX_BODY_BYTES) throw tooLarge();
    hold(body.length);
    return body;
  } finally {
    pendingBytes -= length;
    clearTimeout(timer);
  }
}

async function readParts(
  body: ReadableStream<Uint8Array>,
  idleMs: number,
  hold: typeof COUNT_NOTHING,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const reader = createBlockReader(body);
  const watchdog = startWatchdog(idleMs);
  let size = 0;
  try {
    for (;;) {
      const { value, done } = await Promise.race([reader.read().catch(throwAborted), watchdog.timeout]);
      if (done) return concatBytes(parts);
      watchdog.onBytes(value?.length ?? 0);
      if (value === undefined) continue;
      size += value.length;
      if (size > MAX_BODY_BYTES) throw tooLarge();
      hold(value.length);
      parts.push(value);
    }
  } finally {
    watchdog.end();
  }
}

/** The default `hold`: the caller bounds what it holds by other means. */
const COUNT_NOTHING = (_: number): void => {};

/**
 * `timeout` rejects when no bytes have arrived for `idleMs`, or the body as a whole is too slow. One timer serves the
 * whole body: it is set again when it fires, not at each read.
 */
function startWatchdog(idleMs: number): {
  timeout: Promise<never>;
  onBytes: (bytes: number) => void;
  end: () => void;
} {
  let lastBytesAt = Date.now();
  let end = lastBytesAt + IDLE_PERIODS * idleMs;
  let timer: ReturnType<typeof setTimeout>;
  const timeout = new Promise<never>((_, reject) => {
    const check = (): void => {
      const now = Date.now();
      const left = Math.min(lastBytesAt + idleMs, end) - now;
      if (left > 0) timer = setTimeout(check, left);
      else reject(tooSlow(now < end ? `nothing received for ${idleMs / 1000} s` : "received too slowly"));
    };
    timer = setTimeout(check, idleMs);
  });
  const onBytes = (bytes: number): void => {
    lastBytesAt = Date.now();
    end += bytes / MIN_BYTES_PER_MS;
  };
  return { timeout, onBytes, end: () => clearTimeout(timer) };
}

/** Reported as an error of the request: the connection broke on the client's side, not in the gateway. */
function throwAborted(cause: unknown): never {
  throw new GatewayError("request.invalid", "body: the connection closed before the body was complete", {
    param: "body",
    cause,
  });
}

const tooSlow = (how: string): GatewayError =>
  new GatewayError("request.invalid", `body: incomplete, ${how}`, { param: "body", status: 408 });

const tooLarge = (): GatewayError =>
  new GatewayError("request.too_large", `body: expected at most ${MAX_BODY_BYTES / 1024 / 1024} MiB`, {
    param: "body",
  });
