import { runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, expect, vi } from "vitest";
import { decodeSse } from "../../../src/wire/sse.ts";
import type { ToolRequest } from "../../fake/tools.ts";
import { objectOf, request } from "../worker/client.ts";

export type Json = Record<string, unknown>;
export type RunEvent = Json & { type: string; event_id: number };

export const TOOLS = "https://tools.example.com";

export const send = (method: string, path: string, body?: unknown, key?: string): Promise<Response> =>
  request(path, {
    method,
    ...(key !== undefined && { key }),
    ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });

/** The answer to a request, which must be a success. */
export async function json(method: string, path: string, body?: unknown, key?: string): Promise<Json> {
  const response = await send(method, path, body, key);
  const text = await response.text();
  expect([response.status, text.slice(0, 400)]).toEqual([200, expect.anything()]);
  return JSON.parse(text) as Json;
}

/** A run to its end, or to where it waits. */
export const run = (body: Json): Promise<Json> => json("POST", "/v1/runs", { model: "fake/plan", ...body });

export const listOf = async (id: unknown, what: string): Promise<Json[]> =>
  (await json("GET", `/v1/runs/${id as string}/${what}`)).data as Json[];

/** The object of the session of a run. */
export const objectOfRun = (id: string): ReturnType<typeof objectOf> => objectOf(id.replace(/^run/, "call"));

/** Ends a run's object as a crash does: what is in memory is gone. */
export async function crash(id: string): Promise<void> {
  await runInDurableObject(objectOfRun(id), (_, state) => state.abort("crash")).catch(() => {});
}

/** A run when its status is one of these: by default when it has ended. */
export async function ended(id: unknown, status = /completed|failed|cancelled/): Promise<Json> {
  const path = `/v1/runs/${id as string}`;
  await expect.poll(async () => (await json("GET", path)).status).toMatch(status);
  return await json("GET", path);
}

/** Stores a version of a harness. */
export async function storeHarness(name: string, members: Json): Promise<Json> {
  const response = await send("POST", "/v1/harnesses", { name, ...members });
  const body = (await response.json()) as Json;
  expect([response.status, body]).toEqual([201, expect.anything()]);
  return body;
}

/** A new key: its secret. */
export async function newKey(scopes: readonly string[], members: Json = {}): Promise<string> {
  const created = await send("POST", "/v1/keys", { name: "k", ttl_s: 3_600, scopes, ...members });
  return (await created.json<{ secret: string }>()).secret;
}

export const headOf = async (session: unknown): Promise<unknown> =>
  (await json("GET", `/v1/sessions/${session as string}`)).head;

/** The text of a run's output. */
export const textOf = ({ output }: Json): string =>
  (output as Json[]).map(({ type, text }) => (type === "response" ? text : "")).join("");

export async function eventsOf(response: Response): Promise<RunEvent[]> {
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return decodeSse(new TextEncoder().encode(text)).flatMap(({ data }) =>
    data === undefined ? [] : [JSON.parse(data) as RunEvent],
  );
}

/** The requests that a tool's host has got for a test. */
export const toolLog = async (test: string): Promise<ToolRequest[]> => (await fetch(`${TOOLS}/${test}/log`)).json();

/** A webhook as a tool, at a path of the host of tools. */
export const webhook = (name: string, path: string, more: Json = {}): Json => ({
  type: "http",
  name,
  description: `Does ${name}`,
  url: `${TOOLS}/${path}`,
  parameters: { type: "object", properties: { n: { type: "integer" } } },
  ...more,
});

export const clientTool = (name: string, more: Json = {}): Json => ({
  name,
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  ...more,
});

/** For a file's every test: the connection to a path that ends with `broken` is lost behind the request, or only behind the first one. */
export function withBrokenTools(): void {
  beforeEach(() => {
    const { fetch: real } = globalThis;
    const seen = new Set<string>();
    vi.stubGlobal("fetch", async (input: RequestInfo | URL, init?: RequestInit) => {
      const url = input instanceof Request ? input.url : String(input);
      const response = await real(input, init);
      const breaks = url.endsWith("/broken") || (url.endsWith("/broken-once") && !seen.has(url));
      seen.add(url);
      if (breaks) throw new TypeError("connection reset");
      return response;
    });
  });
  afterEach(() => vi.unstubAllGlobals());
}
