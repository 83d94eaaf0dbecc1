import { describe, expect, it } from "vitest";
import { ask, network, withNetwork } from "../support/worker/network.ts";
import { CHAT, MESSAGES } from "../support/worker/provider-answers.ts";

withNetwork();

describe("the cost of a call", () => {
  const settings = {
    OPENAI_API_KEY: "k",
    OPENAI_BASE_URL: "http://openai.test/v1",
    VLLM_BASE_URL: "http://vllm.test/v1",
    RHONE_PRICES: '{"vllm/tuned": {"input": 1, "output": 10}}',
  };
  const gpt = { ...CHAT, model: "gpt-4o-2024-08-06" };

  it("the cost of a call is in the answer and in its stream", async () => {
    network.answers = (_, body) => {
      if (!body.includes('"stream":true')) return Response.json(gpt);
      const { choices: _choices, usage, ...head } = gpt;
      const events = [
        { ...head, choices: [{ index: 0, delta: { role: "assistant", content: "Hello" }, finish_reason: null }] },
        { ...head, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
        { ...head, choices: [], usage },
      ];
      const text = `${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")}data: [DONE]\n\n`;
      return new Response(text, { headers: { "content-type": "text/event-stream" } });
    };
    const body = { model: "gpt-4o", messages: MESSAGES };
    // 100 × 2.50 + 20 × 10 micro-dollars
    expect((await ask(settings, "/v1/chat/completions", body)).json).toMatchObject({ rhone: { cost_micros_usd: 450 } });
    const row = { id: "openai", dialect: "openai-chat", base_url: "http://openai.test/v1", api_key: "k" };
    const onChat = { ...settings, RHONE_PROVIDERS: JSON.stringify([row]) };
    const streamed = await ask(
      onChat,
      "/v1/messages",
      { ...body, max_tokens: 5, stream: true },
      { "anthropic-version": "2023-06-01" },
    );
    expect(streamed.text).toContain('"cost_micros_usd":450');
  });

  it("the cost of a call is by the deployment's own price, or absent", async () => {
    network.answers = () => Response.json({ ...CHAT, model: "other" });
    const cost = async (model: string): Promise<unknown> => {
      const { json } = await ask(settings, "/v1/chat/completions", { model, messages: MESSAGES });
      return (json as { rhone: { cost_micros_usd?: number } }).rhone.cost_micros_usd;
    };
    expect(await cost("vllm/tuned")).toBe(300);
    expect(await cost("vllm/unknown")).toBeUndefined();
    expect(await cost("demo")).toBe(0);
  });
});
