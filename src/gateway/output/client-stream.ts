/** Bytes on their way to a client that is slower than its upstream. Beyond it the upstream is read no faster. */
const MAX_PENDING_BYTES = 256 * 1024;
/** A client that takes nothing for this long has stalled, and is let go; the reply goes on without it. */
const STALL_MS = 30_000;

/** The client's end of a streamed reply. It may go away at any time, and nobody else must suffer from that. */
export class ClientStream {
  readonly body: ReadableStream<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #onClientLeft: () => void;
  #pending = 0;
  #isGone = false;
  #draining: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(onClientLeft: () => void) {
    const { readable, writable } = new IdentityTransformStream();
    this.body = readable;
    this.#writer = writable.getWriter();
    this.#onClientLeft = onClientLeft;
    this.#writer.closed.catch(() => this.#markGone());
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Resolves when more may come: at once, as a rule. */
  async send(bytes: Uint8Array): Promise<void> {
    if (this.#isGone || bytes.length === 0) return;
    this.#pending += bytes.length;
    this.#writer.write(bytes).then(
      () => this.#onWritten(bytes.length),
      () => this.#markGone(),
    );
    if (this.#pending > MAX_PENDING_BYTES) await (this.#draining ??= this.#drain());
  }

  /** What is only to show that the stream lives is not said to a client that still has something to read. */
  async ping(bytes: Uint8Array): Promise<void> {
    if (this.#pending === 0) await this.send(bytes);
  }

  /** Resolves when the client has it all, or has stalled over it. */
  async close(): Promise<void> {
    if (this.#isGone) return;
    const stalled = setTimeout(() => this.#abort(), STALL_MS);
    await this.#writer.close().catch(() => {});
    clearTimeout(stalled);
  }

  #abort(): void {
    this.#writer.abort(new Error("the client stopped reading")).catch(() => {});
    this.#markGone();
  }

  #onWritten(size: number): void {
    this.#pending -= size;
    if (this.#pending <= MAX_PENDING_BYTES) this.#drained?.();
  }

  async #drain(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#abort(), STALL_MS);
      this.#drained = () => {
        clearTimeout(timer);
        this.#drained = undefined;
        this.#draining = undefined;
        resolve();
      };
    });
  }

  /** Told by the pipe, or by the first write that fails. */
  #markGone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#drained?.();
    this.#onClientLeft();
  }
}
