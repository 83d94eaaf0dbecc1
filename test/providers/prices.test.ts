import { expect, it } from "vitest";
import type { Dialect } from "../../src/canonical/types.ts";
import { computeCostMicros } from "../../src/canonical/usage.ts";
import { decodeUsage as anthropic } from "../../src/dialects/anthropic/usage.ts";
import { decodeUsage as gemini } from "../../src/dialects/gemini/usage.ts";
import { decodeUsage as openaiChat } from "../../src/dialects/openai-chat/usage.ts";
import { decodeUsage as openaiResponses } from "../../src/dialects/openai-responses/usage.ts";
import { loadPrices } from "../../src/providers/prices.ts";
import { readProviders } from "../../src/providers/registry.ts";
import type { JsonObject } from "../../src/wire/json.ts";

const DECODE = { "openai-chat": openaiChat, "openai-responses": openaiResponses, anthropic, gemini, native: undefined };

/** What a provider counted (its own recorded words) and what it owes us to pay, by its price list of that day. */
type Invoice = { bill: string; provider: string; model: string; dialect: Dialect; usage: JsonObject; micros: number };

const INVOICES: Invoice[] = [
  {
    // 79 × 2.50 + 3584 × 1.25 + 117 × 10 = 197.5 + 4480 + 1170 = 5847.5
    bill: "OpenAI Chat, most of the prompt cached",
    provider: "openai",
    model: "gpt-4o-2024-08-06",
    dialect: "openai-chat",
    usage: {
      prompt_tokens: 3663,
      completion_tokens: 117,
      total_tokens: 3780,
      prompt_tokens_details: { cached_tokens: 3584, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
    },
    micros: 5848,
  },
  {
    // (9299 − 8448) × 1.25 + 8448 × 0.125 + 577 × 10 = 1063.75 + 1056 + 5770 = 7889.75; the reasoning is in the 577
    bill: "OpenAI Responses, cached, with reasoning",
    provider: "openai",
    model: "gpt-5-2025-08-07",
    dialect: "openai-responses",
    usage: {
      input_tokens: 9299,
      input_tokens_details: { cached_tokens: 8448 },
      output_tokens: 577,
      output_tokens_details: { reasoning_tokens: 512 },
      total_tokens: 9876,
    },
    micros: 7890,
  },
  {
    // 17 × 3 + 24164 × 3.75 + 16392 × 0.30 + 594 × 15 = 51 + 90615 + 4917.6 + 8910 = 104493.6; 2 searches × 10000
    bill: "Anthropic, cache read and written for 5 minutes, two searches",
    provider: "anthropic",
    model: "claude-sonnet-4-20250514",
    dialect: "anthropic",
    usage: {
      input_tokens: 17,
      cache_creation_input_tokens: 24_164,
      cache_read_input_tokens: 16_392,
      cache_creation: { ephemeral_5m_input_tokens: 2474, ephemeral_1h_input_tokens: 0 },
      output_tokens: 594,
      server_tool_use: { web_search_requests: 2 },
    },
    micros: 124_494,
  },
  {
    // 28 × 3 + 1425 × 6 + 13 × 15 = 84 + 8550 + 195 = 8829
    bill: "Anthropic, cache written for an hour",
    provider: "anthropic",
    model: "claude-sonnet-4-6",
    dialect: "anthropic",
    usage: {
      cache_creation: { ephemeral_1h_input_tokens: 1425, ephemeral_5m_input_tokens: 0 },
      cache_creation_input_tokens: 1425,
      cache_read_input_tokens: 0,
      input_tokens: 28,
      output_tokens: 13,
      output_tokens_details: { thinking_tokens: 7 },
    },
    micros: 8829,
  },
  {
    // (3520 − 3512) × 0.30 + 3512 × 0.03 + (2 + 42) × 2.50 = 2.4 + 105.36 + 110 = 217.76
    bill: "Gemini, cached, with thoughts beside the candidates",
    provider: "gemini",
    model: "gemini-2.5-flash",
    dialect: "gemini",
    usage: {
      cacheTokensDetails: [{ modality: "TEXT", tokenCount: 3512 }],
      cachedContentTokenCount: 3512,
      candidatesTokenCount: 2,
      promptTokenCount: 3520,
      promptTokensDetails: [{ modality: "TEXT", tokenCount: 3520 }],
      thoughtsTokenCount: 42,
      totalTokenCount: 3564,
    },
    micros: 218,
  },
  {
    // 113 heard × 1.00 + 191 × 0.50 + (32 + 165) × 3 = 113 + 95.5 + 591 = 799.5
    bill: "Gemini, audio in the prompt",
    provider: "gemini",
    model: "gemini-3-flash-preview",
    dialect: "gemini",
    usage: {
      candidatesTokenCount: 32,
      promptTokenCount: 304,
      promptTokensDetails: [
        { modality: "AUDIO", tokenCount: 113 },
        { modality: "TEXT", tokenCount: 191 },
      ],
      thoughtsTokenCount: 165,
      totalTokenCount: 501,
    },
    micros: 800,
  },
  {
    // a prompt above 200 000 tokens: all at 2.50 and 15; 250000 × 2.50 + 1000 × 15 = 625000 + 15000
    bill: "Gemini, a long prompt at the dearer rate",
    provider: "gemini",
    model: "gemini-2.5-pro",
    dialect: "gemini",
    usage: { promptTokenCount: 250_000, candidatesTokenCount: 1000, totalTokenCount: 251_000 },
    micros: 640_000,
  },
  {
    // 51 missed × 0.22 + 512 hit × 0.007 + 116 × 0.66 = 11.22 + 3.584 + 76.56 = 91.364
    bill: "DeepSeek, hit and miss",
    provider: "deepseek",
    model: "deepseek-v4-flash",
    dialect: "openai-chat",
    usage: {
      completion_tokens: 116,
      completion_tokens_details: { reasoning_tokens: 60 },
      prompt_cache_hit_tokens: 512,
      prompt_cache_miss_tokens: 51,
      prompt_tokens: 563,
      prompt_tokens_details: { cached_tokens: 512 },
      total_tokens: 679,
    },
    micros: 92,
  },
  {
    // 10 × 0.30 + 2 × 0.075 + (1 + 228) × 0.50 = 3 + 0.15 + 114.5 = 117.65: xAI's own 1176500 ticks of 1e-10 dollars
    bill: "xAI, reasoning apart from the completion",
    provider: "xai",
    model: "grok-3-mini",
    dialect: "openai-chat",
    usage: {
      prompt_tokens: 12,
      completion_tokens: 1,
      total_tokens: 241,
      prompt_tokens_details: { text_tokens: 12, audio_tokens: 0, image_tokens: 0, cached_tokens: 2 },
      completion_tokens_details: { reasoning_tokens: 228, audio_tokens: 0 },
      cost_in_usd_ticks: 1_176_500,
    },
    micros: 118,
  },
  {
    // 14 a thousand calls: 14000 for this one; 100 × 3 + 200 × 15 = 3300
    bill: "Perplexity, a price for the call itself",
    provider: "perplexity",
    model: "sonar-pro",
    dialect: "openai-chat",
    usage: { prompt_tokens: 100, completion_tokens: 200, total_tokens: 300 },
    micros: 17_300,
  },
];

const rows = readProviders({}).rows;
const day = new Date("2026-11-20T12:00:00Z");

it.each(INVOICES)(
  "the cost of a call is what the provider bills: $bill",
  async ({ provider, model, dialect, usage, micros }) => {
    const prices = await loadPrices(rows.get(provider)!);
    expect(computeCostMicros(DECODE[dialect]!(usage), prices([model], day))).toBe(micros);
  },
);

it("an unknown price is absent, and not 0", async () => {
  const usage = { fresh: 1, output: 1 };
  for (const [id, model] of [
    ["openai", "no-such-model"],
    ["nvidia", "gpt-4o"],
    ["vllm", "gpt-4o"],
  ] as const) {
    const prices = await loadPrices(rows.get(id)!);
    expect([id, computeCostMicros(usage, prices([model], day))]).toEqual([id, undefined]);
  }
  const prices = await loadPrices(rows.get("openai")!);
  expect(computeCostMicros({ fresh: 1 }, prices(["gpt-4o"], day))).toBeUndefined();
});

it("a call of the demo costs nothing", async () => {
  const prices = await loadPrices(rows.get("demo")!);
  expect(computeCostMicros({ fresh: 5, output: 5 }, prices(["demo"], day))).toBe(0);
});

it("the price of what answered precedes that of the requested model, and the deployment's own precedes both", async () => {
  const answered = ["gpt-4o-mini-2024-07-18", "my-deployment"];
  const azure = await loadPrices(rows.get("azure")!);
  expect(azure(answered, day)).toMatchObject({ input: 150_000, output: 600_000 });
  const { rows: own, problems } = readProviders({
    RHONE_PRICES: JSON.stringify({
      "azure/My-Deployment": { input: 1, output: 2.5, cache_read: 0.1, cache_write: 1.25 },
      "vllm/*": { input: 0.01, output: 0.02 },
      "nobody/x": { input: 1, output: 1 },
      "openai/x": { input: -1, output: 1 },
    }),
  });
  expect(problems.map((problem) => problem.split(":")[0])).toEqual([
    'RHONE_PRICES["nobody/x"]',
    'RHONE_PRICES["openai/x"].input',
  ]);
  const named = await loadPrices(own.get("azure")!);
  expect(named(answered, day)).toEqual({ input: 1e6, output: 2.5e6, cacheRead: 1e5, cacheWrite: 1.25e6 });
  const served = await loadPrices(own.get("vllm")!);
  expect(computeCostMicros({ fresh: 100, output: 100 }, served(["anything"], day))).toBe(3);
});
