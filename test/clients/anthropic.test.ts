import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import type { ContentBlock, Message, MessageParam } from "@anthropic-ai/sdk/resources/messages";
import AnthropicBefore from "anthropic-sdk-0";
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

const options = { baseURL: baseUrl, apiKey: key, maxRetries: 0, logLevel: "off" } as const;
const client = new Anthropic(options);
const { messages } = client;

/** By the API version that they send: the newest SDK, and the last one of the version before, with the same methods. */
const CLIENTS: [version: string, client: Anthropic, sdk: Pick<typeof Anthropic, ErrorName>][] = [
  ["2026-10-21", client, Anthropic],
  ["2023-06-01", new AnthropicBefore(options) as unknown as Anthropic, AnthropicBefore as never],
];
type ErrorName = "BadRequestError" | "RateLimitError" | "InternalServerError";

const user = (content: MessageParam["content"]): MessageParam => ({ role: "user", content });
const asking = (model: string, content: MessageParam["content"] = "hello") => ({
  model,
  max_tokens: 1000,
  messages: [user(content)],
});
const inSession = (id: string) => ({ headers: { "x-rhone-session-id": id } });
const spoken = ({ content }: { content: ContentBlock[] }): string =>
  content.map((block) => (block.type === "text" ? block.text : "")).join("");

type Ask = (
  body: Anthropic.MessageCreateParamsNonStreaming,
  options?: Anthropic.RequestOptions,
) => Promise<{ message: Message; session: string }>;

const modesOf = ({ messages }: Anthropic): [mode: string, ask: Ask][] => [
  [
    "whole",
    async (body, options) => {
      const { data, response } = await messages.create(body, options).withResponse();
      return { message: data, session: response.headers.get("x-rhone-session-id")! };
    },
  ],
  [
    "streamed",
    async (body, options) => {
      const stream = messages.stream(body, options);
      const { response } = await stream.withResponse();
      return { message: await stream.finalMessage(), session: response.headers.get("x-rhone-session-id")! };
    },
  ],
];

const rounds = CLIENTS.flatMap(([version, one, sdk]) =>
  PROVIDERS.flatMap((provider) => modesOf(one).map(([mode, ask]) => ({ version, sdk, provider, mode, ask }))),
);

describe.each(rounds)("$mode answers of $provider to version $version", ({ sdk, provider, ask }) => {
  it("an answer is a message of the SDK's own type", async () => {
    const { message } = await ask(asking(`${provider}/say`));
    expect(message).toMatchObject({
      id: expect.stringMatching(/^msg_/) as string,
      type: "message",
      role: "assistant",
      content: [{ type: "text", text: "Said say." }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 8, cache_read_input_tokens: 4, output_tokens: 5 },
    });
  });

  it("an answer calls several tools, and their results are accepted in a transcript or in the session", async () => {
    const tools = [
      { name: WEATHER.name, description: WEATHER.description, input_schema: { ...WEATHER.schema, required: ["city"] } },
    ];
    const said = { ...asking(`${provider}/tools`), tools };
    const { message, session } = await ask(said);
    expect(message.stop_reason).toBe("tool_use");
    const [text, paris, rome] = message.content;
    expect(text).toMatchObject({ type: "text", text: "Let me look." });
    expect(paris).toMatchObject({ type: "tool_use", name: "get_weather", input: { city: "Paris" } });
    expect(rome).toMatchObject({ type: "tool_use", name: "get_weather", input: { city: "Rome" } });
    const results = user([
      { type: "tool_result", tool_use_id: idOf(paris), content: "sunny in Paris" },
      { type: "tool_result", tool_use_id: idOf(rome), content: [{ type: "text", text: "rainy in Rome" }] },
    ]);
    const transcript = [...said.messages, { role: "assistant" as const, content: message.content }, results];
    const headers = { "x-rhone-context-mode": "stateless" };
    const stateless = await ask({ ...said, messages: transcript }, { headers });
    const stateful = await ask({ ...said, messages: [results] }, inSession(session));
    expect([spoken(stateless.message), spoken(stateful.message)]).toEqual([
      "It is sunny in Paris and rainy in Rome.",
      "It is sunny in Paris and rainy in Rome.",
    ]);
  });

  it("an answer has its thoughts, and the session gives them to the model again", async () => {
    const thinking = { type: "enabled", budget_tokens: 2000 } as const;
    const said = { ...asking(`${provider}/think`), max_tokens: 4000, thinking };
    const { message, session } = await ask(said);
    expect(message.content).toMatchObject([
      { type: "thinking", thinking: "Let me think." },
      { type: "text", text: "Said think." },
    ]);
    const next = await ask({ ...said, messages: [user("and?")] }, inSession(session));
    expect(shown(spoken(next.message))).toContainEqual(SEALED[provider]);
  });

  it("a full transcript is accepted with its thoughts as the client got them", async () => {
    const said = { ...asking(`${provider}/think`), max_tokens: 4000 };
    const { message, session } = await ask(said);
    const transcript = [...said.messages, { role: "assistant" as const, content: message.content }, user("and?")];
    const next = await ask({ ...said, messages: transcript }, inSession(session));
    expect(shown(spoken(next.message))).toContainEqual(SEALED[provider]);
  });

  it("images and the system message reach the provider", async () => {
    const image = { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } } as const;
    const { message } = await ask({
      ...asking(`${provider}/mirror`, [image, { type: "text", text: "What is this?" }]),
      system: "Be brief.",
    });
    expect(shown(spoken(message))).toContainEqual(IMAGE[provider]);
    expect(spoken(message)).toContain("Be brief.");
  });

  it("images in a failed tool result reach the provider", async () => {
    const image = { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } } as const;
    const { message } = await ask({
      ...asking(`${provider}/mirror`),
      messages: [
        user("hello"),
        { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "look", input: { at: "it" } }] },
        user([
          {
            type: "tool_result",
            tool_use_id: "toolu_1",
            content: [{ type: "text", text: "Half of it:" }, image],
            is_error: true,
          },
        ]),
      ],
    });
    expect(spoken(message)).toContain("Half of it:");
    expect(spoken(message)).toContain(PNG);
    // Chat's tool messages hold text alone: the error has no mark, and the image is shown behind them.
    if (provider === "fakechat")
      expect(message).toMatchObject({ rhone: { losses: [{ at: "tool_result.is_error" }, { at: "tool_result" }] } });
    expect(shown(spoken(message))).toContainEqual(CALLED[provider]);
  });

  it("documents reach the provider", async () => {
    const source = { type: "base64", media_type: "application/pdf", data: "JVBERi0xLjQK" } as const;
    const { message } = await ask(asking(`${provider}/mirror`, [{ type: "document", source, title: "a.pdf" }]));
    expect(spoken(message)).toContain("JVBERi0xLjQK");
  });

  it("an answer has the form of a schema, and the SDK parses it", async () => {
    const output_config = { format: zodOutputFormat(z.object({ city: z.string(), degrees: z.number() })) };
    const parsed = await messages.parse({ ...asking(`${provider}/json`), output_config });
    expect(parsed.parsed_output).toEqual({ city: "Paris", degrees: 21 });
    const final = await messages.stream({ ...asking(`${provider}/json`), output_config }).finalMessage();
    expect(final.parsed_output).toEqual({ city: "Paris", degrees: 21 });
    const { type, schema } = output_config.format;
    const unparsed = { format: { type, schema } };
    const { message } = await ask({ ...asking(`${provider}/mirror`), output_config: unparsed });
    expect(shown(spoken(message))).toContainEqual(FORMAT[provider]);
  });

  it("an answer that is declined ends as a refusal", async () => {
    const { message } = await ask(asking(`${provider}/decline`));
    expect(message.stop_reason).toBe("refusal");
  });

  it.each([
    ["refuse", "BadRequestError", "invalid_request_error", "max_tokens is too large"],
    ["limited", "RateLimitError", "rate_limit_error", "Slow down"],
    ["broken", "InternalServerError", "api_error", "Internal trouble"],
  ] as const)("a failure is the SDK's own error: %s", async (script, kind, type, apiMessage) => {
    const error = await failureOf(ask(asking(`${provider}/${script}`)));
    expect(error).toBeInstanceOf(sdk[kind]);
    expect(error).toMatchObject({ type, requestID: expect.stringMatching(/\w/) as string });
    expect((error as Error).message).toContain(apiMessage);
    if (script === "limited")
      expect((error as InstanceType<typeof Anthropic.RateLimitError>).headers.get("retry-after")).toBe("7");
  });
});

/** How each wire repeats a call of its model. */
const CALLED: Record<ProviderId, object> = {
  fakechat: expect.objectContaining({ name: "look", arguments: '{"at":"it"}' }) as object,
  fakeresp: expect.objectContaining({ type: "function_call", name: "look", arguments: '{"at":"it"}' }) as object,
  fakeanth: expect.objectContaining({ type: "tool_use", name: "look", input: { at: "it" } }) as object,
  fakegem: expect.objectContaining({ name: "look", args: { at: "it" } }) as object,
};

const idOf = (block: ContentBlock | undefined): string => (block?.type === "tool_use" ? block.id : "");

describe.each(PROVIDERS)("a stream of %s", (provider) => {
  it("the events of a stream are in Anthropic's order", async () => {
    const events = await readAll(await messages.create({ ...asking(`${provider}/tools`), stream: true }));
    const types = events.map(({ type }) => type).filter((type) => type !== "content_block_delta");
    const block = ["content_block_start", "content_block_stop"];
    expect(types).toEqual(["message_start", ...block, ...block, ...block, "message_delta", "message_stop"]);
    const opened = events.flatMap((event) => (event.type === "content_block_start" ? [event.content_block] : []));
    expect(opened).toMatchObject([{ text: "" }, { input: {} }, { input: {} }]);
  });

  it.each(["stateful", "stateless"])(
    "a stream that is cut or fails throws, and never ends as a success: %s",
    async (mode) => {
      const options = { headers: { "x-rhone-context-mode": mode } };
      for (const script of ["cut", "failing"]) {
        const stream = messages.stream(asking(`${provider}/${script}`), options);
        const heard: string[] = [];
        stream.on("streamEvent", ({ type }) => heard.push(type));
        const error = await failureOf(stream.finalMessage());
        expect(error).toBeInstanceOf(Anthropic.APIError);
        expect((error as Error).message).toMatch(script === "cut" ? /ended|interrupted/ : /Overloaded/);
        expect(heard).not.toContain("message_stop");
      }
    },
  );

  it("the SDK's tool runner reads a stream until the model is done", async () => {
    const tool = betaZodTool({
      name: WEATHER.name,
      description: WEATHER.description,
      inputSchema: z.object({ city: z.string() }),
      run: ({ city }) => `fine in ${city}`,
    });
    const runner = client.beta.messages.toolRunner({ ...asking(`${provider}/tools`), tools: [tool], stream: true });
    const final = await runner.runUntilDone();
    expect(final.content).toMatchObject([{ type: "text", text: "It is fine in Paris and fine in Rome." }]);
  });
});

describe.each(modesOf(client))("the demo, %s", (_, ask) => {
  it("an answer that the limit cut has the stop reason max_tokens", async () => {
    const { message } = await ask({ ...asking("demo", "one two three"), max_tokens: 3 });
    expect([spoken(message), message.stop_reason]).toEqual(["You said: one", "max_tokens"]);
  });

  it("the demo answers from the messages of the session", async () => {
    const { session } = await ask(asking("demo", "My name is Alice."));
    const { message } = await ask(asking("demo", "What's my name?"), inSession(session));
    expect(spoken(message)).toBe("Your name is Alice.");
  });

  it.each([
    [
      "a wrong key",
      Anthropic.AuthenticationError,
      () => ask(asking("demo"), { headers: { authorization: "Bearer wrong" } }),
    ],
    ["no such model", Anthropic.NotFoundError, () => ask(asking("no-such-model"))],
    ["no such session", Anthropic.NotFoundError, () => ask(asking("demo"), inSession("sess_typo"))],
    ["no messages", Anthropic.BadRequestError, () => ask({ ...asking("demo"), messages: [] })],
  ])("a call is refused with the SDK's own error: %s", async (_, kind, call) => {
    const error = await failureOf(call());
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ requestID: expect.stringMatching(/\w/) as string });
  });

  it("the SDK's compatibility path leads to the same routes", async () => {
    const compat = client.withOptions({ baseURL: `${baseUrl}/v1/compat/anthropic` });
    expect(spoken(await compat.messages.create(asking("demo", "hi")))).toBe("You said: hi");
  });
});
