import { GatewayError } from "../../canonical/error.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { blockReader } from "../../wire/tee.ts";
import type { StreamReader } from "./stream-reader.ts";
import type { UpstreamCall } from "../call/upstream-call.ts";

/** No answer is near this large; a provider that sends more must not fill the memory. */
const MAX_WHOLE_BYTES = 64 * 1024 * 1024;
/**
 * How long an upstream may stay open when it has finished its answer: what still comes then are its token counts and
 * the word that this was all. When that was said, too, only the connection is still to be closed, and one that closes
 * by itself can be used again. Milliseconds.
 */
const LINGER_MS = 10_000;
const CLOSING_MS = 500;

/** How long an upstream may be silent. */
export type StallPolicy = {
  /** When it is given up, in Unix milliseconds, and what its caller is told then. */
  due: (lastReadAt: number) => { at: number; what: string };
  /** Its answer is finished: neither silence nor a broken connection can take that back. */
  isFinished: () => boolean;
};

/** No chunk may be longer in coming than the idle deadline. `hearing`: who knows whether the answer is finished. */
export const idleLimit = ({ deadlines }: Pick<UpstreamCall, "deadlines">, reader?: StreamReader): StallPolicy => ({
  due: (lastReadAt) => {
    const phaseMs = reader?.isTerminated ? CLOSING_MS : reader?.isFinished ? LINGER_MS : deadlines.idle;
    const ms = Math.min(phaseMs, deadlines.idle);
    return { at: lastReadAt + ms, what: `the provider sent nothing for ${ms / 1000} s` };
  },
  isFinished: () => reader?.isFinished === true,
});

/**
 * The upstream's chunks, until it ends or is given up. Whoever stops early may go on later: nothing is lost in between.
 * Throws `provider.timeout`, or whatever breaks the connection.
 */
export async function* readChunks(
  { upstream, log, host, giveUpAt, cancel }: UpstreamCall,
  { due, isFinished }: StallPolicy,
  reader: ChunkReader | undefined = upstream.body?.getReader(),
): AsyncGenerator<Uint8Array> {
  if (reader === undefined) return;
  let lastReadAt = host.now();
  let timeoutError: GatewayError | undefined;
  const limit = (): ReturnType<StallPolicy["due"]> => {
    const own = due(lastReadAt);
    return own.at < giveUpAt ? own : { at: giveUpAt, what: "the call has taken as long as it may" };
  };
  // One timer at a time, set anew only when it comes: setting one for each chunk costs more than the chunk.
  const startTimer = (): ReturnType<typeof setTimeout> => setTimeout(check, Math.max(0, limit().at - host.now()));
  const check = (): void => {
    const { at, what } = limit();
    if (host.now() < at) timer = startTimer();
    else {
      timeoutError = new GatewayError("provider.timeout", what);
      cancel();
    }
  };
  let timer = startTimer();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      // It was on its way when the upstream was given up: too late all the same.
      if (timeoutError !== undefined) throw timeoutError;
      lastReadAt = host.now();
      log.firstByteAt ??= lastReadAt;
      yield read.value!;
    }
  } catch (cause) {
    if (!isFinished()) throw timeoutError ?? cause;
  } finally {
    clearTimeout(timer);
    reader.releaseLock();
  }
}

/** A reader of whatever kind, locked to its stream until it is released. */
export type ChunkReader = {
  read: () => Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  releaseLock: () => void;
};

/** All of it. */
export async function readAll(upstreamCall: UpstreamCall): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const { body } = upstreamCall.upstream;
  const reader = body === null ? undefined : blockReader(body);
  for await (const chunk of readChunks(upstreamCall, idleLimit(upstreamCall), reader)) {
    size += chunk.length;
    if (size > MAX_WHOLE_BYTES)
      throw new GatewayError("provider.execution_failed", "the provider's answer is too large");
    chunks.push(chunk);
  }
  upstreamCall.log.firstByteAt ??= upstreamCall.host.now();
  return concatBytes(chunks);
}
