import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@cfworker/json-schema";
import { expect } from "vitest";
import { baseUrl, key } from "./gateway.ts";

/** The published schemas of Open Responses, and its two transports as a bare client sees them. */
type Schema = { properties?: { type?: { enum?: string[] } } };
const published = JSON.parse(
  readFileSync(join(import.meta.dirname, "../fixtures/openresponses/schemas.json"), "utf8"),
) as { components: { schemas: Record<string, Schema> } };
const { components } = published;

const validators = new Map<string, Validator>();

/** The value keeps to the schema of that name. */
export function expectSchema(name: string, value: unknown): void {
  const schema = { $ref: `#/components/schemas/${name}`, components };
  const validator = validators.get(name) ?? new Validator(schema, "2020-12", false);
  validators.set(name, validator);
  const { valid, errors } = validator.validate(value);
  const why = errors.map(({ instanceLocation, error }) => `${instanceLocation} ${error}`).join("\n");
  expect(valid, `${name}: ${why}\n${JSON.stringify(value)}`).toBe(true);
}

/** Events by their types. */
const EVENTS = new Map(
  Object.entries(components.schemas)
    .filter(([name]) => name.endsWith("StreamingEvent"))
    .map(([name, { properties }]) => [properties!.type!.enum![0]!, name]),
);

export type Event = { type: string; response?: Resource; error?: { code: string | null; message: string } } & Record<
  string,
  unknown
>;
export type Resource = { id: string; status: string; output: { type: string }[]; error: unknown } & Record<
  string,
  unknown
>;

export function expectEvent(event: Event): void {
  const name = EVENTS.get(event.type);
  expect(name, `an event of type ${event.type}`).toBeDefined();
  expectSchema(name!, event);
}

const auth = { authorization: `Bearer ${key}` };

export const post = (path: string, body: object, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${baseUrl}/v1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...auth, ...headers },
    body: JSON.stringify(body),
  });

/** A connection in WebSocket mode. */
export class Connection {
  readonly #socket: WebSocket;
  readonly #frames: string[] = [];
  #heard: (() => void) | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      this.#frames.push(String(data));
      this.#heard?.();
    });
    socket.addEventListener("close", () => this.#heard?.());
  }

  static async open(headers: Record<string, string> = {}): Promise<Connection> {
    // Node's own client takes headers, which browsers' do not.
    const options = { headers: { ...auth, ...headers } } as never;
    const socket = new WebSocket(`${baseUrl.replace("http", "ws")}/v1/responses`, options);
    const connection = new Connection(socket);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("error", () => reject(new Error("the connection was refused")));
    });
    return connection;
  }

  send(frame: object | string | Uint8Array<ArrayBuffer>): void {
    const isRaw = typeof frame === "string" || frame instanceof Uint8Array;
    this.#socket.send(isRaw ? frame : JSON.stringify(frame));
  }

  async next(): Promise<Event> {
    while (this.#frames.length === 0) {
      if (this.#socket.readyState === WebSocket.CLOSED) throw new Error("the connection was closed");
      await new Promise<void>((resolve) => (this.#heard = resolve));
    }
    return JSON.parse(this.#frames.shift()!) as Event;
  }

  /** All frames up to the one that ends a response, or fails it. */
  async turn(frame: object | string | Uint8Array<ArrayBuffer>): Promise<Event[]> {
    this.send(frame);
    const events: Event[] = [];
    do events.push(await this.next());
    while (!/^error$|\.(completed|incomplete|failed)$/.test(events.at(-1)!.type));
    return events;
  }

  close(): void {
    this.#socket.close();
  }
}
