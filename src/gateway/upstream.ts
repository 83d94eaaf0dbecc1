import { GatewayError } from "../canonical/error.ts";
import { DEADLINES } from "../routing/attempt.ts";
import { concatBytes } from "../wire/bytes.ts";
import type { Answering } from "./answering.ts";

/** No answer is near this large; a provider that sends more must not fill the memory. */
const MAX_WHOLE_BYTES = 64 * 1024 * 1024;
/** How long an upstream may stay open when it has said that it is done. Milliseconds. */
const LINGER = 2_000;

/**
 * The upstream's chunks. One that stays silent for too long is given up; once its answer is finished, neither silence
 * nor a broken connection can take that back.
 */
export async function* chunksOf(
  { upstream, notes, host, cancel }: Answering,
  isFinished: () => boolean,
): AsyncGenerator<Uint8Array> {
  if (upstream.body === null) return;
  const reader = upstream.body.getReader();
  let heardAt = host.now();
  let isSilent = false;
  // One timer for the whole stream: setting one for each chunk costs more than the chunk.
  const watch = setInterval(() => {
    if (host.now() - heardAt < (isFinished() ? LINGER : DEADLINES.idle)) return;
    isSilent = true;
    cancel();
  }, LINGER / 2);
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      heardAt = host.now();
      notes.firstByteAt ??= heardAt;
      yield read.value;
    }
  } catch (cause) {
    if (isFinished()) return;
    if (!isSilent) throw cause;
    throw new GatewayError("provider.timeout", `the provider sent nothing for ${DEADLINES.idle / 1000} s`, { cause });
  } finally {
    clearInterval(watch);
  }
}

/** All of it. */
export async function bytesOf(answering: Answering): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunksOf(answering, () => false)) {
    size += chunk.length;
    if (size > MAX_WHOLE_BYTES)
      throw new GatewayError("provider.execution_failed", "the provider's answer is too large");
    chunks.push(chunk);
  }
  answering.notes.firstByteAt ??= answering.host.now();
  return concatBytes(chunks);
}
