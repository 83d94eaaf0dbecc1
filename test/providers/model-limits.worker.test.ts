import { describe, expect, it } from "vitest";
import { ask, network, withNetwork } from "../support/worker/network.ts";
import { CHAT, GENERATED, MESSAGE, MESSAGES, RESPONSE } from "../support/worker/provider-answers.ts";

/** What the catalogue knows of a model decides what a translated request may ask of it. */
withNetwork();

const answer = (request: Request): Response => {
  const [, body] = ANSWERS.find(([path]) => path.test(request.url))!;
  return Response.json(body);
};
const ANSWERS: [RegExp, object][] = [
  [/chat\/completions$/, CHAT],
  [/responses$/, RESPONSE],
  [/messages$/, MESSAGE],
  [/generateContent$/, GENERATED],
];

const KEYS = { OPENAI_API_KEY: "k", ANTHROPIC_API_KEY: "k", GEMINI_API_KEY: "k" };
const row = (id: string, dialect: string, more: object = {}): object => ({
  id,
  dialect,
  base_url: `http://${id}.test/v1`,
  api_key: "k",
  ...more,
});
const ROWS = [
  row("corp", "openai-chat"),
  row("house", "anthropic"),
  row("partly", "openai-chat", { models: [{ name: "gpt-5", context: 1_000 }] }),
  row("limited", "openai-chat", {
    models: [{ name: "m", max_output: 500, capabilities: ["tool_call"], fixed_sampling: true }],
  }),
];

type Sent = { body: Record<string, unknown>; losses: string[] };

async function send(path: string, body: object): Promise<Sent> {
  network.answers = answer;
  const settings = { ...KEYS, RHONE_PROVIDERS: JSON.stringify(ROWS) };
  const { status, text, json } = await ask(settings, path, body, { "anthropic-version": "2026-10-21" });
  expect([status, text]).toEqual([200, text]);
  const { rhone } = json as { rhone: { losses?: { at: string }[] } };
  return {
    body: JSON.parse(network.sent.at(-1)!.body) as Sent["body"],
    losses: (rhone.losses ?? []).map(({ at }) => at),
  };
}

const chat = (model: string, more: object = {}): Promise<Sent> =>
  send("/v1/chat/completions", { model, messages: MESSAGES, ...more });
const message = (model: string, more: object = {}): Promise<Sent> =>
  send("/v1/messages", { model, max_tokens: 1_000, messages: MESSAGES, ...more });

describe("the output limit", () => {
  it.each([
    ["anthropic/claude-sonnet-4-5", 64_000, []],
    ["anthropic/claude-opus-4-1", 32_000, []],
    // A host of its own has the models of the makers under their names.
    ["house/claude-haiku-4-5-20251001", 64_000, []],
    ["house/never-heard-of", 32_000, ["max_tokens"]],
    ["house/claude-3-haiku-19990101", 4_096, ["max_tokens"]],
  ])("without one, %s gets its own maximum, and an assumed one is reported", async (model, limit, losses) => {
    const sent = await chat(model);
    expect([sent.body.max_tokens, sent.losses]).toEqual([limit, losses]);
  });

  it.each(["openai/gpt-4o", "gemini/gemini-2.5-flash", "corp/never-heard-of"])(
    "without one, none is sent to %s, whose API requires none",
    async (model) => {
      const { body, losses } = await send("/v1/calls", { model, input: "Hi" });
      expect([JSON.stringify(body), losses]).toEqual([expect.not.stringMatching(/max_|maxOutput/), []]);
    },
  );

  it("a limit above the model's is lowered, and this is reported", async () => {
    const lowered = await chat("claude-opus-4-1", { max_completion_tokens: 200_000 });
    expect([lowered.body.max_tokens, lowered.losses]).toEqual([32_000, ["max_output_tokens"]]);
    const other = await message("openai/gpt-4o", { max_tokens: 64_000 });
    expect([other.body.max_output_tokens, other.losses]).toEqual([16_384, ["max_output_tokens"]]);
    const own = await message("limited/m", { max_tokens: 501 });
    expect([own.body.max_completion_tokens, own.losses]).toEqual([500, ["max_output_tokens"]]);
  });

  it.each(["corp/openai/gpt-oss-120b", "corp/kimi-k2.5", "corp/deepseek-v3.2", "corp/gemma-4-31b-it"])(
    "an open model has the limits of its host, which are not known: %s",
    async (model) => {
      const { body, losses } = await message(model, { max_tokens: 900_000, temperature: 0.2 });
      expect([body.max_completion_tokens, body.temperature, losses]).toEqual([900_000, 0.2, []]);
    },
  );

  it("on the model's own wire the caller's limit is sent, for its provider to judge", async () => {
    expect(await message("anthropic/claude-opus-4-1", { max_tokens: 200_000 })).toMatchObject({
      body: { max_tokens: 200_000 },
      losses: [],
    });
  });
});

describe("reasoning", () => {
  const thinking = { thinking: { type: "enabled", budget_tokens: 1_024 }, max_tokens: 4_096 };

  it.each(["openai/gpt-4o", "corp/gpt-4o", "gemini/gemini-2.5-flash-preview-tts", "limited/m"])(
    "reasoning is not requested of %s, which has none, and this is reported",
    async (model) => {
      const { body, losses } = await message(model, { ...thinking, max_tokens: 500 });
      expect(JSON.stringify(body)).not.toMatch(/reasoning|thinking/i);
      expect(losses).toContain("reasoning");
    },
  );

  it.each(["openai/gpt-5", "corp/o3", "gemini/gemini-2.5-pro", "corp/never-heard-of"])(
    "reasoning is requested of %s",
    async (model) => {
      const { body, losses } = await message(model, thinking);
      expect(JSON.stringify(body)).toMatch(/reasoning|thinking/i);
      expect(losses).toEqual([]);
    },
  );
});

it("a token count asks no reasoning of a model that has none", async () => {
  network.answers = () => Response.json({ object: "response.input_tokens", input_tokens: 3 });
  const body = { model: "openai/gpt-4o", messages: MESSAGES, thinking: { type: "enabled", budget_tokens: 1_024 } };
  const { status, json } = await ask(KEYS, "/v1/messages/count_tokens", body, { "anthropic-version": "2023-06-01" });
  expect([status, json]).toEqual([200, { input_tokens: 3 }]);
  expect(JSON.parse(network.sent.at(-1)!.body)).toEqual({ model: "gpt-4o", input: expect.anything() as unknown });
});

describe("parameters of sampling", () => {
  const sampling = { temperature: 0.2, top_p: 0.9 };

  it.each(["openai/gpt-5", "openai/o3", "corp/gpt-5.1", "partly/gpt-5", "limited/m"])(
    "%s, which refuses them, gets none, and this is reported",
    async (model) => {
      const { body, losses } = await message(model, { ...sampling, max_tokens: 100 });
      expect([body.temperature, body.top_p, losses]).toEqual([undefined, undefined, ["temperature", "top_p"]]);
    },
  );

  it.each(["claude-sonnet-5", "claude-opus-4-7", "claude-opus-4-8"])(
    "%s gets none, not even the defaults, which are no loss",
    async (model) => {
      const given = await chat(model, { ...sampling, top_p: undefined });
      expect([given.body.temperature, given.losses]).toEqual([undefined, ["temperature"]]);
      const defaults = await chat(model, { temperature: 1, top_p: 1 });
      expect([defaults.body.temperature, defaults.body.top_p, defaults.losses]).toEqual([undefined, undefined, []]);
    },
  );

  it.each(["openai/gpt-4o", "corp/never-heard-of", "gemini/gemini-3-flash-preview"])("%s gets them", async (model) => {
    const { body, losses } = await message(model, sampling);
    expect([JSON.stringify(body), losses]).toEqual([expect.stringMatching(/"temperature":0.2/), []]);
  });
});

describe("Anthropic's API version", () => {
  it("a version that a caller of another wire sends does not reach Anthropic", async () => {
    await chat("claude-sonnet-4-5", { temperature: 0.2 });
    expect(network.sent.at(-1)!.headers).toMatchObject({ "anthropic-version": "2023-06-01" });
    expect(JSON.parse(network.sent.at(-1)!.body)).toMatchObject({ temperature: 0.2 });
  });

  it.each(["2023-06-01", "2026-10-21"])(
    "a caller's version %s passes, with its key as a bearer token",
    async (version) => {
      network.answers = answer;
      const body = { model: "anthropic/claude-sonnet-4-5", max_tokens: 5, messages: MESSAGES };
      const { status } = await ask(KEYS, "/v1/messages", body, { "anthropic-version": version });
      expect([status, network.sent.at(-1)!.headers]).toMatchObject([
        200,
        { "anthropic-version": version, "x-api-key": "k" },
      ]);
      expect(JSON.parse(network.sent.at(-1)!.body)).toEqual({ ...body, model: "claude-sonnet-4-5" });
    },
  );
});
