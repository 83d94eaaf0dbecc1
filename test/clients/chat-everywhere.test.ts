import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import type { ChatCompletion, ChatCompletionContentPart } from "openai/resources/chat/completions";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { baseUrl, key } from "./gateway.ts";
import { failureOf, FORMAT, IMAGE, PNG, PROVIDERS, SEALED, shown, WEATHER } from "./matrix.ts";

/** The Chat surface in front of every other wire; the rest of it is in openai.test.ts. */
const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });
const { completions } = client.chat;

const asking = (model: string, content: string | ChatCompletionContentPart[] = "hello") => ({
  model,
  messages: [{ role: "user" as const, content }],
});
const inSession = (id: string) => ({ headers: { "x-rhone-session-id": id } });

type Body = Omit<OpenAI.ChatCompletionCreateParamsNonStreaming, "stream">;
type Ask = (body: Body, options?: OpenAI.RequestOptions) => Promise<{ answer: ChatCompletion; session: string }>;

const MODES: [mode: string, ask: Ask][] = [
  [
    "whole",
    async (body, options) => {
      const { data, response } = await completions.create(body, options).withResponse();
      return { answer: data, session: response.headers.get("x-rhone-session-id")! };
    },
  ],
  [
    "streamed",
    async (body, options) => {
      const stream = completions.stream({ ...body, stream_options: { include_usage: true } }, options);
      let session = "";
      stream.on("chunk", (chunk) => {
        session ||= (chunk as unknown as { rhone?: { session_id: string } }).rhone?.session_id ?? "";
      });
      return { answer: await stream.finalChatCompletion(), session };
    },
  ],
];

const rounds = PROVIDERS.flatMap((provider) => MODES.map(([mode, ask]) => ({ provider, mode, ask })));
const spoken = ({ choices }: ChatCompletion): string => choices[0]!.message.content ?? "";

describe.each(rounds)("$mode answers of $provider", ({ provider, ask }) => {
  it("an answer is a completion of the SDK's own type", async () => {
    const { answer } = await ask(asking(`${provider}/say`));
    expect(answer).toMatchObject({
      object: "chat.completion",
      choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "Said say." } }],
      usage: { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17, prompt_tokens_details: { cached_tokens: 4 } },
    });
  });

  it("an answer calls several tools, and their results are accepted in the session", async () => {
    const tools = [zodFunction({ name: WEATHER.name, parameters: z.object({ city: z.string() }) })];
    const { answer, session } = await ask({ ...asking(`${provider}/tools`), tools });
    const [{ finish_reason, message }] = answer.choices as [ChatCompletion.Choice];
    expect([finish_reason, message.content]).toEqual(["tool_calls", "Let me look."]);
    const calls = message.tool_calls!.flatMap((call) => (call.type === "function" ? [call] : []));
    expect(calls.map((call) => call.function.arguments)).toEqual(['{"city":"Paris"}', '{"city":"Rome"}']);
    const results = calls.map(({ id }, i) => ({
      role: "tool" as const,
      tool_call_id: id,
      content: ["sunny in Paris", "rainy in Rome"][i]!,
    }));
    const next = await ask({ model: `${provider}/tools`, messages: results, tools }, inSession(session));
    expect(spoken(next.answer)).toBe("It is sunny in Paris and rainy in Rome.");
  });

  it("a session gives the model its own thoughts again", async () => {
    const said = { ...asking(`${provider}/think`), reasoning_effort: "low" as const };
    const { answer, session } = await ask(said);
    expect(spoken(answer)).toBe("Said think.");
    // A thin client has no place for thoughts: what it sends back is recognised all the same.
    const messages = [
      ...said.messages,
      { role: "assistant" as const, content: "Said think." },
      ...asking("", "and?").messages,
    ];
    const next = await ask({ ...said, messages }, inSession(session));
    expect(shown(spoken(next.answer))).toContainEqual(SEALED[provider]);
  });

  it("images and the system message reach the provider", async () => {
    const url = `data:image/png;base64,${PNG}`;
    const { model, messages } = asking(`${provider}/mirror`, [{ type: "image_url", image_url: { url } }]);
    const { answer } = await ask({ model, messages: [{ role: "system", content: "Be brief." }, ...messages] });
    expect(shown(spoken(answer))).toContainEqual(IMAGE[provider]);
    expect(spoken(answer)).toContain("Be brief.");
  });

  it("an answer has the form of a schema, and the SDK parses it", async () => {
    const response_format = zodResponseFormat(z.object({ city: z.string(), degrees: z.number() }), "weather");
    const said = { ...asking(`${provider}/json`), response_format };
    const parsed = await completions.parse(said);
    expect(parsed.choices[0]!.message.parsed).toEqual({ city: "Paris", degrees: 21 });
    const final = await completions.stream(said).finalChatCompletion();
    expect(final.choices[0]!.message.parsed).toEqual({ city: "Paris", degrees: 21 });
    const { answer } = await ask({ ...asking(`${provider}/mirror`), response_format: { ...response_format } });
    expect(shown(spoken(answer))).toContainEqual(FORMAT[provider]);
  });

  it.each([
    ["refuse", OpenAI.BadRequestError, "400 max_tokens is too large"],
    ["limited", OpenAI.RateLimitError, "429 Slow down"],
    ["broken", OpenAI.InternalServerError, "500 Internal trouble"],
  ] as const)("a failure is the SDK's own error: %s", async (script, kind, message) => {
    const error = await failureOf(ask(asking(`${provider}/${script}`)));
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ message, requestID: expect.stringMatching(/\w/) as string });
  });
});

it.each(PROVIDERS)("the SDK's tool loop runs to its end on %s", async (provider) => {
  const runner = completions.runTools({
    ...asking(`${provider}/tools`),
    stream: true,
    tools: [
      zodFunction({
        name: WEATHER.name,
        parameters: z.object({ city: z.string() }),
        function: ({ city }) => `fine in ${city}`,
      }),
    ],
  });
  expect(await runner.finalContent()).toBe("It is fine in Paris and fine in Rome.");
});

it.each(PROVIDERS)("a stream of %s that is cut or fails throws", async (provider) => {
  for (const script of ["cut", "failing"]) {
    const error = await failureOf(completions.stream(asking(`${provider}/${script}`)).finalChatCompletion());
    expect(error).toBeInstanceOf(OpenAI.APIError);
  }
});
