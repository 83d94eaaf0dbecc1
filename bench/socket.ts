import { KEY, rhoneCall, type Wires } from "./asks.ts";
import type { Exchange } from "./client.ts";
import type { Send } from "./load.ts";
import type { Scene } from "./scene.ts";
import type { Lanes, Plan } from "./ways.ts";

/** A socket is bound to one session; after this many turns the next one is used, as over HTTP. */
const TURNS = 8;
const OPEN_MS = 5000;
/** What has not come by then does not come. */
const ANSWER_MS = 30_000;

/** Over `rhone.ws.v1`: every call is the next turn of the session that its socket is bound to. */
export async function openSocket(wires: Wires, scene: Scene, { calls, concurrency, more }: Plan): Promise<Lanes> {
  const count = Math.ceil(calls / TURNS) + concurrency;
  const sockets: Socket[] = [];
  const close = (): void => sockets.forEach((socket) => socket.close());
  try {
    while (sockets.length < count) sockets.push(await Socket.open(wires.origin));
  } catch (thrown) {
    close();
    throw thrown;
  }
  const request = JSON.parse(rhoneCall("stateful")(wires, scene, more).body.toString("utf8")) as object;
  const lanes = Array.from({ length: concurrency }, (_, at) => ({ socket: at, turns: 0 }));
  let next = concurrency;
  const send: Send = (at) => {
    const lane = lanes[at]!;
    if (lane.turns++ >= TURNS) Object.assign(lane, { socket: next++ % count, turns: 1 });
    return sockets[lane.socket]!.call(request);
  };
  return { send, close, sessions: count };
}

type Frame = { type: string; id?: string; error?: unknown };

class Socket {
  readonly #socket: WebSocket;
  #heard: (frame: Frame, bytes: number) => void = () => {};
  #calls = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const text = String(data);
      const frame = JSON.parse(text) as Frame;
      // It asks whether what it sends is read.
      if (frame.type === "ping") socket.send('{"type":"pong"}');
      else this.#heard(frame, text.length);
    });
    socket.addEventListener("close", () => this.#heard({ type: "error", error: "the socket was closed" }, 0));
  }

  /** Connects and binds to a new session. */
  static async open(origin: string): Promise<Socket> {
    const init = { protocols: ["rhone.ws.v1"], headers: { authorization: `Bearer ${KEY}` } };
    // Node's own takes headers too, as a server's client needs them; the DOM's type does not know that.
    const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/ws`, init as never);
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("the socket did not open")), OPEN_MS);
      socket.addEventListener("open", () => resolve(clearTimeout(late)));
      socket.addEventListener("error", () => reject(new Error("this build speaks no rhone.ws.v1", { cause: late })));
    });
    const opened = new Socket(socket);
    await opened.#ask({ type: "session.bind" }, "session.bound");
    return opened;
  }

  call(request: object): Promise<Exchange> {
    return this.#ask({ type: "call.create", surface: "chat", request }, "call.completed");
  }

  close(): void {
    this.#socket.close();
  }

  /** Sends a frame and waits for the one that ends what it began. */
  #ask(frame: object, ending: string): Promise<Exchange> {
    const id = `c${this.#calls++}`;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no ${ending} after ${ANSWER_MS} ms`)), ANSWER_MS);
      const began = performance.now();
      let firstMs = Number.NaN;
      let bytes = 0;
      this.#heard = (heard, size) => {
        if (heard.type === "error" || heard.type === "call.failed") reject(new Error(JSON.stringify(heard)));
        if (heard.id !== id) return;
        bytes += size;
        if (heard.type === "call.event" && Number.isNaN(firstMs)) firstMs = performance.now() - began;
        if (heard.type !== ending) return;
        const totalMs = performance.now() - began;
        clearTimeout(late);
        resolve({ totalMs, firstMs: Number.isNaN(firstMs) ? totalMs : firstMs, bytes });
      };
      this.#socket.send(JSON.stringify({ ...frame, id }));
    });
  }
}
