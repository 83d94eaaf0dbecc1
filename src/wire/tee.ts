/** How much the recorder takes at a time: JavaScript wakes once for this many bytes, however small the chunks are. */
const RECORDER_BLOCK = 64 * 1024;

/**
 * Splits a network body into the client's branch and a recorder that lags behind in blocks of 64 KiB.
 *
 * Neither branch runs JavaScript per chunk. The IdentityTransformStream is essential: asking a tee branch itself for
 * more than it has (`text()`, `readAtLeast()`) makes workerd hold back the other branch too, and the client gets
 * nothing until the stream ends.
 */
export function teeRecorder(body: ReadableStream<Uint8Array>): {
  client: ReadableStream<Uint8Array>;
  blocks: AsyncGenerator<Uint8Array>;
} {
  const [client, recorder] = body.tee();
  const { readable, writable } = new IdentityTransformStream();
  // A failing pipe errors the readable end too, and there it is seen.
  recorder.pipeTo(writable).catch(() => {});
  return { client, blocks: blocksOf(readable) };
}

/** A reader that takes whatever has come since it read last, up to 64 KiB; of a tee's branch, too. */
export function blockReader(branch: ReadableStream<Uint8Array>): {
  read: () => Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  releaseLock: () => void;
} {
  try {
    const reader = branch.getReader({ mode: "byob" });
    return {
      read: () => reader.read(new Uint8Array(RECORDER_BLOCK)),
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
