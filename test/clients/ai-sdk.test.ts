import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogle } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateObject, generateText, isStepCount, type LanguageModel, streamText, tool } from "ai";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { baseUrl, key } from "./gateway.ts";
import { shown, failureOf, FORMAT, IMAGE, PNG, PROVIDERS, readAll, WEATHER } from "./matrix.ts";

const settings = { apiKey: key, baseURL: `${baseUrl}/v1` };
const openai = createOpenAI(settings);
const anthropic = createAnthropic(settings);
const google = createGoogle({ ...settings, baseURL: `${baseUrl}/v1beta` });

const SURFACES: [surface: string, model: (name: string) => LanguageModel][] = [
  ["openai.chat", (name) => openai.chat(name)],
  ["openai.responses", (name) => openai.responses(name)],
  ["anthropic", (name) => anthropic(name)],
  // A slash is a path to this one; the gateway reads it as the name's own.
  ["google", (name) => google(`models/${name}`)],
];

const rounds = SURFACES.flatMap(([surface, model]) => PROVIDERS.map((provider) => ({ surface, provider, model })));
const stateless = { "x-rhone-context-mode": "stateless" };
const inSession = (id: string) => ({ "x-rhone-session-id": id });

type Prompt = Omit<Parameters<typeof generateText>[0], "prompt" | "messages"> & { prompt: string };

/** Both of the SDK's ways to a text; a stream tells its failure among its parts. */
async function both(options: Prompt): Promise<{ text: string; finishReason: string; reasoning: string }[]> {
  const whole = await generateText({ ...options, maxRetries: 0 });
  const stream = streamText({ ...options, maxRetries: 0, onError: () => {} });
  return [
    { text: whole.text, finishReason: whole.finishReason, reasoning: whole.reasoningText ?? "" },
    { text: await stream.text, finishReason: await stream.finishReason, reasoning: (await stream.reasoningText) ?? "" },
  ];
}

describe.each(rounds)("$surface to $provider", ({ surface, provider, model }) => {
  it("says a text and what it cost", async () => {
    const options = { model: model(`${provider}/say`), prompt: "hello", headers: stateless };
    expect(await both(options)).toMatchObject([
      { text: "Said say.", finishReason: "stop" },
      { text: "Said say.", finishReason: "stop" },
    ]);
    const { usage } = await generateText(options);
    expect(usage).toMatchObject({
      inputTokens: 12,
      inputTokenDetails: { cacheReadTokens: 4 },
      outputTokens: 5,
      totalTokens: 17,
    });
  });

  it("runs tools in parallel and goes on with their results", async () => {
    const getWeather = tool({
      description: WEATHER.description,
      inputSchema: z.object({ city: z.string() }),
      execute: ({ city }) => `fine in ${city}`,
    });
    const answers = await both({
      model: model(`${provider}/tools`),
      prompt: "hello",
      tools: { [WEATHER.name]: getWeather },
      stopWhen: isStepCount(3),
    });
    // Google's model of it wraps a result into an object.
    const text = expect.stringMatching(/^It is .*fine in Paris.* and .*fine in Rome.*\.$/) as string;
    expect(answers).toMatchObject([
      { text, finishReason: "stop" },
      { text, finishReason: "stop" },
    ]);
  });

  it("goes on after its own answer, in a session and without", async () => {
    const question = { role: "user" as const, content: "First question" };
    const first = await generateText({ model: model(`${provider}/say`), messages: [question] });
    const messages = [question, ...first.response.messages, { role: "user" as const, content: "Second question" }];
    const id = first.response.headers!["x-rhone-session-id"]!;
    for (const headers of [{}, inSession(id), stateless]) {
      const { text } = await generateText({ model: model(`${provider}/mirror`), messages, headers });
      const seen = text.match(/First question|Said say\.|Second question|item_reference/g);
      expect(seen).toEqual(["First question", "Said say.", "Second question"]);
    }
  });

  it("generates an object", async () => {
    const schema = z.object({ city: z.string(), degrees: z.number() });
    const { object } = await generateObject({ model: model(`${provider}/json`), prompt: "hello", schema });
    expect(object).toEqual({ city: "Paris", degrees: 21 });
    const asked = generateObject({ model: model(`${provider}/mirror`), prompt: "hello", schema, maxRetries: 0 });
    const { text } = (await failureOf(asked)) as { text: string };
    // Where the SDK does not know that a model takes a schema, it forces a tool that has it.
    if (surface === "anthropic") expect(text).toContain('"degrees"');
    else expect(shown(text)).toContainEqual(FORMAT[provider]);
  });

  it("reads the reasoning", async () => {
    const [whole, streamed] = await both({ model: model(`${provider}/think`), prompt: "hello" });
    expect([whole!.text, streamed!.text]).toEqual(["Said think.", "Said think."]);
    // OpenAI's Chat has no reasoning, and the SDK's model of it looks for none.
    const reasoning = surface === "openai.chat" ? "" : "Let me think.";
    expect([whole!.reasoning, streamed!.reasoning]).toEqual([reasoning, reasoning]);
  });

  it("shows images and the system's words", async () => {
    const { text } = await generateText({
      model: model(`${provider}/mirror`),
      system: "Be brief.",
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "file", data: PNG, mediaType: "image/png" },
          ],
        },
      ],
    });
    expect(shown(text)).toContainEqual(IMAGE[provider]);
    expect(text).toContain("Be brief.");
  });

  it.each([
    ["refuse", 400, "max_tokens is too large", false],
    ["limited", 429, "Slow down", true],
    ["broken", 500, "Internal trouble", true],
  ])("fails as the SDK's APICallError: %s", async (script, statusCode, message, isRetryable) => {
    const options = { model: model(`${provider}/${script}`), prompt: "hello", maxRetries: 0 };
    const whole = await failureOf(generateText(options));
    const errors: unknown[] = [];
    const stream = streamText({ ...options, onError: ({ error }) => void errors.push(error) });
    await readAll(stream.textStream).catch(() => {});
    for (const error of [whole, errors[0]]) {
      expect(APICallError.isInstance(error)).toBe(true);
      expect(error).toMatchObject({ statusCode, message, isRetryable });
    }
  });

  it.each(["cut", "failing"])("tells of a stream that breaks: %s", async (script) => {
    const errors: unknown[] = [];
    const stream = streamText({
      model: model(`${provider}/${script}`),
      prompt: "hello",
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    });
    const parts = await readAll(stream.fullStream);
    expect(errors).toHaveLength(1);
    expect(parts.flatMap((part) => (part.type === "finish" ? [part.finishReason] : []))).not.toContain("stop");
  });
});

describe.each(SURFACES)("%s to the demo", (_, model) => {
  it("remembers what was said before, whole and streamed", async () => {
    const first = await generateText({ model: model("demo"), prompt: "My name is Alice." });
    const headers = inSession(first.response.headers!["x-rhone-session-id"]!);
    const answers = await both({ model: model("demo"), prompt: "What's my name?", headers });
    expect(answers.map(({ text }) => text)).toEqual(["Your name is Alice.", "Your name is Alice."]);
  });
});
