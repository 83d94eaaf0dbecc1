import { sleep } from "./time.ts";
/**
 * How much the recorder takes at a time: JavaScript wakes once for this many bytes, however small the chunks are. Whoever
 * waits for bytes holds the room for them, so it is also what a silent stream costs.
 */
const RECORDER_BLOCK = 8 * 1024;
/** What comes this soon after the last is taken together. Milliseconds. */
const TOGETHER = 1;
/** How many in a row that do are no burst yet: an answer's last words, its end and its usage are some four or five. */
const BURST = 8;
/** How far a body is read ahead of who is slower than it. Bytes. */
const MAX_AHEAD = 256 * 1024;

/**
 * Splits a network body into the client's branch and a recorder that lags behind in blocks of 8 KiB.
 *
 * Neither branch runs JavaScript per chunk. The IdentityTransformStream is essential: asking a tee branch itself for
 * more than it has (`text()`, `readAtLeast()`) makes workerd hold back the other branch too, and the client gets
 * nothing until the stream ends.
 */
export function recordingStream(body: ReadableStream<Uint8Array>): {
  client: ReadableStream<Uint8Array>;
  blocks: AsyncGenerator<Uint8Array>;
} {
  const [client, recorder] = body.tee();
  const { readable, writable } = new IdentityTransformStream();
  // A failing pipe errors the readable end too, and there it is seen.
  recorder.pipeTo(writable).catch(() => {});
  return { client, blocks: blocksOf(readable) };
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
export function pacedReader(body: ReadableStream<Uint8Array>, now: () => number): ChunkReader {
  let reader: ChunkReader = body.getReader();
  let isGathering = false;
  let inARow = 0;
  let readAt = 0;
  return {
    read: async () => {
      const read = await reader.read();
      const early = readAt + TOGETHER - now();
      inARow = early > 0 ? inARow + 1 : 0;
      if (inARow > BURST && !read.done && !isFullBlock(read.value!)) {
        // What it takes to have them together is more memory than a stream is worth that never needs it.
        if (!isGathering) {
          reader.releaseLock();
          reader = gatheringReader(body);
          isGathering = true;
        }
        await sleep(early);
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
function gatheringReader(body: ReadableStream<Uint8Array>): ChunkReader {
  const { client, blocks } = recordingStream(body);
  const reader = blockReader(client);
  let ahead = 0;
  let caughtUp: PromiseWithResolvers<void> | undefined;
  const pull = async (): Promise<void> => {
    for await (const block of blocks) {
      ahead += block.length;
      if (ahead > MAX_AHEAD) await (caughtUp = Promise.withResolvers()).promise;
    }
  };
  // What breaks it breaks the reader, too.
  pull().catch(() => {});
  return {
    read: async () => {
      const read = await reader.read();
      ahead -= read.value?.length ?? 0;
      if (ahead <= MAX_AHEAD) caughtUp?.resolve();
      return read;
    },
    releaseLock: () => reader.releaseLock(),
  };
}

/** A reader that takes whatever has come since it read last, up to 8 KiB; of a tee's branch, too. */
export function blockReader(branch: ReadableStream<Uint8Array>): ChunkReader {
  try {
    const reader = branch.getReader({ mode: "byob" });
    // The same room again and again: whoever keeps a chunk must not keep all of it.
    let room = new Uint8Array(RECORDER_BLOCK);
    return {
      read: async () => {
        const { done, value } = await reader.read(room);
        if (value === undefined) return { done };
        room = new Uint8Array(value.buffer);
        return { done, value: value.slice() };
      },
      releaseLock: () => reader.releaseLock(),
    };
  } catch {
    // A stream that was made in JavaScript gives its chunks as they are.
    return branch.getReader();
  }
}

export const isFullBlock = (block: Uint8Array): boolean => block.length === RECORDER_BLOCK;

async function* blocksOf(readable: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = readable.getReader({ mode: "byob" });
  try {
    for (;;) {
      const { value, done } = await reader.readAtLeast(RECORDER_BLOCK, new Uint8Array(RECORDER_BLOCK));
      if (value !== undefined && value.length > 0) yield value;
      if (done) return;
    }
  } finally {
    reader.releaseLock();
  }
}
