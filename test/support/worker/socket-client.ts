import { expect, vi } from "vitest";
import { request } from "./client.ts";

export type Frame = { type: string; id?: string; event_id?: number; event?: Frame; [member: string]: unknown };

/** A client of `rhone.ws.v1` that remembers what it heard. */
export class Client {
  readonly frames: Frame[] = [];
  readonly #socket: WebSocket;
  closed: { code: number; reason: string } | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => void this.frames.push(JSON.parse(data as string) as Frame));
    socket.addEventListener("close", ({ code, reason }) => void (this.closed = { code, reason }));
    socket.accept();
  }

  say(frame: object | string | ArrayBuffer): void {
    const isText = typeof frame === "string" || frame instanceof ArrayBuffer;
    this.#socket.send(isText ? frame : JSON.stringify(frame));
  }

  leave(): void {
    this.#socket.close(1000, "done");
  }

  /** The first frame that is so. */
  async hears(is: (frame: Frame) => boolean): Promise<Frame> {
    return await vi.waitFor(() => {
      const found = this.frames.find(is);
      if (found === undefined) throw new Error(`heard only ${JSON.stringify(this.frames).slice(0, 2000)}`);
      return found;
    }, 5_000);
  }

  type = (type: string): Promise<Frame> => this.hears((frame) => frame.type === type);
}

export const upgrade = (query = "", headers: Record<string, string> = {}, key?: string | null): Promise<Response> =>
  request(`/v1/ws${query}`, {
    headers: { upgrade: "websocket", "sec-websocket-protocol": "rhone.ws.v1", ...headers },
    ...(key !== undefined && { key }),
  });

export async function connect(query = "", headers: Record<string, string> = {}, key?: string | null): Promise<Client> {
  const response = await upgrade(query, headers, key);
  expect([response.status, response.headers.get("sec-websocket-protocol")]).toEqual([101, "rhone.ws.v1"]);
  return new Client(response.webSocket!);
}

export async function bound(session_id?: string, after_event_id?: number): Promise<Client> {
  const client = await connect(session_id === undefined ? "" : `?session_id=${session_id}`);
  client.say({
    type: "session.bind",
    id: "b",
    ...(session_id && { session_id }),
    ...(after_event_id !== undefined && { after_event_id }),
  });
  await client.type("session.bound");
  return client;
}
