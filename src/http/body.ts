import { GatewayError, invalid } from "../canonical/error.ts";
import { concatBytes, decodeUtf8Strictly } from "../wire/bytes.ts";

/** 32 MiB. SPEC 19. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** A client that has begun its body and sends no more of it for this long has gone. Milliseconds. */
const IDLE_MS = 30_000;

/** The body as text, read as `readBytes` does. */
export async function readText(request: Request, idleMs = IDLE_MS): Promise<string> {
  const text = decodeUtf8Strictly(await readBytes(request, idleMs));
  if (text === undefined) throw invalid("body", "expected UTF-8");
  return text;
}

/** The body. Reads no further than the limit, whatever its length was said to be, and waits for no part longer than `idleMs`. */
export async function readBytes(request: Request, idleMs = IDLE_MS): Promise<Uint8Array> {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of timely(request.body, idleMs)) {
    size += part.length;
    if (size > MAX_BODY_BYTES) throw tooLarge();
    parts.push(part);
  }
  return concatBytes(parts);
}

async function* timely(body: ReadableStream<Uint8Array> | null, idleMs: number): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  const reader = body.getReader();
  for (;;) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(tooSlow(idleMs)), idleMs);
    });
    try {
      const { value, done } = await Promise.race([reader.read(), late]);
      if (done) return;
      yield value;
    } finally {
      clearTimeout(timer);
    }
  }
}

const tooSlow = (idleMs: number): GatewayError =>
  new GatewayError("request.invalid", `body: expected all of it, and nothing came for ${idleMs / 1000} s`, {
    param: "body",
    status: 408,
  });

const tooLarge = (): GatewayError =>
  new GatewayError("request.too_large", `body: expected at most ${MAX_BODY_BYTES / 1024 / 1024} MiB`, {
    param: "body",
  });
