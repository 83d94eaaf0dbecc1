import { GatewayError } from "../../canonical/error.ts";
import { concatBytes } from "../../wire/bytes.ts";
import { type ChunkReader, createBlockReader } from "../../wire/tee.ts";
import type { CallLog } from "../call/call-log.ts";
import type { UpstreamCall } from "../call/upstream-call.ts";
import type { StreamReader } from "./stream-reader.ts";

/** Limit of a whole answer, far above any real one; it protects the isolate's memory of 128 MB. Bytes. */
const MAX_WHOLE_BYTES = 64 * 1024 * 1024;
/** A body that is declared to have at most this size is read by the platform, as a whole. Bytes. */
const MAX_NATIVE_BYTES = 1024 * 1024;
/** Time to wait for usage and the terminal event after the last content. Milliseconds. */
const LINGER_MS = 10_000;
/**
 * Time to wait for the end of the connection after the terminal event, so that it can be pooled, and for usage after an
 * error. Milliseconds.
 */
const CLOSING_MS = 500;

/** A call whose response is read, and its time limits. */
type ReadCall = Pick<UpstreamCall, "upstream" | "limits" | "cancel"> & {
  destination: Pick<UpstreamCall["destination"], "target">;
};

/** How long an upstream may be silent. */
type StallPolicy = {
  /**
   * When the upstream is given up, in Unix milliseconds, and the error's message then. `lastReadAt`: the last chunk's
   * time.
   */
  due: (lastReadAt: number) => { at: number; what: string };
  /** The answer is complete or has failed: neither silence nor a broken connection makes a difference. */
  isFinished: () => boolean;
};

/**
 * Each chunk must arrive within the idle deadline. `reader`: reports whether the answer is complete or has failed, which
 * shortens it.
 */
export const idleLimit = ({ limits }: Pick<UpstreamCall, "limits">, reader?: StreamReader): StallPolicy => ({
  due: (lastReadAt) => {
    const isOver = reader !== undefined && (reader.isTerminated || reader.hasFailed);
    const limit = isOver ? CLOSING_MS : reader?.isFinished ? LINGER_MS : limits.idle;
    const ms = Math.min(limit, limits.idle);
    return { at: lastReadAt + ms, what: `the provider sent nothing for ${ms / 1000} s` };
  },
  isFinished: () => reader !== undefined && (reader.isFinished || reader.hasFailed),
});

/**
 * The upstream's chunks until it ends. Stopping early loses nothing: reading can continue later with another call.
 *
 * Throws `provider.timeout` when the policy's or the call's deadline passes, and the error of a broken connection
 * unless the answer is complete.
 */
export async function* readChunks(
  { upstream, destination: { target }, limits: { now, giveUpAt }, cancel }: ReadCall,
  log: Pick<CallLog, "markFirstByte">,
  { due, isFinished }: StallPolicy,
  reader: ChunkReader | undefined = upstream.body?.getReader(),
): AsyncGenerator<Uint8Array> {
  if (reader === undefined) return;
  let lastReadAt = now();
  let timeoutError: GatewayError | undefined;
  const limit = (): ReturnType<StallPolicy["due"]> => {
    const own = due(lastReadAt);
    return own.at < giveUpAt ? own : { at: giveUpAt, what: "the answer's deadline has passed" };
  };
  // One timer, set again only when it fires: setting one for each chunk costs more than the chunk.
  const startTimer = (): ReturnType<typeof setTimeout> => setTimeout(check, Math.max(0, limit().at - now()));
  const check = (): void => {
    const { at, what } = limit();
    if (now() < at) timer = startTimer();
    else {
      timeoutError = new GatewayError("provider.timeout", what);
      cancel();
    }
  };
  let timer = startTimer();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      lastReadAt = now();
      log.markFirstByte(target);
      yield read.value!;
      // A chunk that was in flight when the upstream was given up may have completed the answer.
      if (timeoutError !== undefined) throw timeoutError;
    }
  } catch (cause) {
    if (!isFinished()) throw timeoutError ?? cause;
  } finally {
    clearTimeout(timer);
    reader.releaseLock();
  }
}

/** Reads the whole body. Throws `provider.execution_failed` above 64 MiB, otherwise as `readChunks`. */
export async function readAll(upstreamCall: ReadCall, log: Pick<CallLog, "markFirstByte">): Promise<Uint8Array> {
  const { headers } = upstreamCall.upstream;
  const declaredLength = Number(headers.get("content-length") ?? Number.NaN);
  // The length of a compressed body is not that of what is read.
  const isPlain = !headers.has("content-encoding") && !headers.has("transfer-encoding");
  return isPlain && declaredLength <= MAX_NATIVE_BYTES
    ? await readNatively(upstreamCall, log)
    : await readParts(upstreamCall, log);
}

/** Reads a body of a declared length, which the platform enforces; an answer with one is complete when it is sent. */
async function readNatively(
  { upstream, destination: { target }, limits: { now, idle, giveUpAt }, cancel }: ReadCall,
  log: Pick<CallLog, "markFirstByte">,
): Promise<Uint8Array> {
  let timeoutError: GatewayError | undefined;
  const onTimeout = (): void => {
    timeoutError = new GatewayError("provider.timeout", `the provider sent no whole answer for ${idle / 1000} s`);
    cancel();
  };
  const timer = setTimeout(onTimeout, Math.max(0, Math.min(idle, giveUpAt - now())));
  try {
    const bytes = new Uint8Array(await upstream.arrayBuffer());
    log.markFirstByte(target);
    return bytes;
  } catch (cause) {
    throw timeoutError ?? cause;
  } finally {
    clearTimeout(timer);
  }
}

async function readParts(upstreamCall: ReadCall, log: Pick<CallLog, "markFirstByte">): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const { body } = upstreamCall.upstream;
  const reader = body === null ? undefined : createBlockReader(body);
  for await (const chunk of readChunks(upstreamCall, log, idleLimit(upstreamCall), reader)) {
    size += chunk.length;
    if (size > MAX_WHOLE_BYTES)
      throw new GatewayError("provider.execution_failed", "the provider's answer is too large");
    chunks.push(chunk);
  }
  log.markFirstByte(upstreamCall.destination.target);
  return concatBytes(chunks);
}
