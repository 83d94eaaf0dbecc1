import { encodeUtf8 } from "../../../src/wire/bytes.ts";
import { isObject, type Json, stringifyMember } from "../../../src/wire/json.ts";
import { decodeSse } from "../../../src/wire/sse.ts";
import type { Outcome } from "./table.ts";

/** One surface: how it is called over plain HTTP, and read. */
type Surface = {
  path: (model: string, isStream: boolean) => string;
  body: object;
  /** The text of an event or of a whole answer. */
  textOf: (body: Json) => Json | undefined;
  /** The end of a stream, and of a whole answer. */
  end: RegExp;
  isDone: (whole: Json) => boolean;
  /** Whether an event or a body is an error in the form of this surface. */
  isError: (body: Json) => boolean;
};

const TEXT = "Count to four.";
const messages = [{ role: "user", content: TEXT }];

export const SURFACES: Record<string, Surface> = {
  chat: {
    path: () => "/v1/chat/completions",
    body: { messages },
    textOf: (body) =>
      valueAt(body, "choices", 0, "delta", "content") ?? valueAt(body, "choices", 0, "message", "content"),
    end: /^data: \[DONE\]$/gm,
    isDone: (body) => valueAt(body, "choices", 0, "finish_reason") === "stop",
    isError: (body) => isText(body, "error", "message") && valueAt(body, "error", "type") !== undefined,
  },
  responses: {
    path: () => "/v1/responses",
    body: { input: TEXT },
    textOf: (body) =>
      valueAt(body, "type") === "response.output_text.delta"
        ? valueAt(body, "delta")
        : valueAt(body, "output", 0, "content", 0, "text"),
    end: /^event: response\.completed$/gm,
    isDone: (body) => valueAt(body, "status") === "completed",
    isError: (body) =>
      valueAt(body, "type") === "response.failed"
        ? isText(body, "response", "error", "message")
        : isText(body, "error", "message"),
  },
  messages: {
    path: () => "/v1/messages",
    body: { messages, max_tokens: 50 },
    textOf: (body) => valueAt(body, "delta", "text") ?? valueAt(body, "content", 0, "text"),
    end: /^event: message_stop$/gm,
    isDone: (body) => valueAt(body, "stop_reason") === "end_turn",
    isError: (body) => valueAt(body, "type") === "error" && isText(body, "error", "type"),
  },
  gemini: {
    path: (model, isStream) =>
      `/v1beta/models/${model}:${isStream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    body: { contents: [{ role: "user", parts: [{ text: TEXT }] }] },
    textOf: (body) => valueAt(body, "candidates", 0, "content", "parts", 0, "text"),
    end: /"finishReason":\s*"STOP"/g,
    isDone: (body) => valueAt(body, "candidates", 0, "finishReason") === "STOP",
    isError: (body) => typeof valueAt(body, "error", "code") === "number" && isText(body, "error", "status"),
  },
  native: {
    path: () => "/v1/calls",
    body: { input: TEXT },
    textOf: (body) => {
      const type = valueAt(body, "type");
      if (type === "response.delta") return valueAt(body, "text");
      const isWhole = type === undefined && valueAt(body, "call") !== undefined;
      return isWhole ? valueAt(body, "output", 0, "text") : undefined;
    },
    end: /^event: call\.completed$/gm,
    isDone: (body) => valueAt(body, "call", "status") === "completed",
    isError: (body) => isText(body, "error", "code") && isText(body, "error", "message"),
  },
};

/** The value at a path of members and indexes; undefined where the path ends early. */
const valueAt = (body: Json, ...path: readonly (string | number)[]): Json | undefined =>
  path.reduce<Json | undefined>((value, key) => {
    if (typeof key === "number") return Array.isArray(value) ? value[key] : undefined;
    return isObject(value) ? value[key] : undefined;
  }, body);

const isText = (body: Json, ...path: readonly (string | number)[]): boolean =>
  typeof valueAt(body, ...path) === "string";

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
  const bodies = isStream && status === 200 ? parseEvents(raw) : [JSON.parse(raw) as Json];
  const errors = bodies.filter(isError).length;
  const text = bodies.map((body) => stringifyMember(textOf(body))).join("");
  const ends = isStream ? (raw.match(end)?.length ?? 0) : bodies.filter(isDone).length;
  const outcome = status !== 200 ? status : errors === 0 ? "answered" : text === "" ? "error" : "broken";
  return { outcome, text, ends, errors };
}

/** The events of a stream that are JSON: a native relay also passes on others. */
function parseEvents(raw: string): Json[] {
  return decodeSse(encodeUtf8(raw)).flatMap(({ data }) => {
    if (data === undefined || data === "[DONE]") return [];
    try {
      return [JSON.parse(data) as Json];
    } catch {
      return [];
    }
  });
}
