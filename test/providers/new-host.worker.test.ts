import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { handle } from "../../src/http/app.ts";
import { KEY } from "../support/worker/client.ts";

/**
 * A host without a built-in row, added as docs/providers.md describes: a row in the settings, and a fixture with a
 * recorded answer (`test/fixtures/openai-chat/deepseek-reasoning-stream`), without any code.
 */
const ROW = {
  id: "acme",
  dialect: "openai-chat",
  base_url: "http://fake.test/v1",
  api_key: "acme-key",
  quirks: { outputLimit: "max_tokens", lacks: ["seed", "parallel_tool_calls"], lacksSchema: true },
};
const RECORDED = "acme/fixture-deepseek-reasoning-stream";

async function ask(path: string, body: object): Promise<{ status: number; text: string; headers: Headers }> {
  const ctx = createExecutionContext();
  const request = new Request(`https://gateway.test${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "anthropic-version": "2023-06-01", "content-type": "application/json" },
    body: JSON.stringify({ ...body, rhone: { context_mode: "stateless" } }),
  });
  const response = await handle(request, { ...env, RHONE_PROVIDERS: JSON.stringify([ROW]) }, ctx);
  const text = await response.text();
  await waitOnExecutionContext(ctx);
  return { status: response.status, text, headers: response.headers };
}

const messages = [{ role: "user", content: "hello" }];
const SURFACES: [surface: string, path: string, body: object, says: { thinking: string; end: string }][] = [
  [
    "chat",
    "/v1/chat/completions",
    { model: RECORDED, messages, stream: true },
    { thinking: "reasoning_content", end: "[DONE]" },
  ],
  [
    "messages",
    "/v1/messages",
    { model: RECORDED, messages, max_tokens: 100, stream: true },
    { thinking: "thinking_delta", end: "message_stop" },
  ],
  [
    "responses",
    "/v1/responses",
    { model: RECORDED, input: "hello", stream: true },
    { thinking: "response.reasoning_summary_text.delta", end: "response.incomplete" },
  ],
  [
    "gemini",
    `/v1beta/models/${RECORDED}:streamGenerateContent?alt=sse`,
    { contents: [{ role: "user", parts: [{ text: "hello" }] }] },
    { thinking: '"thought":true', end: "finishReason" },
  ],
  [
    "native",
    "/v1/calls",
    { model: RECORDED, input: "hello", stream: true },
    { thinking: "thinking.delta", end: "call.completed" },
  ],
];

describe("a new host of a row and a fixture", () => {
  it.each(SURFACES)(
    "a new host's recorded stream is sent on the surface %s",
    async (_, path, body, { thinking, end }) => {
      const { status, text, headers } = await ask(path, body);
      expect(status, text).toBe(200);
      expect(headers.get("x-rhone-provider")).toBe("acme");
      expect(text).toContain(thinking);
      expect(text.slice(text.lastIndexOf("data:") - 40)).toContain(end);
    },
  );

  it("a new host gets a request in the form that its row requires", async () => {
    const format = { type: "json_schema", name: "answer", schema: { type: "object" } };
    const said = { model: "acme/mirror", input: "hello", max_output_tokens: 50, seed: 7, format };
    const { text } = await ask("/v1/calls", said);
    const { output, rhone } = JSON.parse(text) as { output: { text: string }[]; rhone: { losses: { at: string }[] } };
    expect(JSON.parse(output[0]!.text)).toEqual({
      model: "mirror",
      messages,
      response_format: { type: "json_object" },
      max_tokens: 50,
    });
    expect(rhone.losses.map(({ at }) => at)).toEqual(["response_format", "seed"]);
  });
});
