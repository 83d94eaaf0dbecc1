import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogle } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, type LanguageModel, type ModelMessage, streamText, tool } from "ai";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { baseUrl, key } from "./gateway.ts";
import { PROVIDERS, type ProviderId } from "./matrix.ts";
import { CLIENTS, type Client, runLoop } from "./tool-clients.ts";

/**
 * Tool loops of official clients over providers that refuse what the real ones refuse (`test/fake/strict.ts`): two
 * questions, each with two rounds of three parallel calls (`test/fake/loop.ts`), results in another order than their calls.
 */
const LEGAL: Record<ProviderId, [string, string]> = {
  fakechat: ["7-day_forecast", "f".repeat(64)],
  fakeresp: ["7-day_forecast", "f".repeat(64)],
  fakeanth: ["7-day_forecast", "f".repeat(128)],
  fakegem: ["mcp.weather:forecast", "f".repeat(64)],
};
/** Names that no wire takes all of. */
const ODD: [string, string] = ["mcp.weather:7-day", `mcp__${"f".repeat(100)}`];
/** In a provider's own dialect its rules for names are the client's to keep. */
const namesFor = ({ own }: Pick<Client, "own">, models: readonly string[]): [string, string] =>
  models.some((model) => model.startsWith(`${own}/`)) ? LEGAL[own] : ODD;

/**
 * In a stateless call to the client's own dialect, what is inside the messages is the provider's to judge, also the ids
 * and seals of other providers.
 */
const toModels = ({ own }: Client, mode: string, providers: readonly string[], script: string): string[] =>
  providers.filter((provider) => mode !== "stateless" || provider !== own).map((provider) => `${provider}/${script}`);

/** The provider of the first question; with RHONE_TEST_ALL=1, as `npm run check:all` sets it, each in turn. */
const STARTS = process.env.RHONE_TEST_ALL === "1" ? [...PROVIDERS.keys()] : [1];

const DONE = ["All 6 results are at their calls.", "All 12 results are at their calls."];

const rounds = CLIENTS.flatMap((client) =>
  PROVIDERS.flatMap((provider) => client.modes.map((mode) => ({ client: client.name, provider, mode, run: client }))),
);

describe.each(rounds)("$client to $provider, $mode", ({ provider, mode, run: client }) => {
  it.each([
    ["whole", false],
    ["streamed", true],
  ])("a tool loop runs to its end: %s", async (_, stream) => {
    const models = [`${provider}/loop`];
    expect(await runLoop(client, { models, names: namesFor(client, models), mode, stream })).toEqual(DONE);
  });
});

describe.each(CLIENTS.map((client) => ({ client: client.name, run: client })))("$client", ({ run: client }) => {
  it.each(client.modes.flatMap((mode) => [false, true].map((stream) => ({ mode, stream }))))(
    "a tool loop goes from provider to provider in its middle: $mode, streamed: $stream",
    async ({ mode, stream }) => {
      for (const start of STARTS) {
        const providers = [...PROVIDERS.slice(start), ...PROVIDERS.slice(0, start)];
        const models = toModels(client, mode, providers, "loop");
        expect(await runLoop(client, { models, names: LEGAL[client.own], mode, stream })).toEqual(DONE);
      }
    },
  );

  it.each([
    ["fakechat", "repeat"],
    ["fakechat", "dots"],
    ["fakeanth", "long"],
  ])("a tool loop takes the ids of any host to all others: those of %s that are %s", async (host, ids) => {
    for (const mode of client.modes) {
      const [first] = toModels(client, mode, [host], `loop-${ids}`);
      const others = PROVIDERS.filter((provider) => provider !== host);
      const models = [first ?? "fakeresp/loop", ...toModels(client, mode, others, "loop")];
      for (const stream of [false, true])
        expect(await runLoop(client, { models, names: LEGAL[client.own], mode, stream })).toEqual(DONE);
    }
  });
});

const settings = { apiKey: key, baseURL: `${baseUrl}/v1` };
const openai = createOpenAI(settings);
const AI_SDK: [surface: string, own: ProviderId, model: (name: string) => LanguageModel][] = [
  ["openai.chat", "fakechat", (name) => openai.chat(name)],
  ["openai.responses", "fakeresp", (name) => openai.responses(name)],
  ["anthropic", "fakeanth", createAnthropic(settings)],
  ["google", "fakegem", (name) => createGoogle({ ...settings, baseURL: `${baseUrl}/v1beta` })(`models/${name}`)],
];

const aiRounds = AI_SDK.flatMap(([surface, own, model]) =>
  PROVIDERS.flatMap((provider) =>
    (["alone", "in a session", "stateless"] as const).map((mode) => ({ surface, own, provider, mode, model })),
  ),
);

describe.each(aiRounds)("AI SDK $surface to $provider, $mode", ({ own, provider, mode, model }) => {
  it.each([
    ["whole", false],
    ["streamed", true],
  ])("a tool loop of the AI SDK runs to its end: %s", async (_, stream) => {
    const [first, second] = namesFor({ own }, [`${provider}/loop`]);
    const look = tool({
      description: "Looks at a city",
      inputSchema: z.object({ city: z.string() }),
      execute: ({ city }) => `fine in ${city}`,
    });
    const isCustom = own === "fakeresp";
    const custom = openai.tools.customTool({ description: "Looks", execute: (input) => `fine in ${input}` });
    const tools = { [first]: look, [second]: isCustom ? custom : look };
    const messages: ModelMessage[] = [];
    let headers: Record<string, string> = mode === "stateless" ? { "x-rhone-context-mode": "stateless" } : {};
    const texts: string[] = [];
    for (const content of ["First question", "Second question"]) {
      messages.push({ role: "user", content });
      const options = {
        model: model(`${provider}/loop`),
        messages,
        tools,
        headers,
        stopWhen: isStepCount(4),
        maxRetries: 0,
      };
      const answer = stream ? streamText({ ...options, onError: () => {} }) : await generateText(options);
      const { headers: answered } = await answer.response;
      messages.push(...(await answer.responseMessages));
      if (mode === "in a session") headers = { "x-rhone-session-id": answered!["x-rhone-session-id"]! };
      texts.push(await answer.text);
    }
    expect(texts).toEqual(DONE);
  });
});
