import type { Provider } from "./provider.ts";

/** A row of the table; its id is the key. */
type BuiltinProvider = Omit<Provider, "id">;

/**
 * A provider that speaks OpenAI Chat and takes a bearer token. Hosts of other makers' models have functions only: DeepSeek
 * and Groq document no other type of a client's tool, Mistral's schema has none, xAI refuses `custom` and `namespace` with
 * 422 over both wires, and the servers vLLM, SGLang and Ollama refuse a tool without `function` with 400.
 */
const chatProvider = (baseUrl: string | undefined, more: Partial<BuiltinProvider> = {}): BuiltinProvider => ({
  dialects: ["openai-chat"],
  auth: "bearer",
  ...(baseUrl !== undefined && { baseUrl }),
  ...more,
  quirks: { lacksCustomTools: true, ...more.quirks },
});

/** Members of OpenAI Chat that Mistral's schema does not have: it refuses unknown members with 422 `extra_forbidden`. */
const MISTRAL_UNSUPPORTED = ["stream_options", "user", "service_tier", "logprobs", "top_logprobs"];
/** Quirks of most Chat hosts: OpenAI's older name for the output limit, and token counts of a stream only on request. */
const COMMON_CHAT = { quirks: { outputLimit: "max_tokens", streamUsage: true } } as const;

/**
 * The built-in providers. Makers of models come before hosts of other makers' models: a model name that several providers
 * serve is sent to the first one that is configured. Base URLs are from the providers' documentation as of 2026-11.
 */
export const BUILTIN_PROVIDERS: Record<string, BuiltinProvider> = {
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
    quirks: { developerRole: true, sharedMembers: true, streamUsage: true },
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
  mistral: chatProvider("https://api.mistral.ai/v1", {
    maker: "mistralai",
    serves: /^(mistral-|codestral|magistral-|ministral-|pixtral-|devstral-|voxtral-|open-mi)/,
    quirks: { outputLimit: "max_tokens", toolId: /^[A-Za-z0-9]{9}$/, seed: "random_seed", lacks: MISTRAL_UNSUPPORTED },
    pricedAs: "mistral",
  }),
  deepseek: chatProvider("https://api.deepseek.com/v1", {
    maker: "deepseek",
    serves: /^deepseek-/,
    quirks: { ...COMMON_CHAT.quirks, lacksSchema: true },
    pricedAs: "deepseek",
  }),
  xai: chatProvider("https://api.x.ai/v1", {
    dialects: ["openai-chat", "openai-responses"],
    maker: "x-ai",
    quirks: { streamUsage: true },
    serves: /^grok-/,
    pricedAs: "x-ai",
  }),
  moonshot: chatProvider("https://api.moonshot.ai/v1", {
    maker: "moonshotai",
    serves: /^(kimi-|moonshot-)/,
    ...COMMON_CHAT,
    pricedAs: "moonshotai",
  }),
  perplexity: chatProvider("https://api.perplexity.ai", {
    maker: "perplexity",
    serves: /^sonar/,
    ...COMMON_CHAT,
    pricedAs: "perplexity",
  }),
  // The base URL is derived from VERTEX_PROJECT and VERTEX_LOCATION; the model's name decides on the dialect.
  vertex: {
    dialects: ["gemini"],
    byModel: [[/^claude-/, "anthropic"]],
    auth: "google",
    cloud: "vertex",
    serves: /^(gemini-|claude-)/,
    pricedAs: "google",
  },
  // Models are the deployments of an Azure resource, under names chosen by its owner. The resource: AZURE_BASE_URL.
  azure: {
    dialects: ["openai-responses", "openai-chat"],
    auth: "api-key",
    serves: /^(gpt-(?!oss)|o\d)/,
    quirks: { developerRole: true, sharedMembers: true, streamUsage: true },
    sealsBy: "provider",
    pricedAs: "azure",
  },
  bedrock: {
    dialects: ["anthropic"],
    auth: "aws",
    cloud: "bedrock",
    serves: /^((global|us|eu|apac|jp|au)\.)?anthropic\.claude-/,
    pricedAs: "aws",
    pricedByRequestedName: true,
  },
  "workers-ai": chatProvider(undefined, { serves: /^@(cf|hf)\//, ...COMMON_CHAT, pricedAs: "cloudflare" }),
  groq: chatProvider("https://api.groq.com/openai/v1", {
    quirks: { reasoning: "reasoning", streamUsage: true },
    pricedAs: "groq",
  }),
  cerebras: chatProvider("https://api.cerebras.ai/v1", { quirks: { streamUsage: true }, pricedAs: "cerebras" }),
  fireworks: chatProvider("https://api.fireworks.ai/inference/v1", { ...COMMON_CHAT, pricedAs: "fireworks" }),
  together: chatProvider("https://api.together.xyz/v1", { ...COMMON_CHAT, pricedAs: "together" }),
  nvidia: chatProvider("https://integrate.api.nvidia.com/v1", COMMON_CHAT),
  openrouter: chatProvider("https://openrouter.ai/api/v1", {
    dialects: ["openai-chat", "openai-responses", "anthropic"],
    // OpenAI's models have custom tools here, too.
    quirks: { ...COMMON_CHAT.quirks, reasoning: "reasoning", lacksCustomTools: false },
    pricedAs: "openrouter",
  }),
  // Self-hosted servers without a default address: OLLAMA_BASE_URL, VLLM_BASE_URL, CUSTOM_BASE_URL.
  ollama: chatProvider(undefined, { auth: "none", quirks: { ...COMMON_CHAT.quirks, reasoning: "reasoning" } }),
  vllm: chatProvider(undefined, { auth: "none", ...COMMON_CHAT }),
  custom: chatProvider(undefined, { auth: "none", quirks: { ...COMMON_CHAT.quirks, lacksCustomTools: false } }),
};
