import type { Dialect } from "../canonical/types.ts";
import type { SseEvent } from "../wire/sse.ts";
import { withData } from "../wire/sse.ts";
import { appendMember, members, splice } from "../wire/splice.ts";

/** Puts the `rhone` object into answers, where SPEC 4 says, without touching another byte. */
export function annotateBody(text: string, rhone: object): string {
  return splice(text, [appendMember(text, "rhone", JSON.stringify(rhone))]);
}

/** The event, with `rhone` in it if it is one that carries it on this wire. `at`: the stream's first event or among its last. */
export function annotateEvent(dialect: Dialect, event: SseEvent, rhone: object): Uint8Array {
  if (event.data === undefined || !event.data.trimStart().startsWith("{")) return event.raw;
  return withData(event, (data) => placeIn(dialect, data, JSON.stringify(rhone)));
}

/** Whether an event of the stream's end is the one to carry it. */
export function carriesLast(dialect: Dialect, event: SseEvent): boolean {
  if (event.data === undefined || !event.data.trimStart().startsWith("{")) return false;
  if (dialect === "anthropic") return event.event === "message_delta";
  if (dialect === "openai-responses") return /^response\.(completed|incomplete|failed)$/.test(event.event ?? "");
  return true;
}

/** Anthropic and Responses name the object inside which their clients look. */
function placeIn(dialect: Dialect, data: string, rhone: string): string {
  const inner = dialect === "anthropic" ? "message" : dialect === "openai-responses" ? "response" : undefined;
  const found = inner === undefined ? undefined : members(data).find(({ key }) => key === inner);
  const close = found === undefined ? data.lastIndexOf("}") : found.value.end - 1;
  return splice(data, [appendMember(data, "rhone", rhone, close)]);
}
