import type { EventCount } from "../../session/stream/segments.ts";
import { ClientStream } from "./client-stream.ts";

/** Records what a client receives, so that the stream can be read again. Writing to it never blocks the reply. */
export interface StreamRecorder {
  /** Whole blocks of the stream, in order, with their number. */
  append(bytes: Uint8Array, count: EventCount): void;
  /** Marks the end of the stream. Idempotent. */
  end(): void;
  /**
   * Sends a client all that is still to come, at the client's own pace, and closes its stream. Absent if the recording is
   * in another isolate.
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
 * A client that reads as fast as the provider sends is written to at once. One that has fallen behind reads on from the
 * recorder if that can be read here, and slows down neither the provider nor the session's next call. Otherwise the
 * upstream is read no faster than the client reads.
 */
export function createReplyOutput(recorder: StreamRecorder | undefined, onClientLeft: () => void): ReplyOutput {
  const client = new ClientStream(onClientLeft);
  const mayFallBehind = recorder?.pipeTo !== undefined;
  let isPiped = false;
  const pipe = (): void => {
    if (!isPiped) recorder?.pipeTo?.(client);
    isPiped = true;
  };
  return {
    body: client.body,
    get isGone() {
      return client.isGone;
    },
    send: async (bytes, count) => {
      if (mayFallBehind && client.isSlow) pipe();
      recorder?.append(bytes, count);
      if (isPiped) return;
      const sent = client.send(bytes);
      if (!mayFallBehind) await sent;
    },
    ping: (bytes) => client.ping(bytes),
    close: async () => {
      // Nothing is left to send: the recorder waits for the client and closes its stream.
      pipe();
      recorder?.end();
      if (!mayFallBehind) await client.close();
    },
  };
}
