import { tryParseJson, isObject } from "../../wire/json.ts";
import { type Edit, findElements, findMembers, splice } from "../../wire/splice.ts";
import { type SseEvent, withData } from "../../wire/sse.ts";

/** The lists of answers in a chunk, and the member of an answer with its finish reason: OpenAI Chat and Gemini. */
const LISTS = new Set(["choices", "candidates"]);
const REASONS = new Set(["finish_reason", "finishReason"]);

/**
 * The event with null as its finish reason; no other byte changes. For a chunk that has both content and the provider's
 * word for a failure: the content is sent, and an error event follows instead of the word.
 */
export function removeFinishReason(event: SseEvent): SseEvent {
  const { data = "" } = event;
  if (!isObject(tryParseJson(data))) return event;
  const edits = findMembers(data)
    .filter(({ key, value }) => LISTS.has(key) && data[value.start] === "[")
    .flatMap(({ value }) => findElements(data, value.start))
    .filter(({ start }) => data[start] === "{")
    .flatMap(({ start }) => findMembers(data, start))
    .filter(({ key }) => REASONS.has(key))
    .map(({ value }): Edit => ({ ...value, text: "null" }));
  const newData = splice(data, edits);
  return { ...event, data: newData, raw: withData(event, () => newData) };
}
