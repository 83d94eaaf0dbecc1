import { GatewayError, invalid } from "../canonical/error.ts";
import { concatBytes, decodeUtf8Strictly } from "../wire/bytes.ts";

/** 32 MiB. SPEC 19. */
export const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** The body as text. Reads no further than the limit, whatever its length was said to be. */
export async function readText(request: Request): Promise<string> {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request.body ?? []) {
    size += part.length;
    if (size > MAX_BODY_BYTES) throw tooLarge();
    parts.push(part);
  }
  const text = decodeUtf8Strictly(concatBytes(parts));
  if (text === undefined) throw invalid("body", "expected UTF-8");
  return text;
}

const tooLarge = (): GatewayError =>
  new GatewayError("request.too_large", `body: expected at most ${MAX_BODY_BYTES / 1024 / 1024} MiB`, {
    param: "body",
  });
