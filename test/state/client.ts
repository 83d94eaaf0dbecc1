import type { Json, JsonObject } from "../../src/wire/json.ts";
import { waitUntil } from "./served.ts";

type Init = { method?: string; headers?: Record<string, string>; body?: string };

/** A client of the public API that sends one secret with every request. */
export type Client = {
  fetch: (path: string, init?: Init) => Promise<Response>;
  /** The JSON of a 2xx. Throws with the answer's text otherwise. */
  get: (path: string) => Promise<JsonObject>;
  send: (method: string, path: string, body?: Json, headers?: Record<string, string>) => Promise<JsonObject>;
  post: (path: string, body: Json, headers?: Record<string, string>) => Promise<JsonObject>;
};

export function clientOf(baseUrl: string, secret: string): Client {
  const fetchPath: Client["fetch"] = (path, init = {}) =>
    fetch(baseUrl + path, {
      ...init,
      headers: {
        authorization: `Bearer ${secret}`,
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        ...init.headers,
      },
    });
  const send: Client["send"] = async (method, path, body, headers = {}) =>
    await jsonOf(
      await fetchPath(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) }),
      `${method} ${path}`,
    );
  return {
    fetch: fetchPath,
    get: (path) => send("GET", path),
    send,
    post: (path, ...rest) => send("POST", path, ...rest),
  };
}

async function jsonOf(response: Response, request: string): Promise<JsonObject> {
  const text = await response.text();
  if (!response.ok) throw new Error(`${request}: ${response.status} ${text}`);
  return JSON.parse(text) as JsonObject;
}

/** Waits for a condition that the gateway meets some time after a request. Throws when it does not. */
export async function expectSoon(what: string, condition: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  if (!(await waitUntil(condition, withinMs))) throw new Error(`${what}: not so within ${withinMs / 1000} s`);
}
