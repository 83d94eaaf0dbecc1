import type { Json, JsonObject } from "../../wire/json.ts";
import { type Edit, members, replaceMember, sliceOf, splice } from "../../wire/splice.ts";
import type { ReplyContext } from "../dialect.ts";
import { echoRequest, readConversationPosition } from "./response.ts";

/**
 * A provider's response object with every member the specification requires: older and kindred hosts leave some out,
 * and none of them knows where in its conversation a response stands that was asked with the whole context. What it
 * says is not touched, but for that.
 */
export function addRequiredMembers(answer: string, { created, request }: ReplyContext): string {
  const found = members(answer);
  const isPresent = (key: string): boolean => found.some((member) => member.key === key);
  const position = readConversationPosition(request);
  const status = found.findLast(({ key }) => key === "status");
  const isCompleted = status !== undefined && sliceOf(answer, status.value) === '"completed"';
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

/** All of them in one edit, before the brace that closes the object. */
function appendMembers(answer: string, added: readonly [string, Json][], isFirst: boolean): Edit[] {
  if (added.length === 0) return [];
  const close = answer.lastIndexOf("}");
  const text = added.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",");
  return [{ start: close, end: close, text: isFirst ? text : `,${text}` }];
}
