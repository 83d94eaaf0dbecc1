import type { Dialect } from "../../canonical/types.ts";
import type { ReplyContext, WireDialect } from "../../dialects/dialect.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import { appendMember, findElements, findMembers, sliceSpan, splice } from "../../wire/splice.ts";
import type { SseEvent } from "../../wire/sse.ts";
import { withData } from "../../wire/sse.ts";

/** Adds the `rhone` object to a whole answer. No other byte changes. */
export function annotateBody(text: string, rhone: object): string {
  const json = JSON.stringify(rhone);
  if (!text.trimStart().startsWith("[")) return splice(text, [appendMember(text, "rhone", json)]);
  // Gemini's stream as one JSON list: the first and the last chunk, as in a server-sent stream.
  const chunks = findElements(text).filter(({ start }) => text[start] === "{");
  const ends = new Set([chunks[0], chunks.at(-1)].filter((chunk) => chunk !== undefined));
  return splice(
    text,
    [...ends].map(({ end }) => appendMember(text, "rhone", json, end - 1)),
  );
}

/**
 * The event's bytes with the `rhone` object in it; unchanged if its data is no JSON object. The caller decides which
 * event of the stream has it: the first one, and the one that `isAnnotatedEnd` finds.
 */
export function annotateEvent(dialect: Dialect, event: SseEvent, rhone: object): Uint8Array {
  if (event.data === undefined || !event.data.trimStart().startsWith("{")) return event.raw;
  return withData(event, (data) => insertRhone(dialect, data, JSON.stringify(rhone)));
}

/**
 * Whether an event at the end of a stream is the one to get the `rhone` object: Anthropic's `message_delta`, the final
 * `response.*` event of OpenAI Responses, the last chunk elsewhere.
 */
export function isAnnotatedEnd(dialect: Dialect, event: SseEvent): boolean {
  if (event.data === undefined || !event.data.trimStart().startsWith("{")) return false;
  if (dialect === "anthropic") return event.event === "message_delta";
  if (dialect === "openai-responses") return /^response\.(completed|incomplete|failed)$/.test(event.event ?? "");
  return true;
}

/** An event of OpenAI Responses with the members that its `response` object requires and the provider left out. */
export function addRequiredMembers(surface: WireDialect, event: SseEvent, reply: ReplyContext): SseEvent {
  // A search in the text first, as most events are deltas without a `response`, and parsing each would cost time.
  if (surface.complete === undefined || event.data?.includes('"response"') !== true) return event;
  const { data } = event;
  const response = isObject(tryParseJson(data)) ? findMembers(data).find(({ key }) => key === "response") : undefined;
  if (response === undefined || data[response.value.start] !== "{") return event;
  const completed = surface.complete(sliceSpan(data, response.value), reply);
  const newData = splice(data, [{ ...response.value, text: completed }]);
  return { ...event, data: newData, raw: withData(event, () => newData) };
}

/**
 * Adds the member to the object that clients of the dialect read: `message` in Anthropic's first event, `response` in
 * OpenAI Responses, the event's data elsewhere.
 */
function insertRhone(dialect: Dialect, data: string, rhone: string): string {
  const name = dialect === "anthropic" ? "message" : dialect === "openai-responses" ? "response" : undefined;
  const container = name === undefined ? undefined : findMembers(data).find(({ key }) => key === name);
  const close = container === undefined ? data.lastIndexOf("}") : container.value.end - 1;
  return splice(data, [appendMember(data, "rhone", rhone, close)]);
}
