import { GatewayError, invalid } from "../canonical/error.ts";
import { concatBytes, decodeUtf8Strictly } from "../wire/bytes.ts";
import { blockReader } from "../wire/tee.ts";

/** 32 MiB. SPEC 19. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** What comes in a few of the platform's own reads, of 4 KiB each. */
const SMALL_BYTES = 16 * 1024;

/** A client that has begun its body and sends no more of it for this long has gone. Milliseconds. */
const IDLE_MS = 30_000;

/**
 * And one that sends a little now and then holds a place that others could have: it has ten times as long, and then as
 * long as what it has sent takes on a slow line. Bytes a millisecond.
 */
const IDLE_PERIODS = 10;
const MIN_BYTES_PER_MS = 8;

/** Throws `request.invalid`, 415, for a body that is encoded: nobody unpacks it here, nor at most providers. */
export function requireUncompressed({ headers }: Request): void {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  if (encoding === "identity" || encoding === "") return;
  const message = "content-encoding: expected identity, or none: a body as it is";
  throw new GatewayError("request.invalid", message, { param: "content-encoding", status: 415 });
}

/** The body as text, read as `readBytes` does. */
export async function readText(request: Request, idleMs = IDLE_MS, hold = COUNT_NOTHING): Promise<string> {
  const text = decodeUtf8Strictly(await readBytes(request, idleMs, hold));
  if (text === undefined) throw invalid("body", "expected UTF-8");
  return text;
}

/**
 * The body. Reads no further than the limit, whatever its length was said to be, and waits for no part longer than
 * `idleMs`. `hold` is told of each part's size as it comes, and may throw when there is no room for it.
 */
export async function readBytes(request: Request, idleMs = IDLE_MS, hold = COUNT_NOTHING): Promise<Uint8Array> {
  const declaredLength = request.headers.get("content-length");
  if (Number(declaredLength) > MAX_BODY_BYTES) throw tooLarge();
  const parts: Uint8Array[] = [];
  if (request.body === null) return concatBytes(parts);
  // A block for each read is more than a small body is worth.
  const isSmall = declaredLength !== null && Number(declaredLength) <= SMALL_BYTES;
  const reader = isSmall ? request.body.getReader() : blockReader(request.body);
  const watchdog = startWatchdog(idleMs);
  let size = 0;
  try {
    for (;;) {
      const { value, done } = await Promise.race([reader.read().catch(throwAborted), watchdog.late]);
      if (done) return concatBytes(parts);
      watchdog.came(value?.length ?? 0);
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

const COUNT_NOTHING = (_: number): void => {};

/** `late` rejects when nothing has come for that long. One timer serves the whole body: it is set anew when it has run out. */
function startWatchdog(idleMs: number): { late: Promise<never>; came: (bytes: number) => void; end: () => void } {
  let lastBytesAt = Date.now();
  let end = lastBytesAt + IDLE_PERIODS * idleMs;
  let timer: ReturnType<typeof setTimeout>;
  const timeout = new Promise<never>((_, reject) => {
    const check = (): void => {
      const now = Date.now();
      const left = Math.min(lastBytesAt + idleMs, end) - now;
      if (left > 0) timer = setTimeout(check, left);
      else reject(tooSlow(now < end ? `and nothing came for ${idleMs / 1000} s` : "and it comes too slowly"));
    };
    timer = setTimeout(check, idleMs);
  });
  const onBytes = (bytes: number): void => {
    lastBytesAt = Date.now();
    end += bytes / MIN_BYTES_PER_MS;
  };
  return { late: timeout, came: onBytes, end: () => clearTimeout(timer) };
}

/** Nobody may be there to read it, but it is no fault of ours. */
function throwAborted(cause: unknown): never {
  throw new GatewayError("request.invalid", "body: expected all of it, and the connection broke off", {
    param: "body",
    cause,
  });
}

const tooSlow = (how: string): GatewayError =>
  new GatewayError("request.invalid", `body: expected all of it, ${how}`, { param: "body", status: 408 });

const tooLarge = (): GatewayError =>
  new GatewayError("request.too_large", `body: expected at most ${MAX_BODY_BYTES / 1024 / 1024} MiB`, {
    param: "body",
  });
