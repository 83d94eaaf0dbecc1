import type { Json, JsonObject } from "../../wire/json.ts";
import { type Edit, findMembers, replaceMember, sliceSpan, splice } from "../../wire/splice.ts";
import type { ReplyContext } from "../dialect.ts";
import { echoRequest, readConversationPosition } from "./response.ts";

/**
 * Adds to a response of a provider the members that the specification requires: older and compatible hosts omit
 * some. The position in the conversation is replaced, because a provider that received the whole context does
 * not have it. All other bytes stay.
 */
export function addRequiredMembers(answer: string, { created, request }: ReplyContext): string {
  const found = findMembers(answer);
  const isPresent = (key: string): boolean => found.some((member) => member.key === key);
  const position = readConversationPosition(request);
  const status = found.findLast(({ key }) => key === "status");
  const isCompleted = status !== undefined && sliceSpan(answer, status.value) === '"completed"';
  const required: JsonObject = {
    object: "response",
    created_at: created,
    completed_at: isCompleted ? created : null,
    error: null,
    incomplete_details: null,
    output: [],
    usage: null,
    ...echoRequest(request),
    ...position,
  };
  const absent = Object.entries(required).filter(([key]) => !isPresent(key));
  const changed = Object.entries(position).flatMap(([key, value]) => replaceMember(found, key, JSON.stringify(value)));
  return splice(answer, [...changed, ...appendMembers(answer, absent, found.length === 0)]);
}

/** Inserts all members with one edit, before the brace that closes the object. */
function appendMembers(answer: string, added: readonly [string, Json][], isFirst: boolean): Edit[] {
  if (added.length === 0) return [];
  const close = answer.lastIndexOf("}");
  const text = added.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",");
  return [{ start: close, end: close, text: isFirst ? text : `,${text}` }];
}
