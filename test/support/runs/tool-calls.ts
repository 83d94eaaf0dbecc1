import { expect } from "vitest";
import { decodeSse } from "../../../src/wire/sse.ts";
import { writePlan } from "../../fake/plan.ts";
import { request } from "../worker/client.ts";
import { type Json, toolLog } from "./client.ts";

/** The surfaces on which calls with tools of the server are made. */
export const SURFACE_NAMES = ["chat", "responses", "messages", "gemini", "native"] as const;
export type SurfaceName = (typeof SURFACE_NAMES)[number];

export const plan = (...steps: unknown[]): string => writePlan(steps as never);
export const call = (name: string, args: Json = {}): Json => ({ name, args });

/** What a request of any surface says: texts of the user, and what the model has answered in between. */
export type Spoken = { text: string } | { answered: Answered } | { result: string; of: Json };

type Form = {
  path: (stream: boolean, model: string) => string;
  body: (spoken: readonly Spoken[], tools: readonly string[], model: string) => Json;
  read: (whole: Json) => Pick<Answered, "text" | "calls" | "finish" | "usage">;
  /** A stream's events as the whole answer that they come to. */
  join: (events: readonly Json[]) => Json;
};

/** An answer. `raw`: its bytes as text. */
export type Answered = {
  status: number;
  raw: string;
  headers: Headers;
  text: string;
  calls: Json[];
  finish: unknown;
  usage: number;
  rhone: Json;
  whole: Json;
  events: Json[];
};

type Any = ReturnType<typeof JSON.parse>;
const parameters = { type: "object", properties: { city: { type: "string" } } };
const textsIn = (list: Any[] = []): string => list.map((one) => one.text ?? "").join("");

const FORMS: Record<SurfaceName, Form> = {
  chat: {
    path: () => "/v1/chat/completions",
    body: (spoken, tools, model) => ({
      model: `fake/${model}`,
      messages: spoken.map((one) =>
        "text" in one
          ? { role: "user", content: one.text }
          : "answered" in one
            ? (one.answered.whole as Any).choices[0].message
            : { role: "tool", tool_call_id: (one.of as Any).id, content: one.result },
      ),
      ...(tools.length > 0 && { tools: tools.map((name) => ({ type: "function", function: { name, parameters } })) }),
    }),
    read: (whole: Any) => ({
      text: whole.choices[0].message.content ?? "",
      calls: (whole.choices[0].message.tool_calls ?? []).map(({ id, function: own }: Any) => ({ id, ...own })),
      finish: whole.choices[0].finish_reason,
      usage: whole.usage?.completion_tokens,
    }),
    join: (events: readonly Any[]) => {
      const deltas = events.flatMap(({ choices = [] }) => choices);
      const calls: Any[] = [];
      for (const { delta } of deltas)
        for (const { index, id, function: own } of delta.tool_calls ?? []) {
          calls[index] ??= { id, type: "function", function: { name: own.name, arguments: "" } };
          calls[index].function.arguments += own.arguments ?? "";
        }
      const content = deltas.map(({ delta }) => delta.content ?? "").join("");
      const message = { role: "assistant", content, ...(calls.length > 0 && { tool_calls: calls }) };
      const { finish_reason } = deltas.findLast((one) => one.finish_reason);
      return { choices: [{ message, finish_reason }], usage: events.findLast((one) => one.usage)?.usage };
    },
  },
  responses: {
    path: () => "/v1/responses",
    body: (spoken, tools, model) => ({
      model: `fakeresp/${model}`,
      input: spoken.flatMap((one) =>
        "text" in one
          ? [{ role: "user", content: one.text }]
          : "answered" in one
            ? (one.answered.whole as Any).output
            : [{ type: "function_call_output", call_id: (one.of as Any).id, output: one.result }],
      ),
      ...(tools.length > 0 && { tools: tools.map((name) => ({ type: "function", name, parameters })) }),
    }),
    read: (whole: Any) => ({
      text: whole.output.map(({ content }: Any) => textsIn(content)).join("|"),
      calls: whole.output.flatMap(({ type, call_id: id, name }: Any) =>
        type === "function_call" ? [{ id, name }] : [],
      ),
      finish: whole.status,
      usage: whole.usage?.output_tokens,
    }),
    join: (events: readonly Any[]) => events.findLast(({ response }) => response !== undefined).response,
  },
  messages: {
    path: () => "/v1/messages",
    body: (spoken, tools, model) => ({
      model: `fakeanth/${model}`,
      max_tokens: 99,
      messages: spoken.map((one) =>
        "text" in one
          ? { role: "user", content: one.text }
          : "answered" in one
            ? { role: "assistant", content: (one.answered.whole as Any).content }
            : {
                role: "user",
                content: [{ type: "tool_result", tool_use_id: (one.of as Any).id, content: one.result }],
              },
      ),
      ...(tools.length > 0 && { tools: tools.map((name) => ({ name, input_schema: parameters })) }),
    }),
    read: (whole: Any) => ({
      text: textsIn(whole.content.filter(({ type }: Any) => type === "text")),
      calls: whole.content.filter(({ type }: Any) => type === "tool_use"),
      finish: whole.stop_reason,
      usage: whole.usage?.output_tokens,
    }),
    join: (events: readonly Any[]) => {
      const content: Any[] = [];
      for (const { type, index, content_block: block, delta } of events) {
        if (type === "content_block_start") content[index] = structuredClone(block);
        if (type !== "content_block_delta") continue;
        if (delta.text !== undefined) content[index].text += delta.text;
        if (delta.thinking !== undefined) content[index].thinking += delta.thinking;
        if (delta.signature !== undefined) content[index].signature = delta.signature;
        if (delta.partial_json !== undefined) content[index].json = (content[index].json ?? "") + delta.partial_json;
      }
      for (const block of content)
        if (block.json !== undefined) {
          block.input = JSON.parse(block.json);
          delete block.json;
        }
      const end = events.find(({ type }) => type === "message_delta");
      return { content, stop_reason: end?.delta.stop_reason, usage: end?.usage };
    },
  },
  gemini: {
    path: (stream, model) =>
      `/v1beta/models/fakegem/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    body: (spoken, tools) => ({
      contents: spoken.map((one) =>
        "text" in one
          ? { role: "user", parts: [{ text: one.text }] }
          : "answered" in one
            ? (one.answered.whole as Any).candidates[0].content
            : {
                role: "user",
                parts: [{ functionResponse: { name: (one.of as Any).name, response: { result: one.result } } }],
              },
      ),
      ...(tools.length > 0 && { tools: [{ functionDeclarations: tools.map((name) => ({ name, parameters })) }] }),
    }),
    read: ({ candidates: [{ content, finishReason }], usageMetadata }: Any) => ({
      text: content.parts.map(({ text = "", thought }: Any) => (thought ? "" : text)).join(""),
      calls: content.parts.flatMap(({ functionCall }: Any) => functionCall ?? []),
      finish: finishReason,
      usage: usageMetadata?.candidatesTokenCount,
    }),
    join: (events: readonly Any[]) => ({
      candidates: [
        {
          content: {
            role: "model",
            parts: events.flatMap(({ candidates: [one] }) => one?.content?.parts ?? []),
          },
          finishReason: events.findLast(({ candidates: [one] }) => one?.finishReason).candidates[0].finishReason,
        },
      ],
      usageMetadata: events.findLast(({ usageMetadata }) => usageMetadata)?.usageMetadata,
    }),
  },
  native: {
    path: () => "/v1/calls",
    body: (spoken, tools, model) => ({
      model: `fake/${model}`,
      input: spoken.flatMap((one) =>
        "text" in one
          ? [{ type: "input", text: one.text }]
          : "answered" in one
            ? (one.answered.whole as Any).output
            : [{ type: "tool_result", id: (one.of as Any).id, content: one.result }],
      ),
      ...(tools.length > 0 && { tools: tools.map((name) => ({ name, parameters })) }),
    }),
    read: (whole: Any) => ({
      text: textsIn(whole.output.filter(({ type }: Any) => type === "response")),
      calls: whole.output.filter(({ type }: Any) => type === "tool_call"),
      finish: whole.finish_reason,
      usage: whole.usage?.output,
    }),
    join: (events: readonly Any[]) => events.at(-1),
  },
};

type Asked = {
  stream?: boolean;
  tools?: readonly string[];
  rhone?: Json;
  more?: Json;
  key?: string;
  model?: string;
  headers?: Record<string, string>;
};

/** Sends what is said on a surface, and reads the answer. */
export async function ask(
  surface: SurfaceName,
  spoken: string | readonly Spoken[],
  { stream = false, tools = [], rhone = {}, more = {}, key, model = "plan", headers = {} }: Asked = {},
): Promise<Answered> {
  const form = FORMS[surface];
  const said = typeof spoken === "string" ? [{ text: spoken }] : spoken;
  const body = {
    ...form.body(said, tools, model),
    ...(stream && surface !== "gemini" && { stream }),
    ...(stream && surface === "chat" && { stream_options: { include_usage: true } }),
    ...more,
    rhone,
  };
  const response = await request(form.path(stream, model), {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", ...headers },
    ...(key !== undefined && { key }),
  });
  const raw = await response.text();
  const known = { status: response.status, raw, headers: response.headers };
  const nothing = { text: "", calls: [], finish: undefined, usage: 0, rhone: {}, events: [] };
  if (!response.ok) return { ...known, ...nothing, whole: JSON.parse(raw) as Json };
  const events = stream
    ? decodeSse(new TextEncoder().encode(raw)).flatMap(({ data }) =>
        data === undefined || data === "[DONE]" ? [] : [JSON.parse(data) as Json],
      )
    : [];
  const isBroken = events.some((event) => "error" in event || event.type === "response.failed");
  if (isBroken) return { ...known, ...nothing, events, whole: {} };
  const whole = stream ? form.join(events) : (JSON.parse(raw) as Json);
  const annotated = stream ? findRhone(events) : (whole.rhone as Json);
  return { ...known, ...form.read(whole), rhone: annotated, whole, events };
}

/** The last `rhone` object of a stream. */
function findRhone(events: readonly Any[]): Json {
  const all = events.flatMap((event) => event.rhone ?? event.response?.rhone ?? event.message?.rhone ?? []);
  return all.at(-1) as Json;
}

/** An answer, which must be a success. */
export async function answered(...asked: Parameters<typeof ask>): Promise<Answered> {
  const answer = await ask(...asked);
  expect([answer.status, answer.raw.slice(0, 600)]).toEqual([200, expect.anything()]);
  return answer;
}

/**
 * A streamed call of Chat, when the webhook of `rhone.tools` that logs to `test` has got its first request. `reading`: its
 * text, or what there is of that.
 */
export async function startCall(test: string, text: string, rhone: Json): Promise<StartedCall> {
  const messages = [{ role: "user", content: text }];
  const body = JSON.stringify({ model: "fake/plan", stream: true, messages, rhone });
  const response = await request("/v1/chat/completions", { method: "POST", body });
  const reading = response.text().catch(() => "");
  await expect.poll(async () => (await toolLog(test)).length).toBe(1);
  const [call, run, session] = ["call", "run", "session"].map((name) => response.headers.get(`x-rhone-${name}-id`)!);
  return { call: call!, run: run!, session: session!, reading };
}

type StartedCall = { call: string; run: string; session: string; reading: Promise<string> };

/** The items of an answer of Responses. */
export const outputOf = ({ whole }: Answered): Json[] => whole.output as Json[];
