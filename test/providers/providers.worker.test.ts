import { describe, expect, it } from "vitest";
import { ask, network, withNetwork } from "../support/worker/network.ts";
import { CHAT, GENERATED, MESSAGES } from "../support/worker/provider-answers.ts";

/** Every provider's exact request. */
withNetwork();

describe("an OpenAI-compatible host", () => {
  it.each([
    ["groq", { GROQ_API_KEY: "k" }, "https://api.groq.com/openai/v1/chat/completions"],
    ["mistral", { MISTRAL_API_KEY: "k" }, "https://api.mistral.ai/v1/chat/completions"],
    ["deepseek", { DEEPSEEK_API_KEY: "k" }, "https://api.deepseek.com/v1/chat/completions"],
    ["together", { TOGETHER_API_KEY: "k" }, "https://api.together.xyz/v1/chat/completions"],
    ["fireworks", { FIREWORKS_API_KEY: "k" }, "https://api.fireworks.ai/inference/v1/chat/completions"],
    ["openrouter", { OPENROUTER_API_KEY: "k" }, "https://openrouter.ai/api/v1/chat/completions"],
    ["xai", { XAI_API_KEY: "k" }, "https://api.x.ai/v1/chat/completions"],
    ["moonshot", { MOONSHOT_API_KEY: "k" }, "https://api.moonshot.ai/v1/chat/completions"],
    ["cerebras", { CEREBRAS_API_KEY: "k" }, "https://api.cerebras.ai/v1/chat/completions"],
    ["perplexity", { PERPLEXITY_API_KEY: "k" }, "https://api.perplexity.ai/chat/completions"],
    ["nvidia", { NVIDIA_API_KEY: "k" }, "https://integrate.api.nvidia.com/v1/chat/completions"],
    ["vllm", { VLLM_API_KEY: "k", VLLM_BASE_URL: "http://vllm.test/v1" }, "http://vllm.test/v1/chat/completions"],
    ["custom", { CUSTOM_API_KEY: "k", CUSTOM_BASE_URL: "http://own.test/v1" }, "http://own.test/v1/chat/completions"],
    [
      "workers-ai",
      { WORKERS_AI_API_KEY: "k", WORKERS_AI_ACCOUNT_ID: "acc" },
      "https://api.cloudflare.com/client/v4/accounts/acc/ai/v1/chat/completions",
    ],
  ])("the host %s is called as its row says", async (id, settings, url) => {
    network.answers = () => Response.json(CHAT);
    const body = { model: `${id}/some-model`, messages: MESSAGES };
    const { status, text } = await ask(settings, "/v1/chat/completions", body);
    expect([status, text]).toEqual([200, expect.stringContaining("Hello")]);
    expect(network.sent).toHaveLength(1);
    expect(network.sent[0]).toMatchObject({ url, headers: { authorization: "Bearer k" } });
    expect(JSON.parse(network.sent[0]!.body)).toEqual({ model: "some-model", messages: MESSAGES });
  });

  it("a host whose owner set no key is called without one", async () => {
    network.answers = () => Response.json(CHAT);
    const settings = { OLLAMA_BASE_URL: "http://127.0.0.1:11434/v1" };
    await ask(settings, "/v1/chat/completions", { model: "ollama/llama3", messages: MESSAGES });
    expect(network.sent[0]!.url).toBe("http://127.0.0.1:11434/v1/chat/completions");
    expect(network.sent[0]!.headers).not.toHaveProperty("authorization");
  });

  it("a host gets only what it accepts, and the caller gets the losses", async () => {
    network.answers = () => Response.json(CHAT);
    const body = { model: "mistral-large-latest", max_tokens: 5, messages: MESSAGES, metadata: { user_id: "u" } };
    const { headers, json } = await ask({ MISTRAL_API_KEY: "k" }, "/v1/messages", body, {
      "anthropic-version": "2023-06-01",
    });
    expect(JSON.parse(network.sent[0]!.body)).toEqual({
      model: "mistral-large-latest",
      max_tokens: 5,
      messages: MESSAGES,
    });
    expect(headers.get("x-rhone-loss")).toBe("1");
    expect(json).toMatchObject({ rhone: { losses: [{ at: "user", what: "dropped" }] } });
    const seeded = {
      contents: "Hi",
      generationConfig: { seed: 7, responseMimeType: "application/json", responseSchema: { type: "OBJECT" } },
    };
    await ask({ MISTRAL_API_KEY: "k" }, "/v1beta/models/mistral-large-latest:streamGenerateContent", seeded);
    const asked = JSON.parse(network.sent[1]!.body) as object;
    expect(asked).toMatchObject({ random_seed: 7, stream: true });
    expect(Object.keys(asked)).not.toEqual(expect.arrayContaining(["stream_options"]));
    await ask({ DEEPSEEK_API_KEY: "k" }, "/v1beta/models/deepseek-chat:generateContent", seeded);
    expect(JSON.parse(network.sent[2]!.body)).toMatchObject({ response_format: { type: "json_object" } });
  });
});

it("Azure is called below its resource, with its own header", async () => {
  network.answers = () => Response.json(CHAT);
  const settings = { AZURE_API_KEY: "k", AZURE_BASE_URL: "https://res.openai.azure.com" };
  const { json } = await ask(settings, "/v1/chat/completions", { model: "azure/my-gpt", messages: MESSAGES });
  expect(network.sent[0]!.url).toBe("https://res.openai.azure.com/openai/v1/chat/completions");
  expect(network.sent[0]!.headers).toMatchObject({ "api-key": "k" });
  expect(network.sent[0]!.headers).not.toHaveProperty("authorization");
  expect(json).toMatchObject({ rhone: { routing: { provider: "azure", model: "some-model" } } });
});

it("the key is sent in the query if the provider's row says so", async () => {
  network.answers = () => Response.json(GENERATED);
  const row = { id: "g", dialect: "gemini", base_url: "http://g.test/v1beta", api_key: "a&b", auth: "query" };
  const settings = { RHONE_PROVIDERS: JSON.stringify([row]) };
  await ask(settings, "/v1beta/models/g%2Fgemini-x:generateContent", { contents: "Hi" });
  expect(network.sent[0]!.url).toBe("http://g.test/v1beta/models/gemini-x:generateContent?key=a%26b");
});

it.each([
  ["/v1/chat/completions", { model: "Kimi-K2-Thinking", messages: MESSAGES }],
  ["/v1/responses", { model: "moonshotai/kimi-k2-thinking", input: "Hi" }],
  ["/v1/messages", { model: "kimi-k2-thinking", max_tokens: 5, messages: MESSAGES }],
  ["/v1beta/models/kimi-k2-thinking:generateContent", { contents: "Hi" }],
])("a Kimi is reached by its usual name through %s", async (path, body) => {
  network.answers = () => Response.json(CHAT);
  const { status } = await ask({ MOONSHOT_API_KEY: "k" }, path, body, { "anthropic-version": "2023-06-01" });
  expect(status).toBe(200);
  expect(network.sent[0]!.url).toBe("https://api.moonshot.ai/v1/chat/completions");
  expect(JSON.parse(network.sent[0]!.body)).toMatchObject({ model: "kimi-k2-thinking" });
});
