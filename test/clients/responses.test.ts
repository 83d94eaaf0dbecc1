import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import type {
  Response as Answer,
  ResponseCreateParamsNonStreaming,
  ResponseInputItem,
} from "openai/resources/responses/responses";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { baseUrl, key } from "./gateway.ts";
import {
  shown,
  failureOf,
  FORMAT,
  IMAGE,
  PNG,
  PROVIDERS,
  type ProviderId,
  readAll,
  SEALED,
  WEATHER,
} from "./matrix.ts";

const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });
const { responses } = client;

const user = (content: string): ResponseInputItem => ({ type: "message", role: "user", content });
const inSession = (id: string) => ({ headers: { "x-rhone-session-id": id } });

type Ask = (
  body: ResponseCreateParamsNonStreaming,
  options?: OpenAI.RequestOptions,
) => Promise<{ answer: Answer; session: string }>;

const MODES: [mode: string, ask: Ask][] = [
  [
    "whole",
    async (body, options) => {
      const { data, response } = await responses.create(body, options).withResponse();
      return { answer: data, session: response.headers.get("x-rhone-session-id")! };
    },
  ],
  [
    "streamed",
    async (body, options) => {
      const stream = responses.stream({ ...body, stream: true }, options);
      let session = "";
      stream.on("response.created", (event) => {
        ({ session_id: session } = (event.response as Answer & { rhone: { session_id: string } }).rhone);
      });
      return { answer: await stream.finalResponse(), session };
    },
  ],
];

const rounds = PROVIDERS.flatMap((provider) => MODES.map(([mode, ask]) => ({ provider, mode, ask })));

describe.each(rounds)("$mode answers of $provider", ({ provider, ask }) => {
  it("an answer is a response of the SDK's own type", async () => {
    const { answer } = await ask({ model: `${provider}/say`, input: "hello" });
    expect(answer).toMatchObject({
      id: expect.stringMatching(/^resp_/) as string,
      object: "response",
      status: "completed",
      error: null,
      output: [{ type: "message", role: "assistant", status: "completed", content: [{ type: "output_text" }] }],
      usage: { input_tokens: 12, input_tokens_details: { cached_tokens: 4 }, output_tokens: 5, total_tokens: 17 },
    });
    expect(answer.output_text).toBe("Said say.");
  });

  it("an answer calls several tools, and their results are accepted in a transcript or in the session", async () => {
    const tools = [{ type: "function" as const, name: WEATHER.name, parameters: { ...WEATHER.schema }, strict: true }];
    const said = { model: `${provider}/tools`, input: [user("hello")], tools };
    const { answer, session } = await ask(said);
    const calls = answer.output.filter((item) => item.type === "function_call");
    expect(calls.map(({ name, arguments: args }) => [name, args])).toEqual([
      ["get_weather", '{"city":"Paris"}'],
      ["get_weather", '{"city":"Rome"}'],
    ]);
    const results: ResponseInputItem[] = ["sunny in Paris", "rainy in Rome"].map((output, i) => ({
      type: "function_call_output",
      call_id: calls[i]!.call_id,
      output,
    }));
    const headers = { "x-rhone-context-mode": "stateless" };
    const transcript = [...said.input, ...(answer.output as ResponseInputItem[]), ...results];
    const stateless = await ask({ ...said, input: transcript }, { headers });
    const stateful = await ask({ ...said, input: results }, inSession(session));
    expect([stateless.answer.output_text, stateful.answer.output_text]).toEqual([
      "It is sunny in Paris and rainy in Rome.",
      "It is sunny in Paris and rainy in Rome.",
    ]);
  });

  it("an answer has its reasoning in an item, and the session gives it to the model again", async () => {
    const said = { model: `${provider}/think`, reasoning: { effort: "low", summary: "auto" } } as const;
    const { answer, session } = await ask({ ...said, input: "hello" });
    const [reasoning, message] = answer.output;
    expect(reasoning).toMatchObject({ type: "reasoning", summary: [{ type: "summary_text", text: "Let me think." }] });
    expect(message).toMatchObject({ type: "message", content: [{ text: "Said think." }] });
    const next = await ask({ ...said, input: "and?" }, inSession(session));
    expect(shown(next.answer.output_text)).toContainEqual(SEALED[provider]);
  });

  it("a full transcript is accepted with its reasoning as the client got it", async () => {
    const said = { model: `${provider}/think`, input: [user("hello")] };
    const { answer, session } = await ask(said);
    const input = [...said.input, ...(answer.output as ResponseInputItem[]), user("and?")];
    const next = await ask({ ...said, input }, inSession(session));
    expect(shown(next.answer.output_text)).toContainEqual(SEALED[provider]);
  });

  it("images and the instructions reach the provider", async () => {
    const content = [
      { type: "input_image", image_url: `data:image/png;base64,${PNG}`, detail: "auto" },
      { type: "input_text", text: "What is this?" },
    ] as const;
    const input = [{ type: "message" as const, role: "user" as const, content: [...content] }];
    const { answer } = await ask({ model: `${provider}/mirror`, input, instructions: "Be brief." });
    expect(shown(answer.output_text)).toContainEqual(IMAGE[provider]);
    expect(answer.output_text).toContain("Be brief.");
  });

  it("an answer has the form of a schema, and the SDK parses it", async () => {
    const text = { format: zodTextFormat(z.object({ city: z.string(), degrees: z.number() }), "weather") };
    const said = { model: `${provider}/json`, input: "hello", text };
    expect((await responses.parse(said)).output_parsed).toEqual({ city: "Paris", degrees: 21 });
    const final = await responses.stream(said).finalResponse();
    expect(final.output_parsed).toEqual({ city: "Paris", degrees: 21 });
    const { type, name, schema } = text.format;
    const { answer } = await ask({
      model: `${provider}/mirror`,
      input: "hello",
      text: { format: { type, name, schema } },
    });
    expect(shown(answer.output_text)).toContainEqual(FORMAT[provider]);
  });

  it("an answer that is declined has a refusal, or is incomplete", async () => {
    const { answer } = await ask({ model: `${provider}/decline`, input: "hello" });
    expect(answer).toMatchObject(DECLINED[provider]);
  });

  it.each([
    ["refuse", OpenAI.BadRequestError, "400 max_tokens is too large"],
    ["limited", OpenAI.RateLimitError, "429 Slow down"],
    ["broken", OpenAI.InternalServerError, "500 Internal trouble"],
  ] as const)("a failure is the SDK's own error: %s", async (script, kind, message) => {
    const error = await failureOf(ask({ model: `${provider}/${script}`, input: "hello" }));
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ message, requestID: expect.stringMatching(/\w/) as string });
    if (script === "limited") expect((error as InstanceType<typeof kind>).headers.get("retry-after")).toBe("7");
  });
});

/** Two wires say it in the model's words, two cut the answer. */
const SPOKEN = {
  status: "completed",
  output: [{ content: [{ type: "refusal", refusal: "I cannot help with that." }] }],
};
const CUT = { status: "incomplete", incomplete_details: { reason: "content_filter" } };
const DECLINED: Record<ProviderId, object> = { fakechat: SPOKEN, fakeresp: SPOKEN, fakeanth: CUT, fakegem: CUT };

describe.each(PROVIDERS)("a stream of %s", (provider) => {
  it("the events of a stream are numbered, and have every item from its start to its end", async () => {
    const events = await readAll(await responses.create({ model: `${provider}/tools`, input: "hello", stream: true }));
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, i) => i));
    const types = events.map(({ type }) => type);
    expect(types[0]).toBe("response.created");
    expect(types.at(-1)).toBe("response.completed");
    for (const type of ["response.output_item.added", "response.output_item.done"])
      expect(types.filter((one) => one === type)).toHaveLength(3);
  });

  it.each(["stateful", "stateless"])(
    "a stream that is cut or fails throws, and never ends as a success: %s",
    async (mode) => {
      const options = { headers: { "x-rhone-context-mode": mode } };
      for (const script of ["cut", "failing"] as const) {
        const said = { model: `${provider}/${script}`, input: "hello" };
        // The SDK throws on an error event, and hands on a response that failed.
        const end = responses.stream(said, options).finalResponse();
        expect(await end.then(({ error }) => error?.message, wordsOf)).toMatch(WORDS[script]);
        const heard: string[] = [];
        const told = (async () => {
          for await (const event of await responses.create({ ...said, stream: true }, options)) {
            heard.push(event.type);
            if (event.type === "response.failed") return event.response.error!.message;
          }
          return undefined;
        })();
        expect(await told.catch(wordsOf)).toMatch(WORDS[script]);
        expect(heard).not.toContain("response.completed");
      }
    },
  );
});

const WORDS = { cut: /ended|interrupted/, failing: /Overloaded/ };
const wordsOf = (thrown: unknown): string => (thrown as Error).message;

describe.each(MODES)("the demo, %s", (_, ask) => {
  it("an answer that the limit cut is incomplete", async () => {
    const { answer } = await ask({ model: "demo", input: "one two three", max_output_tokens: 3 });
    expect(answer).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
    expect(answer.output_text).toBe("You said: one");
  });

  it("the demo answers from the messages of the session", async () => {
    const { session } = await ask({ model: "demo", input: "My name is Alice." });
    const { answer } = await ask({ model: "demo", input: "What's my name?" }, inSession(session));
    expect(answer.output_text).toBe("Your name is Alice.");
  });

  it("a whole response has the members of its request", async () => {
    const { answer } = await ask({
      model: "demo",
      input: "hi",
      instructions: "Be brief.",
      temperature: 0.5,
      metadata: { a: "b" },
    });
    expect(answer).toMatchObject({ instructions: "Be brief.", temperature: 0.5, metadata: { a: "b" }, tools: [] });
  });

  it.each([
    ["no such model", OpenAI.NotFoundError, () => ask({ model: "no-such-model", input: "hi" })],
    ["no such session", OpenAI.NotFoundError, () => ask({ model: "demo", input: "hi" }, inSession("sess_typo"))],
    ["no input", OpenAI.BadRequestError, () => ask({ model: "demo", input: [] })],
  ])("a call is refused with the SDK's own error: %s", async (_, kind, call) => {
    expect(await failureOf(call())).toBeInstanceOf(kind);
  });
});
