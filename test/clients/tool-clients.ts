import Anthropic from "@anthropic-ai/sdk";
import { type Content, GoogleGenAI, type Part } from "@google/genai";
import OpenAI from "openai";
import { expect } from "vitest";
import { baseUrl, key } from "./gateway.ts";
import type { ProviderId } from "./matrix.ts";

/**
 * How a client keeps its conversation: it sends what is new with the id of a session (`session`) or of a response
 * (`response`), or all of it, in a session (`transcript`) or stateless (`stateless`).
 */
export type Mode = "session" | "response" | "transcript" | "stateless";
type Call = { id: string | undefined; name: string; about: string };
type Answer<Item> = { items: Item[]; calls: Call[]; text: string; session: string; response?: string };
type Request<Item> = {
  model: string;
  items: Item[];
  /** Of two tools; of Responses the second is a custom one. */
  names: [string, string];
  stream: boolean;
  headers: Record<string, string>;
  previous?: string;
};

/** An official SDK. `own`: the provider of its dialect. */
export type Client<Item = unknown> = {
  name: string;
  own: ProviderId;
  modes: Mode[];
  question: (text: string) => Item;
  results: (calls: Call[]) => Item[];
  ask: (request: Request<Item>) => Promise<Answer<Item>>;
};

const SCHEMA = { type: "object" as const, properties: { city: { type: "string" } }, required: ["city"] };
const resultOf = ({ about }: Call): string => `fine in ${about}`;
const aboutOf = (args: string): string => (JSON.parse(args) as { city: string }).city;
const SESSION = "x-rhone-session-id";

const openai = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });
const anthropic = new Anthropic({ baseURL: baseUrl, apiKey: key, maxRetries: 0, logLevel: "off" });
const google = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl, retryOptions: { attempts: 1 } } });

const chat: Client<OpenAI.ChatCompletionMessageParam> = {
  name: "openai chat",
  own: "fakechat",
  modes: ["session", "transcript", "stateless"],
  question: (content) => ({ role: "user", content }),
  results: (calls) => calls.map((call) => ({ role: "tool", tool_call_id: call.id!, content: resultOf(call) })),
  ask: async ({ model, items, names, stream, headers }) => {
    const tools = names.map((name) => ({ type: "function" as const, function: { name, parameters: SCHEMA } }));
    const body = { model, messages: items, tools };
    const answer = stream
      ? await openai.chat.completions.stream(body, { headers }).finalChatCompletion()
      : await openai.chat.completions.create(body, { headers });
    const { message } = answer.choices[0]!;
    const calls = (message.tool_calls ?? []).flatMap((call) =>
      call.type === "function"
        ? [{ id: call.id, name: call.function.name, about: aboutOf(call.function.arguments) }]
        : [],
    );
    return { items: [message], calls, text: message.content ?? "", session: sessionOf(answer) };
  },
};

const sessionOf = (answer: object): string => (answer as { rhone?: { session_id: string } }).rhone?.session_id ?? "";

const responses: Client<OpenAI.Responses.ResponseInputItem> = {
  name: "openai responses",
  own: "fakeresp",
  modes: ["session", "response", "transcript", "stateless"],
  question: (content) => ({ role: "user", content }),
  results: (calls) =>
    calls.map((call) => ({
      type: call.id!.startsWith("custom ") ? "custom_tool_call_output" : "function_call_output",
      call_id: call.id!.replace("custom ", ""),
      output: resultOf(call),
    })),
  ask: async ({ model, items, names: [name, custom], stream, headers, previous }) => {
    const tools = [
      { type: "function" as const, name, parameters: SCHEMA, strict: false },
      { type: "custom" as const, name: custom },
    ];
    const body = { model, input: items, tools, ...(previous !== undefined && { previous_response_id: previous }) };
    const answer = stream
      ? await openai.responses.stream(body, { headers }).finalResponse()
      : await openai.responses.create(body, { headers });
    expect(answer.error).toBeNull();
    const calls = answer.output.flatMap((item): Call[] => {
      if (item.type === "function_call") return [{ id: item.call_id, name: item.name, about: aboutOf(item.arguments) }];
      return item.type === "custom_tool_call"
        ? [{ id: `custom ${item.call_id}`, name: item.name, about: item.input }]
        : [];
    });
    const said = answer.output as OpenAI.Responses.ResponseInputItem[];
    return { items: said, calls, text: answer.output_text, session: sessionOf(answer), response: answer.id };
  },
};

/** Marks the newest message for the cache, as agents do. */
const messages: Client<Anthropic.MessageParam> = {
  name: "anthropic",
  own: "fakeanth",
  modes: ["session", "transcript", "stateless"],
  question: (text) => ({ role: "user", content: [{ type: "text", text }] }),
  results: (calls) => [
    {
      role: "user",
      content: calls.map((call) => ({ type: "tool_result", tool_use_id: call.id!, content: resultOf(call) })),
    },
  ],
  ask: async ({ model, items, names, stream, headers }) => {
    const cache_control = { type: "ephemeral" as const };
    const last = items.at(-1)!;
    const content = (last.content as Anthropic.ContentBlockParam[]).map((block, i, all) =>
      i === all.length - 1 ? { ...block, cache_control } : block,
    ) as Anthropic.ContentBlockParam[];
    const body = {
      model,
      max_tokens: 1000,
      system: [{ type: "text" as const, text: "Be brief.", cache_control }],
      messages: [...items.slice(0, -1), { role: "user" as const, content }],
      tools: names.map((name, i) => ({ name, input_schema: SCHEMA, ...(i === 1 && { cache_control }) })),
    };
    const answer = stream
      ? await anthropic.messages.stream(body, { headers }).finalMessage()
      : await anthropic.messages.create(body, { headers });
    const calls = answer.content.flatMap((block) =>
      block.type === "tool_use"
        ? [{ id: block.id, name: block.name, about: aboutOf(JSON.stringify(block.input)) }]
        : [],
    );
    const text = answer.content.map((block) => (block.type === "text" ? block.text : "")).join("");
    return { items: [{ role: "assistant", content: answer.content }], calls, text, session: sessionOf(answer) };
  },
};

const gemini: Client<Content> = {
  name: "google genai",
  own: "fakegem",
  modes: ["session", "transcript", "stateless"],
  question: (text) => ({ role: "user", parts: [{ text }] }),
  results: (calls) => [
    {
      role: "user",
      parts: calls.map((call) => ({
        functionResponse: {
          ...(call.id !== undefined && { id: call.id }),
          name: call.name,
          response: { output: resultOf(call) },
        },
      })),
    },
  ],
  ask: async ({ model, items, names, stream, headers }) => {
    const functionDeclarations = names.map((name) => ({ name, parametersJsonSchema: SCHEMA }));
    const body = { model, contents: items, config: { tools: [{ functionDeclarations }], httpOptions: { headers } } };
    const chunks = [];
    if (stream) for await (const chunk of await google.models.generateContentStream(body)) chunks.push(chunk);
    else chunks.push(await google.models.generateContent(body));
    const parts = chunks.flatMap(({ candidates }): Part[] => candidates?.[0]?.content?.parts ?? []);
    const calls = parts.flatMap(({ functionCall }) =>
      functionCall === undefined
        ? []
        : [{ id: functionCall.id, name: functionCall.name!, about: functionCall.args!.city as string }],
    );
    const text = parts.map(({ text, thought }) => (thought === true ? "" : (text ?? ""))).join("");
    const session = chunks.map(({ sdkHttpResponse }) => sdkHttpResponse?.headers?.[SESSION] ?? "").find(Boolean) ?? "";
    return { items: [{ role: "model", parts }], calls, text, session };
  },
};

export const CLIENTS = [chat, responses, messages, gemini] as Client[];

type Loop = { models: string[]; names: [string, string]; mode: Mode; stream: boolean };

/** Asks two questions and answers every call; each request goes to the next of the models. Resolves to the last texts. */
export async function runLoop(client: Client, { models, names, mode, stream }: Loop): Promise<string[]> {
  const transcript: unknown[] = [];
  const texts: string[] = [];
  let headers: Record<string, string> = mode === "stateless" ? { "x-rhone-context-mode": "stateless" } : {};
  let previous: string | undefined;
  let requests = 0;
  for (const question of ["First question", "Second question"]) {
    let added = [client.question(question)];
    while (added.length > 0) {
      transcript.push(...added);
      const model = models[requests++ % models.length]!;
      const items = mode === "session" || mode === "response" ? added : transcript;
      const answer = await client.ask({ model, items, names, stream, headers, ...(previous && { previous }) });
      transcript.push(...answer.items);
      if (mode === "session" || mode === "transcript") headers = { [SESSION]: answer.session };
      if (mode === "response") previous = answer.response;
      if (answer.calls.length === 0) {
        texts.push(answer.text);
        break;
      }
      expect(answer.calls.map(({ name }) => name)).toEqual([names[0], names[0], names[1]]);
      // Without ids the order is all that a result has.
      const hasIds = answer.calls.every(({ id }) => id !== undefined);
      added = client.results(hasIds ? answer.calls.toReversed() : answer.calls);
    }
  }
  return texts;
}
