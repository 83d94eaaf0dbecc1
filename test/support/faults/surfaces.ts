import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import { decodeSse } from "../../../src/wire/sse.ts";
import type { Outcome } from "./table.ts";

/** What an answer says, in whatever format. */
// oxlint-disable-next-line typescript/no-explicit-any -- a schema of five wires would test itself
type Body = any;

/** One surface: how it is called over plain HTTP, and read. */
type Surface = {
  path: (model: string, isStream: boolean) => string;
  body: object;
  /** The text of an event or of a whole answer. */
  textOf: (body: Body) => string | undefined;
  /** The end of a stream, and of a whole answer. */
  end: RegExp;
  isDone: (whole: Body) => boolean;
  /** Whether an event or a body is an error in the form of this surface. */
  isError: (body: Body) => boolean;
};

const TEXT = "Count to four.";
const messages = [{ role: "user", content: TEXT }];

export const SURFACES: Record<string, Surface> = {
  chat: {
    path: () => "/v1/chat/completions",
    body: { messages },
    textOf: ({ choices }) => choices?.[0]?.delta?.content ?? choices?.[0]?.message?.content,
    end: /^data: \[DONE\]$/gm,
    isDone: ({ choices }) => choices?.[0]?.finish_reason === "stop",
    isError: ({ error }) => typeof error?.message === "string" && "type" in error,
  },
  responses: {
    path: () => "/v1/responses",
    body: { input: TEXT },
    textOf: ({ type, delta, output }) =>
      type === "response.output_text.delta" ? delta : output?.[0]?.content?.[0]?.text,
    end: /^event: response\.completed$/gm,
    isDone: ({ status }) => status === "completed",
    isError: ({ type, response, error }) =>
      type === "response.failed" ? typeof response.error.message === "string" : typeof error?.message === "string",
  },
  messages: {
    path: () => "/v1/messages",
    body: { messages, max_tokens: 50 },
    textOf: ({ delta, content }) => delta?.text ?? content?.[0]?.text,
    end: /^event: message_stop$/gm,
    isDone: ({ stop_reason }) => stop_reason === "end_turn",
    isError: ({ type, error }) => type === "error" && typeof error.type === "string",
  },
  gemini: {
    path: (model, isStream) =>
      `/v1beta/models/${model}:${isStream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    body: { contents: [{ role: "user", parts: [{ text: TEXT }] }] },
    textOf: ({ candidates }) => candidates?.[0]?.content?.parts?.[0]?.text,
    end: /"finishReason":\s*"STOP"/g,
    isDone: ({ candidates }) => candidates?.[0]?.finishReason === "STOP",
    isError: ({ error }) => typeof error?.code === "number" && typeof error.status === "string",
  },
  native: {
    path: () => "/v1/calls",
    body: { input: TEXT },
    textOf: ({ type, text, output, call }) =>
      type === "response.delta" ? text : type === undefined && call !== undefined ? output?.[0]?.text : undefined,
    end: /^event: call\.completed$/gm,
    isDone: ({ call }) => call?.status === "completed",
    isError: ({ error }) => typeof error?.code === "string" && typeof error.message === "string",
  },
};

/** The request of a surface. */
export function toRequest(
  surface: string,
  { model, isStream, rhone }: { model: string; isStream: boolean; rhone: object },
): { path: string; init: { method: string; headers: Record<string, string>; body: string } } {
  const { path, body } = SURFACES[surface]!;
  const named = surface === "gemini" ? {} : { model, stream: isStream };
  const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01" };
  return {
    path: path(model, isStream),
    init: { method: "POST", headers, body: JSON.stringify({ ...body, ...named, rhone }) },
  };
}

/** What a client has read. `ends`: how often the answer was complete; `isAnswered`: neither an error nor incomplete. */
export type Reading = { outcome: Outcome | "answered"; text: string; ends: number; errors: number };

/** Reads an answer as a client of the surface does. */
export function readAnswer(surface: string, status: number, isStream: boolean, raw: string): Reading {
  const { textOf, end, isDone, isError } = SURFACES[surface]!;
  const bodies = isStream && status === 200 ? parseEvents(raw) : [JSON.parse(raw)];
  const errors = bodies.filter(isError).length;
  const text = bodies.map((body) => textOf(body) ?? "").join("");
  const ends = isStream ? (raw.match(end)?.length ?? 0) : bodies.filter(isDone).length;
  const outcome = status !== 200 ? status : errors === 0 ? "answered" : text === "" ? "error" : "broken";
  return { outcome, text, ends, errors };
}

/** The events of a stream that are JSON: a native relay also passes on others. */
function parseEvents(raw: string): Body[] {
  return decodeSse(encodeUtf8(raw)).flatMap(({ data }) => {
    if (data === undefined || data === "[DONE]") return [];
    try {
      return [JSON.parse(data) as object];
    } catch {
      return [];
    }
  });
}
