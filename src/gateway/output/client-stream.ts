/** Data written but not yet read by the client. Above this, `send` waits, so the upstream is read no faster. Bytes. */
const MAX_PENDING_BYTES = 256 * 1024;
/** A client that reads nothing for this long is disconnected; the reply itself continues. Milliseconds. */
const STALL_MS = 30_000;

/** The client's end of a streamed reply. A client that leaves or stalls causes no error here: writes become no-ops. */
export class ClientStream {
  /** The body of the response. */
  readonly body: ReadableStream<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #onClientLeft: () => void;
  #pending = 0;
  #isGone = false;
  #draining: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  /** `onClientLeft`: called once, when the client has left or stalled. */
  constructor(onClientLeft: () => void) {
    const { readable, writable } = new IdentityTransformStream();
    this.body = readable;
    this.#writer = writable.getWriter();
    this.#onClientLeft = onClientLeft;
    this.#writer.closed.catch(() => this.#markGone());
  }

  /** Whether the client has left or stalled. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Whether `send` waits for the client. */
  get isSlow(): boolean {
    return this.#pending > MAX_PENDING_BYTES;
  }

  /** Writes bytes. Resolves at once unless the client is slow; then when it has caught up. */
  async send(bytes: Uint8Array): Promise<void> {
    if (this.#isGone || bytes.length === 0) return;
    this.#pending += bytes.length;
    this.#writer.write(bytes).then(
      () => this.#onWritten(bytes.length),
      () => this.#markGone(),
    );
    if (this.isSlow) await (this.#draining ??= this.#drain());
  }

  /** Writes a keep-alive, unless the client still has unread data. */
  async ping(bytes: Uint8Array): Promise<void> {
    if (this.#pending === 0) await this.send(bytes);
  }

  /** Resolves when the client has read everything, has left, or has stalled. */
  async close(): Promise<void> {
    if (this.#isGone) return;
    const stallTimer = setTimeout(() => this.#abort(), STALL_MS);
    await this.#writer.close().catch(() => {});
    clearTimeout(stallTimer);
  }

  #abort(): void {
    this.#writer.abort(new Error("the client stopped reading")).catch(() => {});
    this.#markGone();
  }

  #onWritten(size: number): void {
    this.#pending -= size;
    if (!this.isSlow) this.#drained?.();
  }

  /** Resolves when the client has read enough, or has left. */
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

  /** Called when the pipe closes or a write fails. */
  #markGone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#drained?.();
    this.#onClientLeft();
  }
}
