import type { Dialect } from "../../canonical/types.ts";
import type { ReplyContext, WireDialect } from "../../dialects/dialect.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import type { SseEvent } from "../../wire/sse.ts";
import { withData } from "../../wire/sse.ts";
import { appendMember, elements, members, sliceOf, splice } from "../../wire/splice.ts";

/** Puts the `rhone` object into answers, where SPEC 4 says, without touching another byte. */
export function annotateBody(text: string, rhone: object): string {
  const json = JSON.stringify(rhone);
  if (!text.trimStart().startsWith("[")) return splice(text, [appendMember(text, "rhone", json)]);
  // Gemini's stream as one list: the first chunk and the last, as where it is a stream.
  const chunks = elements(text).filter(({ start }) => text[start] === "{");
  const ends = new Set([chunks[0], chunks.at(-1)].filter((chunk) => chunk !== undefined));
  return splice(
    text,
    [...ends].map(({ end }) => appendMember(text, "rhone", json, end - 1)),
  );
}

/** The event, with `rhone` in it if it is one that carries it on this wire. `at`: the stream's first event or among its last. */
export function annotateEvent(dialect: Dialect, event: SseEvent, rhone: object): Uint8Array {
  if (event.data === undefined || !event.data.trimStart().startsWith("{")) return event.raw;
  return withData(event, (data) => insertRhone(dialect, data, JSON.stringify(rhone)));
}

/** Whether an event of the stream's end is the one to carry it. */
export function isAnnotatedEnd(dialect: Dialect, event: SseEvent): boolean {
  if (event.data === undefined || !event.data.trimStart().startsWith("{")) return false;
  if (dialect === "anthropic") return event.event === "message_delta";
  if (dialect === "openai-responses") return /^response\.(completed|incomplete|failed)$/.test(event.event ?? "");
  return true;
}

/** The event with what its wire requires and the provider left out, where it holds a whole answer. */
export function addRequiredMembers(surface: WireDialect, event: SseEvent, reply: ReplyContext): SseEvent {
  // Looked for as text first: most events are deltas, and have none.
  if (surface.complete === undefined || event.data?.includes('"response"') !== true) return event;
  const { data } = event;
  const found = isObject(tryParseJson(data)) ? members(data).find(({ key }) => key === "response") : undefined;
  if (found === undefined || data[found.value.start] !== "{") return event;
  const completed = surface.complete(sliceOf(data, found.value), reply);
  const changed = splice(data, [{ ...found.value, text: completed }]);
  return { ...event, data: changed, raw: withData(event, () => changed) };
}

/** Anthropic and Responses name the object inside which their clients look. */
function insertRhone(dialect: Dialect, data: string, rhone: string): string {
  const container = dialect === "anthropic" ? "message" : dialect === "openai-responses" ? "response" : undefined;
  const found = container === undefined ? undefined : members(data).find(({ key }) => key === container);
  const close = found === undefined ? data.lastIndexOf("}") : found.value.end - 1;
  return splice(data, [appendMember(data, "rhone", rhone, close)]);
}
