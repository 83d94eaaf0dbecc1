import type { EventCount } from "../../session/stream/segments.ts";
import { ClientStream } from "./client-stream.ts";

/** Records what a client receives, so that the stream can be read again. Writing to it never blocks the reply. */
export interface StreamRecorder {
  /** Whole blocks of the stream, in order, with their number. */
  append(bytes: Uint8Array, count: EventCount): void;
  /** Marks the end of the stream. Idempotent. */
  end(): void;
  /**
   * Sends a client the whole stream, including what is still to come, at the client's own pace. Absent if the recording
   * is in another isolate.
   */
  pipeTo?(client: ClientStream): void;
}

/** Where a reply is written: the client's stream and the recorder. */
export interface ReplyOutput {
  readonly body: ReadableStream<Uint8Array>;
  /** The client has left. */
  readonly isGone: boolean;
  /** Resolves when more may be written. */
  send(bytes: Uint8Array, count: EventCount): Promise<void>;
  /** Writes a keep-alive to the client only; it is not recorded. */
  ping(bytes: Uint8Array): Promise<void>;
  /** Resolves when no more work is left for the stream; the client may still be reading from the recording. */
  close(): Promise<void>;
}

/**
 * If the recorder can be read here, the client reads from it and slows down neither the provider nor the session's next
 * call. Otherwise the upstream is read no faster than the client reads.
 */
export function createReplyOutput(recorder: StreamRecorder | undefined, onClientLeft: () => void): ReplyOutput {
  const client = new ClientStream(onClientLeft);
  const isPiped = recorder?.pipeTo !== undefined;
  recorder?.pipeTo?.(client);
  return {
    body: client.body,
    get isGone() {
      return client.isGone;
    },
    send: async (bytes, count) => {
      recorder?.append(bytes, count);
      if (!isPiped) await client.send(bytes);
    },
    ping: (bytes) => client.ping(bytes),
    close: async () => {
      recorder?.end();
      if (!isPiped) await client.close();
    },
  };
}
