import { sleep } from "./time.ts";
/**
 * Block size of the recorder: JavaScript runs once per block, however small the network chunks are. A stream that waits
 * for bytes holds one buffer of this size, so it is also the memory cost of a silent stream. Bytes.
 */
const BLOCK_BYTES = 8 * 1024;
/**
 * So many reads in so short a time are a burst; the ordinary four or five events at the end of an answer are none. The time
 * is that of all reads: the slower each of them is, the more there is to gain. Milliseconds.
 */
const BURST_READS = 8;
const BURST_MS = 8;
/** How often a burst is read, and a stream that had one is at most. Milliseconds. */
const GATHER_MS = 1;
/** How far a body is read ahead of a slower consumer. */
const MAX_AHEAD_BYTES = 256 * 1024;

/**
 * Splits a network body into the client's branch and a recorder that lags behind in blocks of 8 KiB.
 *
 * Neither branch runs JavaScript per chunk. The IdentityTransformStream is essential: a read of more bytes than a tee
 * branch has (`text()`, `readAtLeast()`) makes workerd withhold the other branch as well, and the client gets nothing
 * until the stream ends.
 */
function splitForRecording(body: ReadableStream<Uint8Array>): {
  client: ReadableStream<Uint8Array>;
  blocks: AsyncGenerator<Uint8Array>;
} {
  const [client, recorder] = body.tee();
  const { readable, writable } = new IdentityTransformStream();
  // A failing pipe also errors the readable end, where the reader gets the error.
  recorder.pipeTo(writable).catch(() => {});
  return { client, blocks: readBlocks(readable) };
}

/** A reader that locks its stream until it is released. */
export type ChunkReader = {
  read: () => Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  releaseLock: () => void;
};

/**
 * A reader that merges bursts: after `BURST_READS` in `BURST_MS` it returns one chunk per millisecond. Running JavaScript
 * and writing to the client costs ten times the work of an event itself, so a provider that sends a thousand events at
 * once must not cause a thousand of each. Slower streams are read chunk by chunk, as are the few events that arrive
 * together at the start and the end of an answer.
 */
export function createPacedReader(body: ReadableStream<Uint8Array>, now: () => number): ChunkReader {
  let reader: ChunkReader = body.getReader();
  /** When the last reads ended, the oldest first; only the last one once bursts are merged. */
  let readAt: number[] = [];
  let isGathering = false;
  return {
    read: async () => {
      const read = await reader.read();
      const isQuick = isGathering
        ? now() - readAt[0]! < GATHER_MS
        : readAt.length === BURST_READS && now() - readAt[0]! < BURST_MS;
      if (isQuick && !read.done && !isFullBlock(read.value!)) {
        // Created only now: the second branch costs memory that most streams never need.
        if (!isGathering) {
          reader.releaseLock();
          reader = createGatheringReader(body);
          isGathering = true;
        }
        await sleep(GATHER_MS);
      }
      readAt = isGathering ? [now()] : [...readAt.slice(1 - BURST_READS), now()];
      return read;
    },
    releaseLock: () => reader.releaseLock(),
  };
}

/**
 * A reader that returns all bytes since its last read. A network body returns one network chunk per read; a branch of a
 * tee returns everything that has arrived, provided that the other branch is read. That other branch is read here, in
 * blocks, at most `MAX_AHEAD_BYTES` ahead.
 */
function createGatheringReader(body: ReadableStream<Uint8Array>): ChunkReader {
  const { client, blocks } = splitForRecording(body);
  const reader = createBlockReader(client);
  let ahead = 0;
  let caughtUp: PromiseWithResolvers<void> | undefined;
  const pull = async (): Promise<void> => {
    for await (const block of blocks) {
      ahead += block.length;
      if (ahead > MAX_AHEAD_BYTES) await (caughtUp = Promise.withResolvers()).promise;
    }
  };
  // An error of the body reaches the caller through the reader of the other branch.
  pull().catch(() => {});
  return {
    read: async () => {
      const read = await reader.read();
      ahead -= read.value?.length ?? 0;
      if (ahead <= MAX_AHEAD_BYTES) caughtUp?.resolve();
      return read;
    },
    releaseLock: () => reader.releaseLock(),
  };
}

/** A reader that returns all bytes since its last read, up to one block. Works on a branch of a tee as well. */
export function createBlockReader(branch: ReadableStream<Uint8Array>): ChunkReader {
  try {
    const reader = branch.getReader({ mode: "byob" });
    // One buffer is reused for all reads, so a chunk is copied out of it.
    let buffer = new Uint8Array(BLOCK_BYTES);
    return {
      read: async () => {
        const { done, value } = await reader.read(buffer);
        if (value === undefined) return { done };
        buffer = new Uint8Array(value.buffer);
        return { done, value: value.slice() };
      },
      releaseLock: () => reader.releaseLock(),
    };
  } catch {
    // A stream made in JavaScript has no BYOB reader; its chunks are returned as they are.
    return branch.getReader();
  }
}

/** Whether a read filled its block, so that more bytes are probably waiting. */
export const isFullBlock = (block: Uint8Array): boolean => block.length === BLOCK_BYTES;

async function* readBlocks(readable: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = readable.getReader({ mode: "byob" });
  try {
    for (;;) {
      const { value, done } = await reader.readAtLeast(BLOCK_BYTES, new Uint8Array(BLOCK_BYTES));
      if (value !== undefined && value.length > 0) yield value;
      if (done) return;
    }
  } finally {
    reader.releaseLock();
  }
}
