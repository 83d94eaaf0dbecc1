import type { Answer } from "./answers.ts";
import type { Exchange } from "./client.ts";
import type { Callers, LoadPlan, Send } from "./load.ts";
import { KEY, buildRhoneCall, type Origins } from "./requests.ts";

/** A socket is bound to one session. Turns before the next socket is used, as over HTTP. */
const TURNS = 8;
const OPEN_MS = 5000;
/** An answer that takes longer counts as missing. */
const ANSWER_MS = 30_000;

/** Calls over `rhone.ws.v1`: every call is the next turn of the session that its socket is bound to. */
export async function openSocket(
  origins: Origins,
  answer: Answer,
  { calls, concurrency, more }: LoadPlan,
): Promise<Callers> {
  const count = Math.ceil(calls / TURNS) + concurrency;
  const sockets: Socket[] = [];
  const close = (): void => sockets.forEach((socket) => socket.close());
  try {
    while (sockets.length < count) sockets.push(await Socket.open(origins.origin));
  } catch (thrown) {
    close();
    throw thrown;
  }
  const request = JSON.parse(buildRhoneCall("stateful")(origins, answer, more).body.toString("utf8")) as object;
  const states = Array.from({ length: concurrency }, (_, caller) => ({ socket: caller, turns: 0 }));
  let next = concurrency;
  const send: Send = (caller) => {
    const state = states[caller]!;
    if (state.turns++ >= TURNS) Object.assign(state, { socket: next++ % count, turns: 1 });
    return sockets[state.socket]!.call(request);
  };
  return { send, close, sessions: count };
}

type Frame = { type: string; id?: string; error?: unknown };

class Socket {
  readonly #socket: WebSocket;
  #onFrame: (frame: Frame, bytes: number) => void = () => {};
  #calls = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const text = String(data);
      const frame = JSON.parse(text) as Frame;
      // The gateway checks that its frames are read.
      if (frame.type === "ping") socket.send('{"type":"pong"}');
      else this.#onFrame(frame, text.length);
    });
    socket.addEventListener("close", () => this.#onFrame({ type: "error", error: "the socket was closed" }, 0));
  }

  /** Connects and binds to a new session. */
  static async open(origin: string): Promise<Socket> {
    const init = { protocols: ["rhone.ws.v1"], headers: { authorization: `Bearer ${KEY}` } };
    // Node's WebSocket accepts headers as well, which the DOM's type does not include.
    const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/ws`, init as never);
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("the socket did not open")), OPEN_MS);
      socket.addEventListener("open", () => resolve(clearTimeout(late)));
      socket.addEventListener("error", () =>
        reject(new Error("the server does not support rhone.ws.v1", { cause: late })),
      );
    });
    const opened = new Socket(socket);
    await opened.#send({ type: "session.bind" }, "session.bound");
    return opened;
  }

  call(request: object): Promise<Exchange> {
    return this.#send({ type: "call.create", surface: "chat", request }, "call.completed");
  }

  close(): void {
    this.#socket.close();
  }

  /** Sends a frame and waits for the one that ends the exchange. */
  #send(body: object, ending: string): Promise<Exchange> {
    const id = `c${this.#calls++}`;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no ${ending} after ${ANSWER_MS} ms`)), ANSWER_MS);
      const start = performance.now();
      let firstMs = Number.NaN;
      let bytes = 0;
      this.#onFrame = (frame, size) => {
        if (frame.type === "error" || frame.type === "call.failed") reject(new Error(JSON.stringify(frame)));
        if (frame.id !== id) return;
        bytes += size;
        if (frame.type === "call.event" && Number.isNaN(firstMs)) firstMs = performance.now() - start;
        if (frame.type !== ending) return;
        const totalMs = performance.now() - start;
        clearTimeout(late);
        resolve({ totalMs, firstMs: Number.isNaN(firstMs) ? totalMs : firstMs, bytes });
      };
      this.#socket.send(JSON.stringify({ ...body, id }));
    });
  }
}
