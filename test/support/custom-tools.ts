import type { Dialect } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { type JsonObject } from "../../src/wire/json.ts";

export const PATCH = '*** Begin Patch\n+ say "hi" \\ \u{1F600}\n*** End Patch\n';
export const GRAMMAR = { syntax: "lark", definition: "start: begin hunk+ end\n" };
export const responses = DIALECTS["openai-responses"];
export const chat = DIALECTS["openai-chat"];

export const RESPONSES_BODY: JsonObject = {
  model: "m",
  input: [
    { role: "user", content: "go" },
    { type: "custom_tool_call", call_id: "c1", name: "apply_patch", input: PATCH },
    { type: "custom_tool_call_output", call_id: "c1", output: "Done" },
    { type: "function_call", call_id: "c2", namespace: "mcp__files", name: "read", arguments: '{"path":"a"}' },
    { type: "function_call_output", call_id: "c2", output: "text" },
  ],
  tools: [
    { type: "custom", name: "apply_patch", description: "Edits files", format: { type: "grammar", ...GRAMMAR } },
    {
      type: "namespace",
      name: "mcp__files",
      description: "Files",
      tools: [
        { type: "function", name: "read", parameters: { type: "object" } },
        { type: "custom", name: "write" },
      ],
    },
    { type: "local_shell" },
  ],
  tool_choice: { type: "custom", name: "apply_patch" },
};
export const CHAT_BODY: JsonObject = {
  model: "m",
  messages: [
    { role: "user", content: "go" },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "c1", type: "custom", custom: { name: "apply_patch", input: PATCH } }],
    },
    { role: "tool", tool_call_id: "c1", content: "Done" },
  ],
  tools: [{ type: "custom", custom: { name: "apply_patch", format: { type: "grammar", grammar: GRAMMAR } } }],
  tool_choice: {
    type: "allowed_tools",
    allowed_tools: { mode: "required", tools: [{ type: "custom", custom: { name: "apply_patch" } }] },
  },
};
export const encode = (id: Dialect, body: JsonObject, surface = responses, quirks = {}) =>
  DIALECTS[id].encodeRequest(surface.decodeRequest(body), { dialect: id, model: "m", quirks });
