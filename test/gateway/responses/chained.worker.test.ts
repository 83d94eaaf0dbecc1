import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { handle } from "../../../src/http/app.ts";
import { KEY } from "../../support/worker/client.ts";

/** What the gateway behind the gateway was asked, in order. */
let asked: { body: Record<string, unknown>; mode: string | null }[] = [];

beforeEach(() => {
  asked = [];
  const network = globalThis.fetch;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input, init);
    if (new URL(request.url).hostname !== "behind.test") return await network(request);
    const body = await request.clone().json<Record<string, unknown>>();
    asked.push({ body, mode: request.headers.get("x-rhone-context-mode") });
    return await send(request);
  });
});
afterEach(() => vi.restoreAllMocks());

async function send(request: Request): Promise<Response> {
  const ctx = createExecutionContext();
  const response = await handle(request, env, ctx);
  const text = await response.text();
  await waitOnExecutionContext(ctx);
  return new Response(text, response);
}

async function call<T>(path: string, body: object): Promise<T> {
  const headers = {
    authorization: `Bearer ${KEY}`,
    "anthropic-version": "2023-06-01",
    "content-type": "application/json",
  };
  const response = await send(
    new Request(`https://gateway.test${path}`, { method: "POST", headers, body: JSON.stringify(body) }),
  );
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return (text.startsWith("{") ? JSON.parse(text) : text) as T;
}

type Native = { output: { type: string; text?: string }[]; rhone: { session_id: string; losses?: object[] } };

describe("a gateway behind a gateway", () => {
  it("a gateway behind a gateway gets the whole context in native blocks, and nothing else", async () => {
    const first = await call<Native>("/v1/calls", {
      model: "behind/demo",
      blocks: [{ type: "input", text: "My name is Alice." }],
    });
    const { session_id } = first.rhone;
    const second = await call<Native>("/v1/calls", { model: "behind/demo", session_id, input: "What is my name?" });
    expect(second.output.at(-1)!.text).toBe("Your name is Alice.");
    expect(asked.map(({ mode }) => mode)).toEqual(["stateless", "stateless"]);
    expect(asked[1]!.body).toEqual({ model: "demo", input: expect.any(Array) as unknown[] });
    expect((asked[1]!.body.input as object[]).length).toBe(3);
  });

  it.each([
    ["/v1/chat/completions", { messages: [{ role: "user", content: "hello" }] }, "[DONE]"],
    ["/v1/responses", { input: "hello" }, "response.completed"],
    ["/v1/messages", { messages: [{ role: "user", content: "hello" }], max_tokens: 50 }, "message_stop"],
    ["/v1/calls", { input: "hello" }, "call.completed"],
  ])("a gateway behind a gateway streams to %s", async (path, body, end) => {
    const text = await call<string>(path, { ...body, model: "behind/demo", stream: true });
    expect(text).toContain(end);
    // Word by word: the demo model says what it heard.
    expect(text).toContain("hello");
  });
});
