import type { ModelRequest } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import { type Edit, findMembers, replaceMember, sliceSpan, splice } from "../../wire/splice.ts";
import type { ReplyContext } from "../dialect.ts";

const dialect = "openai-responses";

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

/**
 * The members of the request that a response repeats (API reference, "The response object"). The request came
 * over this wire, so its body has them in the right form.
 */
export function echoRequest(request: ModelRequest | undefined): JsonObject {
  const body = bodyOf(request);
  const echoed = Object.entries(DEFAULTS).map(([member, value]) => [member, body[member] ?? value]);
  const tools = Array.isArray(body.tools) ? body.tools.map(echoTool) : [];
  const text = { format: { type: "text" }, ...(isObject(body.text) ? body.text : {}) };
  const reasoning = { effort: null, summary: null, ...(isObject(body.reasoning) ? body.reasoning : {}) };
  return { ...Object.fromEntries(echoed), tools, text, reasoning };
}

/**
 * Members that connect a response with its conversation. They come from the request: a provider that received
 * the whole context does not have them.
 */
export function readConversationPosition(request: ModelRequest | undefined): JsonObject {
  const { previous_response_id: previous, conversation, background } = bodyOf(request);
  return {
    ...(previous != null && { previous_response_id: previous }),
    ...(conversation != null && { conversation: isObject(conversation) ? conversation : { id: conversation } }),
    ...(background === true && { background }),
  };
}

const bodyOf = (request: ModelRequest | undefined): JsonObject =>
  request?.rest?.dialect === dialect && isObject(request.rest.item) ? request.rest.item : {};

/** Defaults of the API for members that the request does not set (API reference, Responses: create). */
const DEFAULTS: JsonObject = {
  instructions: null,
  previous_response_id: null,
  tool_choice: "auto",
  parallel_tool_calls: true,
  truncation: "disabled",
  temperature: 1,
  top_p: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  top_logprobs: 0,
  max_output_tokens: null,
  max_tool_calls: null,
  store: true,
  background: false,
  service_tier: "default",
  metadata: {},
  safety_identifier: null,
  prompt_cache_key: null,
};

/** The API returns functions with all optional members. */
function echoTool(tool: Json): Json {
  if (!isObject(tool)) return tool;
  if (tool.type === "function") return { description: null, parameters: null, strict: true, ...tool };
  if (tool.type !== "mcp") return tool;
  // What opens the server is not shown.
  const { authorization: _, ...shown } = tool;
  return { allowed_tools: null, require_approval: "always", ...shown, headers: null };
}
