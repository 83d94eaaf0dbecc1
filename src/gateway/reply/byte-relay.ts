import { createBlockReader, isFullBlock } from "../../wire/tee.ts";
import { raceTimeout } from "../../wire/time.ts";
import type { CallLog } from "../call/call-log.ts";
import type { CallLifetime } from "../call/call.ts";
import type { UpstreamCall } from "../call/upstream-call.ts";
import { readChunks } from "../upstream/body-reader.ts";

/**
 * The longest pause between two reads of the recording branch. Reading in blocks wakes JavaScript once a second however
 * small the chunks are, and is frequent enough to notice a stalled provider. Milliseconds.
 */
const READ_INTERVAL_MS = 1_000;

type RelayedCall = Parameters<typeof readChunks>[0] & {
  request: { rhone: Pick<UpstreamCall["request"]["rhone"], "on_disconnect"> };
};

/**
 * The provider's bytes on their way to the client, through the runtime's own pipe. JavaScript reads a second branch, about
 * once a second, to record them, and writes what comes before and after them.
 */
export class ByteRelay {
  /** The body of the client's response. */
  readonly body: ReadableStream<Uint8Array>;
  readonly #call: RelayedCall;
  readonly #clientLeft: AbortSignal | undefined;
  readonly #client: ReadableStream<Uint8Array>;
  readonly #branch: ReadableStream<Uint8Array>;
  readonly #writable: WritableStream<Uint8Array>;
  readonly #piped: Promise<void>;
  #hasWriteFailed = false;

  /** Starts the pipe. `head`: written before it. */
  constructor(call: RelayedCall, { clientLeft }: Pick<CallLifetime, "clientLeft">, head?: Uint8Array) {
    const { readable, writable } = new IdentityTransformStream();
    this.body = readable;
    this.#call = call;
    this.#clientLeft = clientLeft;
    [this.#client, this.#branch] = call.upstream.body!.tee();
    this.#writable = writable;
    this.#piped = this.#pipe(head);
  }

  /** Whether the client has left a call that ends with its client. */
  get isCancelled(): boolean {
    const hasLeft = this.#hasWriteFailed || this.#clientLeft?.aborted === true;
    return hasLeft && this.#call.request.rhone.on_disconnect === "cancel";
  }

  /** The bytes again, for recording; see `readChunks`. A client that leaves ends its own branch only. */
  async *read(
    log: Pick<CallLog, "markFirstByte">,
    policy: Parameters<typeof readChunks>[2],
  ): AsyncGenerator<Uint8Array> {
    const pauseMs = Math.min(READ_INTERVAL_MS, this.#call.limits.idle / 4);
    for await (const block of readChunks(this.#call, log, policy, createBlockReader(this.#branch))) {
      yield block;
      // The tee buffers what arrives during the pause. The pause ends at once when the client has received everything.
      if (!isFullBlock(block)) await raceTimeout(this.#piped, pauseMs);
    }
  }

  /** Writes the last bytes behind the provider's, and closes the client's stream. */
  async end(last: Uint8Array): Promise<void> {
    await this.#piped;
    await this.#write(last);
    await this.#writable.close();
  }

  /** Breaks the client's stream off: a body that has no way to tell of an error must not look complete. */
  async breakOff(error: Error): Promise<void> {
    await this.#piped;
    await this.#writable.abort(error);
  }

  /** Resolves when the client has received all of the provider's bytes, or either end has failed. */
  async #pipe(head: Uint8Array | undefined): Promise<void> {
    try {
      if (head !== undefined) await this.#write(head);
      await this.#client.pipeTo(this.#writable, { preventClose: true, preventAbort: true });
    } catch {
      // If the provider's end failed, the client still receives the error at the end.
      this.#hasWriteFailed = isBroken(this.#writable);
      if (this.#call.request.rhone.on_disconnect === "cancel") this.#call.cancel();
      // A branch of a tee that is not read would hold the rest of the stream in memory.
      if (!this.#client.locked) await this.#client.cancel().catch(() => {});
    }
  }

  /** Releases the lock, so that a pipe can use the stream afterwards. */
  async #write(bytes: Uint8Array): Promise<void> {
    const writer = this.#writable.getWriter();
    try {
      await writer.write(bytes);
    } finally {
      writer.releaseLock();
    }
  }
}

/**
 * Whether the client can no longer be written to. workerd's pipe does not release the lock of a stream whose reader is
 * gone, so a locked stream counts as broken.
 */
function isBroken(writable: WritableStream<Uint8Array>): boolean {
  if (writable.locked) return true;
  const writer = writable.getWriter();
  const { desiredSize } = writer;
  writer.releaseLock();
  return desiredSize === null;
}
