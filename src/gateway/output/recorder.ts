import type { EventCount } from "../../session/stream/segments.ts";
import { ClientStream } from "./client-stream.ts";

/** Where what a client is told is kept, so that it can be told again. Nobody waits for it. */
export interface StreamRecorder {
  /** Whole blocks of the stream, in order. */
  append(bytes: Uint8Array, count: EventCount): void;
  /** Nothing more will come. Calling that twice is harmless. */
  end(): void;
  /** Tells a client all of it, also what is still to come, at the client's own pace. Absent where it is kept elsewhere. */
  pipeTo?(client: ClientStream): void;
}

/** The way of a stream to its client and onto its tape. */
export interface ReplyOutput {
  readonly body: ReadableStream<Uint8Array>;
  /** The client has left. */
  readonly isGone: boolean;
  /** Resolves when more may come. */
  send(bytes: Uint8Array, count: EventCount): Promise<void>;
  ping(bytes: Uint8Array): Promise<void>;
  /** Resolves when there is nothing more to do for the stream; the client may still be reading. */
  close(): Promise<void>;
}

/**
 * Where the tape can be played, the client hears it from there and holds nobody up: not the provider, not the session's
 * next call. Elsewhere the upstream is read no faster than the client reads.
 */
export function replyOutput(recorder: StreamRecorder | undefined, onClientLeft: () => void): ReplyOutput {
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
