import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { request } from "../../support/worker/client.ts";

/** Anthropic pauses a long turn of its own tools; the client sends it back as it is, and the answer goes on. */
const PAUSED = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "claude-test",
  content: [
    { type: "text", text: "I am looking." },
    { type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: { query: "x" } },
  ],
  stop_reason: "pause_turn",
  stop_sequence: null,
  usage: { input_tokens: 1, output_tokens: 1 },
};

beforeEach(() => void vi.stubGlobal("fetch", async () => Response.json(PAUSED)));
afterEach(() => vi.unstubAllGlobals());

async function ask(path: string, body: object): Promise<{ rhone: { losses?: { at: string }[] } }> {
  const stateless = { context_mode: "stateless" };
  const response = await request(path, {
    method: "POST",
    headers: { "anthropic-version": "2023-06-01", "content-type": "application/json" },
    body: JSON.stringify({ model: "fakeanth/x", ...body, rhone: stateless }),
  });
  return await response.json();
}

const messages = [{ role: "user", content: "hello" }];

it("a pause is reported as a loss on a surface that has no word for it", async () => {
  const { rhone, ...chat } = await ask("/v1/chat/completions", { messages, max_tokens: 10 });
  expect(chat).toMatchObject({ choices: [{ finish_reason: "stop", message: { content: "I am looking." } }] });
  expect(rhone.losses?.map(({ at }) => at)).toEqual(["output.server_tool_use", "finish_reason"]);
});

it("a pause is passed on as it is on a surface that has a word for it", async () => {
  const { rhone, ...call } = await ask("/v1/calls", { input: "hello", max_output_tokens: 10 });
  expect(call).toMatchObject({ call: { finish_reason: "pause" } });
  expect(rhone.losses).toBeUndefined();
  expect(await ask("/v1/messages", { messages, max_tokens: 10 })).toMatchObject(PAUSED);
});
