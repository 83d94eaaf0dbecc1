import { SIGNATURE } from "./anthropic.ts";
import { THOUGHT_SIGNATURE } from "./gemini.ts";
import { ENCRYPTED } from "./responses.ts";
import { json } from "./scene.ts";

type Json = ReturnType<typeof JSON.parse>;
export type Dialect = "openai-chat" | "openai-responses" | "anthropic" | "gemini";

/**
 * The refusal of a request that the real provider refuses, in its own words and form; `undefined`: it takes the request.
 * Covered is what tool loops can break: pairs of calls and results, ids, types and ids of items, names of tools, cache
 * marks, seals.
 */
export function refusalOf(dialect: Dialect, body: object): Response | undefined {
  const message = FAULTS[dialect](body as Json).next().value;
  if (message === undefined) return undefined;
  const error = { type: "invalid_request_error", message };
  if (dialect === "anthropic") return json({ type: "error", error, request_id: "req_fake_anthropic" }, 400);
  if (dialect === "gemini") return json({ error: { code: 400, message, status: "INVALID_ARGUMENT" } }, 400);
  return json({ error: { ...error, param: null, code: null } }, 400);
}

type Faults = Generator<string, void>;
const FAULTS: Record<Dialect, (body: Json) => Faults> = {
  "openai-chat": findChatFaults,
  "openai-responses": findResponsesFaults,
  anthropic: findMessagesFaults,
  gemini: findGeminiFaults,
};

const OPENAI_NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const ANTHROPIC_NAME = /^[a-zA-Z0-9_-]{1,128}$/;
const GEMINI_NAME = /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$/;
/** The longest id of a call that OpenAI takes, in Chat and in Responses, and of an item. */
const MAX_CALL_ID = { chat: 40, responses: 64 };
const MAX_MARKS = 4;

function* findChatFaults({ messages, tools = [], tool_choice }: Json): Faults {
  const named = (tool: Json): Json => tool.function ?? tool.custom;
  yield* findNameFaults(
    tools.map((tool: Json) => named(tool).name),
    OPENAI_NAME,
    "tools[].function.name",
  );
  yield* findChoiceFaults(
    [
      named(tool_choice ?? {})?.name,
      ...(tool_choice?.allowed_tools?.tools ?? []).map((tool: Json) => named(tool).name),
    ],
    tools.map((tool: Json) => named(tool).name),
  );
  let open: string[] = [];
  for (const [i, { role, tool_calls = [], tool_call_id, content }] of messages.entries()) {
    if (role === "tool") {
      if (!open.includes(tool_call_id))
        yield `messages[${i}]: messages with role 'tool' must be a response to a preceding message with 'tool_calls' (${tool_call_id}).`;
      open = open.filter((id) => id !== tool_call_id);
      if (typeof content !== "string" && content.some(({ type }: Json) => type !== "text"))
        yield `messages[${i}].content: tool messages take text.`;
      continue;
    }
    if (open.length > 0) yield* unanswered(open);
    open = tool_calls.map(({ id }: Json) => id);
    if (role === "assistant" && open.length === 0 && [undefined, null, ""].includes(content))
      yield `messages[${i}]: Invalid assistant message: content or tool_calls must be set`;
    if (new Set(open).size < open.length) yield `messages[${i}].tool_calls: duplicate ids ${open.join()}`;
    for (const call of tool_calls) {
      if (!OPENAI_NAME.test(named(call)?.name)) yield `messages[${i}].tool_calls[].function.name: ${named(call)?.name}`;
      if (typeof (call.function?.arguments ?? call.custom?.input) !== "string")
        yield `messages[${i}].tool_calls[].function.arguments: expected a string.`;
      if (call.id === "" || call.id.length > MAX_CALL_ID.chat)
        yield `Invalid 'messages[${i}].tool_calls[].id': expected 1 to ${MAX_CALL_ID.chat} characters: ${call.id}`;
    }
  }
  if (open.length > 0) yield* unanswered(open);
}

function* unanswered(ids: string[]): Faults {
  yield `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${ids.join(", ")}`;
}

/** How the ids of Responses items begin; types that are none of these are unknown. */
const ITEM_IDS: Record<string, string> = {
  message: "msg",
  reasoning: "rs",
  function_call: "fc",
  function_call_output: "fc",
  custom_tool_call: "ctc",
  custom_tool_call_output: "ctc",
  compaction: "cmp",
};

function* findResponsesFaults({ input, tools = [], tool_choice }: Json): Faults {
  const functions = tools.flatMap((tool: Json) => (tool.type === "namespace" ? tool.tools : [tool]));
  yield* findNameFaults(
    functions.map(({ name }: Json) => name),
    OPENAI_NAME,
    "tools[].name",
  );
  const chosen = [tool_choice?.name, ...(tool_choice?.tools ?? []).map(({ name }: Json) => name)];
  yield* findChoiceFaults(
    chosen,
    functions.map(({ name }: Json) => name),
  );
  if (typeof input === "string") return;
  const ids = new Set<string>();
  const open = new Map<string, string>();
  for (const [i, item] of input.entries()) {
    const { type = "message", id, call_id, name } = item;
    if (type === "item_reference") yield `Item with id '${id}' not found.`;
    const prefix = ITEM_IDS[type];
    if (prefix === undefined)
      yield `Invalid value: '${type}'. Supported values are: ${Object.keys(ITEM_IDS).join(", ")}.`;
    if (id !== undefined && id !== null) {
      if (!id.startsWith(prefix!))
        yield `Invalid 'input[${i}].id': '${id}'. Expected an ID that begins with '${prefix}'.`;
      if (id.length > 64) yield `Invalid 'input[${i}].id': string too long: ${id}`;
      if (ids.has(id))
        yield `Duplicate item found with id ${id}. Remove duplicate items from your input and try again.`;
      ids.add(id);
    }
    if (type === "reasoning") {
      if ((item.encrypted_content ?? ENCRYPTED) !== ENCRYPTED)
        yield `The encrypted content of item ${id} could not be verified.`;
      const next = input[i + 1];
      if (next === undefined || next.type?.endsWith("_output") || /^(user|system|developer)$/.test(next.role))
        yield `Item '${id}' of type 'reasoning' was provided without its required following item.`;
    }
    if (type === "function_call" || type === "custom_tool_call") {
      if (!OPENAI_NAME.test(name)) yield `Invalid 'input[${i}].name': string does not match pattern: ${name}`;
      if (!call_id || call_id.length > MAX_CALL_ID.responses) yield `Invalid 'input[${i}].call_id': ${call_id}`;
      if (open.has(call_id)) yield `Duplicate call_id ${call_id} in input.`;
      open.set(call_id, type);
    }
    if (type === "function_call_output" || type === "custom_tool_call_output") {
      if (`${open.get(call_id)}_output` !== type) yield `No tool call found for ${type} with call_id ${call_id}.`;
      open.delete(call_id);
    }
  }
  for (const id of open.keys()) yield `No tool output found for function call ${id}.`;
}

const BLOCKS = new Set(["text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result"]);

function* findMessagesFaults(body: Json): Faults {
  const { messages, tools = [], tool_choice } = body;
  yield* findNameFaults(
    tools.map(({ name }: Json) => name),
    ANTHROPIC_NAME,
    "tools.name",
  );
  yield* findChoiceFaults(
    [tool_choice?.name],
    tools.map(({ name }: Json) => name),
  );
  const marks = JSON.stringify(body).match(/"cache_control":\{/g) ?? [];
  if (marks.length > MAX_MARKS)
    yield `A maximum of ${MAX_MARKS} blocks with cache_control may be provided. Found ${marks.length}.`;
  const used = new Set<string>();
  let open: string[] = [];
  for (const [i, { role, content }] of joinRoles(messages).entries()) {
    const results = content.filter(({ type }: Json) => type === "tool_result");
    for (const { tool_use_id } of results)
      if (!open.includes(tool_use_id))
        yield `messages.${i}.content: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${tool_use_id}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`;
    const answered = content.slice(0, results.length).map(({ tool_use_id }: Json) => tool_use_id);
    const missing = open.filter((id) => !answered.includes(id));
    if (missing.length > 0)
      yield `messages.${i}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${missing.join()}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`;
    if (new Set(answered).size < results.length) yield `messages.${i}: each tool_use must have a single result.`;
    const calls = content.filter(({ type }: Json) => type === "tool_use");
    open = calls.map(({ id }: Json) => id);
    if (open.length > 0 && role !== "assistant")
      yield `messages.${i}: \`tool_use\` blocks can only be in \`assistant\` messages`;
    for (const { id, name, input } of calls) {
      if (!/^[a-zA-Z0-9_-]+$/.test(id))
        yield `messages.${i}.content.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$': ${id}`;
      if (used.has(id)) yield `messages.${i}: \`tool_use\` ids must be unique: ${id}`;
      if (!ANTHROPIC_NAME.test(name)) yield `messages.${i}.content.tool_use.name: String should match pattern: ${name}`;
      if (typeof input !== "object" || input === null) yield `messages.${i}.content.tool_use.input: expected an object`;
      used.add(id);
    }
    if (role === "assistant" && content.at(-1)?.type.endsWith("thinking"))
      yield `messages.${i}: The final block in an assistant message cannot be \`thinking\`.`;
    for (const { type, text, signature } of content) {
      if (!BLOCKS.has(type))
        yield `messages.${i}.content: Input tag '${type}' found using 'type' does not match any of the expected tags`;
      if (type === "text" && text === "") yield `messages.${i}.content: text content blocks must be non-empty`;
      if (type === "thinking" && signature !== SIGNATURE)
        yield `messages.${i}.content: Invalid \`signature\` in \`thinking\` block`;
    }
  }
  if (body.thinking?.type === "enabled" && isUnsignedLoop(joinRoles(messages)))
    yield "messages: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message must start with a thinking block.";
  if (open.length > 0)
    yield `messages: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${open.join()}.`;
}

/** Whether the messages end within a tool loop whose first answer has no thinking in front. */
function isUnsignedLoop(messages: readonly { role: string; content: Json[] }[]): boolean {
  const hasResult = (message: { content: Json[] } | undefined): boolean =>
    message?.content.some(({ type }: Json) => type === "tool_result") === true;
  if (!hasResult(messages.at(-1))) return false;
  const start = messages.findLastIndex((message) => message.role === "user" && !hasResult(message));
  return !/thinking/.test(messages[start + 1]?.content[0]?.type);
}

/** Anthropic takes messages of one role in a row as one. */
function joinRoles(messages: Json): { role: string; content: Json[] }[] {
  const joined: { role: string; content: Json[] }[] = [];
  for (const { role, content } of messages) {
    const blocks = typeof content === "string" ? [{ type: "text", text: content }] : content;
    if (joined.at(-1)?.role === role) joined.at(-1)!.content.push(...blocks);
    else joined.push({ role, content: [...blocks] });
  }
  return joined;
}

const PARTS = new Set([
  "text",
  "inlineData",
  "fileData",
  "functionCall",
  "functionResponse",
  "thought",
  "thoughtSignature",
]);
/** For calls that Gemini did not make itself (Gemini API, "Thought signatures"); bytes are base64. */
const DUMMY_SIGNATURES = new Set(
  ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"].flatMap((text) => [text, btoa(text)]),
);

function* findGeminiFaults({ contents, tools = [], toolConfig }: Json): Faults {
  const names: string[] = tools.flatMap(({ functionDeclarations = [] }: Json) =>
    functionDeclarations.map(({ name }: Json) => name),
  );
  yield* findNameFaults(names, GEMINI_NAME, "tools[0].function_declarations[].name: Invalid function name");
  yield* findChoiceFaults(toolConfig?.functionCallingConfig?.allowedFunctionNames ?? [], names);
  let open: Json[] = [];
  for (const [i, { role, parts }] of contents.entries()) {
    for (const part of parts) {
      const unknown = Object.keys(part).find((member) => !PARTS.has(member));
      if (unknown !== undefined)
        yield `Invalid JSON payload received. Unknown name "${unknown}" at 'contents[${i}].parts': Cannot find field.`;
    }
    const results = parts.flatMap(({ functionResponse }: Json) => functionResponse ?? []);
    if (results.length !== open.length)
      yield "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.";
    if (results.length > 0 && parts.some(({ text }: Json) => text !== undefined))
      yield "Please ensure that function response turn comes immediately after a function call turn, without other parts.";
    // A result is that of the call of its id, or else of the first call of its name that has no result yet.
    for (const { name, id, response } of results) {
      const call = open.find((one) => one.name === name && (id === undefined || one.id === id));
      if (call === undefined) yield `contents[${i}]: the function response ${name} (${id}) is that of no function call`;
      open = open.filter((one) => one !== call);
      if (typeof response !== "object" || response === null || Array.isArray(response))
        yield `Invalid value at 'contents[${i}].parts[].function_response.response' (type.googleapis.com/google.protobuf.Struct)`;
    }
    const calls = parts.filter(({ functionCall }: Json) => functionCall !== undefined);
    open = calls.map(({ functionCall }: Json) => functionCall);
    if (open.length > 0 && (role !== "model" || i === 0 || contents[i - 1].role === "model"))
      yield "Please ensure that function call turn comes immediately after a user turn or after a function response turn.";
    for (const { name } of open) if (!GEMINI_NAME.test(name)) yield `contents[${i}]: Invalid function name: ${name}`;
    if (calls[0] !== undefined && calls[0].thoughtSignature === undefined)
      yield "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly.";
    for (const { thoughtSignature = THOUGHT_SIGNATURE } of parts)
      if (toStandardBase64(thoughtSignature) !== THOUGHT_SIGNATURE && !DUMMY_SIGNATURES.has(thoughtSignature))
        yield "Thought signature is not valid.";
  }
  if (open.length > 0) yield "Please ensure that function call turns are followed by a function response turn.";
}

/** Google's Python SDK sends bytes in the other alphabet; the API takes both. */
const toStandardBase64 = (text: string): string => text.replaceAll("-", "+").replaceAll("_", "/");

function* findNameFaults(names: readonly (string | undefined)[], pattern: RegExp, at: string): Faults {
  const given = names.filter((name) => name !== undefined);
  for (const name of given) if (!pattern.test(name)) yield `${at}: '${name}' does not match '${pattern.source}'.`;
  if (new Set(given).size < given.length) yield `${at}: tool names must be unique: ${given.join()}`;
}

function* findChoiceFaults(chosen: readonly (string | undefined)[], names: readonly string[]): Faults {
  const missing = chosen.find((name) => name !== undefined && !names.includes(name));
  if (missing !== undefined) yield `Tool choice '${missing}' not found in 'tools' parameter.`;
}
