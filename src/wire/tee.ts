import { sleep } from "./time.ts";
/**
 * How much the recorder takes at a time: JavaScript wakes once for this many bytes, however small the chunks are. Whoever
 * waits for bytes holds the room for them, so it is also what a silent stream costs.
 */
const BLOCK_BYTES = 8 * 1024;
/** What comes this soon after the last is taken together. Milliseconds. */
const BURST_INTERVAL_MS = 1;
/** How many in a row that do are no burst yet: an answer's last words, its end and its usage are some four or five. */
const BURST_READS = 8;
/** How far a body is read ahead of who is slower than it. Bytes. */
const MAX_AHEAD_BYTES = 256 * 1024;

/**
 * Splits a network body into the client's branch and a recorder that lags behind in blocks of 8 KiB.
 *
 * Neither branch runs JavaScript per chunk. The IdentityTransformStream is essential: asking a tee branch itself for
 * more than it has (`text()`, `readAtLeast()`) makes workerd hold back the other branch too, and the client gets
 * nothing until the stream ends.
 */
export function splitForRecording(body: ReadableStream<Uint8Array>): {
  client: ReadableStream<Uint8Array>;
  blocks: AsyncGenerator<Uint8Array>;
} {
  const [client, recorder] = body.tee();
  const { readable, writable } = new IdentityTransformStream();
  // A failing pipe errors the readable end too, and there it is seen.
  recorder.pipeTo(writable).catch(() => {});
  return { client, blocks: readBlocks(readable) };
}

type ChunkReader = {
  read: () => Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  releaseLock: () => void;
};

/**
 * A reader that takes what comes in a burst, each within a millisecond of the last, as one chunk a millisecond. To wake
 * JavaScript and to write cost ten times an event's own work, so a provider that sends a thousand events at once must not
 * cost a thousand of each; a model that says a word every ten milliseconds is heard word by word, and so are the few
 * that come together where an answer begins and ends.
 */
export function createPacedReader(body: ReadableStream<Uint8Array>, now: () => number): ChunkReader {
  let reader: ChunkReader = body.getReader();
  let isGathering = false;
  let burstLength = 0;
  let readAt = 0;
  return {
    read: async () => {
      const read = await reader.read();
      const wait = readAt + BURST_INTERVAL_MS - now();
      burstLength = wait > 0 ? burstLength + 1 : 0;
      if (burstLength > BURST_READS && !read.done && !isFullBlock(read.value!)) {
        // What it takes to have them together is more memory than a stream is worth that never needs it.
        if (!isGathering) {
          reader.releaseLock();
          reader = createGatheringReader(body);
          isGathering = true;
        }
        await sleep(wait);
      }
      readAt = now();
      return read;
    },
    releaseLock: () => reader.releaseLock(),
  };
}

/**
 * A reader of all that has come since it read last. A network body itself gives one chunk for each read, however many
 * have come; a tee's branch gives them all, if only somebody reads the other one. That is done here, in blocks, and no
 * further ahead than MAX_AHEAD.
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
  // What breaks it breaks the reader, too.
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

/** A reader that takes whatever has come since it read last, up to 8 KiB; of a tee's branch, too. */
export function createBlockReader(branch: ReadableStream<Uint8Array>): ChunkReader {
  try {
    const reader = branch.getReader({ mode: "byob" });
    // The same room again and again: whoever keeps a chunk must not keep all of it.
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
    // A stream that was made in JavaScript gives its chunks as they are.
    return branch.getReader();
  }
}

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
