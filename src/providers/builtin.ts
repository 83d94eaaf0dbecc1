import type { Provider } from "./provider.ts";

type Row = Omit<Provider, "id">;

const chat = (baseUrl: string | undefined, more: Partial<Row> = {}): Row => ({
  dialects: ["openai-chat"],
  auth: "bearer",
  ...(baseUrl !== undefined && { baseUrl }),
  ...more,
});

/** Mistral refuses members that its published schema has not: 422 `extra_forbidden`. */
const MISTRAL_LACKS = ["stream_options", "user", "service_tier", "logprobs", "top_logprobs"];
/** Most hosts: OpenAI's older word for the limit, and the token counts of a stream when asked for them. */
const USUAL = { quirks: { outputLimit: "max_tokens", streamUsage: true } } as const;

/**
 * The shipped rows, the makers' own before the hosts of others' models: a name that several know goes to the first that
 * is configured. Base URLs are those of the providers' own documentation, 2026-11.
 */
export const BUILTIN_PROVIDERS: Record<string, Row> = {
  demo: {
    dialects: ["openai-chat"],
    auth: "none",
    serves: /^demo$/,
    prices: new Map([["*", { input: 0, output: 0 }]]),
  },
  openai: {
    dialects: ["openai-responses", "openai-chat"],
    baseUrl: "https://api.openai.com/v1",
    auth: "bearer",
    maker: "openai",
    serves: /^(gpt-(?!oss)|o\d|chatgpt-|codex-|computer-use-|text-embedding-|dall-e|tts-|whisper-1|omni-moderation)/,
    quirks: { developerRole: true, streamUsage: true },
    sealsBy: "provider",
    pricedAs: "openai",
  },
  anthropic: {
    dialects: ["anthropic"],
    baseUrl: "https://api.anthropic.com/v1",
    auth: "x-api-key",
    maker: "anthropic",
    serves: /^claude-/,
    pricedAs: "anthropic",
  },
  gemini: {
    dialects: ["gemini"],
    baseUrl: "https://generativelanguage.googleapis.com/v1beta",
    auth: "x-goog-api-key",
    maker: "google",
    serves: /^(gemini-|gemma-|imagen-|veo-|text-embedding-00|embedding-)/,
    pricedAs: "google",
  },
  mistral: chat("https://api.mistral.ai/v1", {
    maker: "mistralai",
    serves: /^(mistral-|codestral|magistral-|ministral-|pixtral-|devstral-|voxtral-|open-mi)/,
    quirks: { outputLimit: "max_tokens", toolId: /^[A-Za-z0-9]{9}$/, seed: "random_seed", lacks: MISTRAL_LACKS },
    pricedAs: "mistral",
  }),
  deepseek: chat("https://api.deepseek.com/v1", {
    maker: "deepseek",
    serves: /^deepseek-/,
    quirks: { ...USUAL.quirks, lacksSchema: true },
    pricedAs: "deepseek",
  }),
  xai: chat("https://api.x.ai/v1", {
    dialects: ["openai-chat", "openai-responses"],
    maker: "x-ai",
    quirks: { streamUsage: true },
    serves: /^grok-/,
    pricedAs: "x-ai",
  }),
  moonshot: chat("https://api.moonshot.ai/v1", {
    maker: "moonshotai",
    serves: /^(kimi-|moonshot-)/,
    ...USUAL,
    pricedAs: "moonshotai",
  }),
  perplexity: chat("https://api.perplexity.ai", {
    maker: "perplexity",
    serves: /^sonar/,
    ...USUAL,
    pricedAs: "perplexity",
  }),
  // VERTEX_PROJECT and VERTEX_LOCATION make its base URL; the model's name chooses the wire.
  vertex: {
    dialects: ["gemini"],
    byModel: [[/^claude-/, "anthropic"]],
    auth: "google",
    host: "vertex",
    serves: /^(gemini-|claude-)/,
    pricedAs: "google",
  },
  // Its models are the deployments of a resource, by the names that their owner gave them: AZURE_BASE_URL.
  azure: {
    dialects: ["openai-responses", "openai-chat"],
    auth: "api-key",
    serves: /^(gpt-(?!oss)|o\d)/,
    quirks: { developerRole: true, streamUsage: true },
    sealsBy: "provider",
    pricedAs: "azure",
  },
  bedrock: {
    dialects: ["anthropic"],
    auth: "aws",
    host: "bedrock",
    serves: /^((global|us|eu|apac|jp|au)\.)?anthropic\.claude-/,
    pricedAs: "aws",
    pricedAsAsked: true,
  },
  "workers-ai": chat(undefined, { serves: /^@(cf|hf)\//, ...USUAL, pricedAs: "cloudflare" }),
  groq: chat("https://api.groq.com/openai/v1", {
    quirks: { reasoning: "reasoning", streamUsage: true },
    pricedAs: "groq",
  }),
  cerebras: chat("https://api.cerebras.ai/v1", { quirks: { streamUsage: true }, pricedAs: "cerebras" }),
  fireworks: chat("https://api.fireworks.ai/inference/v1", { ...USUAL, pricedAs: "fireworks" }),
  together: chat("https://api.together.xyz/v1", { ...USUAL, pricedAs: "together" }),
  nvidia: chat("https://integrate.api.nvidia.com/v1", USUAL),
  openrouter: chat("https://openrouter.ai/api/v1", {
    dialects: ["openai-chat", "openai-responses", "anthropic"],
    quirks: { ...USUAL.quirks, reasoning: "reasoning" },
    pricedAs: "openrouter",
  }),
  // Where these three run only their owner knows: OLLAMA_BASE_URL, VLLM_BASE_URL, CUSTOM_BASE_URL.
  ollama: chat(undefined, { auth: "none", quirks: { ...USUAL.quirks, reasoning: "reasoning" } }),
  vllm: chat(undefined, { auth: "none", ...USUAL }),
  custom: chat(undefined, { auth: "none", ...USUAL }),
};
