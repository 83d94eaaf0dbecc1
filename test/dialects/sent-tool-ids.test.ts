import { expect, it } from "vitest";
import type { Message } from "../../src/canonical/types.ts";
import { anthropic } from "../../src/dialects/anthropic/index.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { openaiResponses } from "../../src/dialects/openai-responses/index.ts";
import type { Json } from "../../src/wire/json.ts";

const ITEMS = {
  anthropic: (id: string) => ({ role: "user", content: [{ type: "tool_result", tool_use_id: id, content: "sunny" }] }),
  "openai-chat": (id: string) => ({ role: "tool", tool_call_id: id, content: "sunny" }),
  "openai-responses": (id: string) => ({ type: "function_call_output", call_id: id, output: "sunny" }),
};
const DIALECTS = [anthropic, openaiChat, openaiResponses] as const;
const IDS = ["call_1", "functions.look:0", `call_${"x".repeat(90)}`, "call 1 é"];

const call = (id: string): Message => ({
  role: "assistant",
  blocks: [{ kind: "tool_call", id, name: "look", arguments: "{}" }],
});

it.each(DIALECTS.flatMap((dialect) => IDS.map((id) => ({ name: dialect.id, id, dialect }))))(
  "a client's own result has the id of another provider's call as $name sends it: $id",
  ({ id, dialect }) => {
    const own = dialect.decodeMessages([ITEMS[dialect.id as keyof typeof ITEMS](id)]);
    const target = { dialect: dialect.id, model: "m" } as const;
    for (const messages of [
      [call(id), ...own],
      [call(id), ...own, call(id), ...own],
    ]) {
      const { value } = dialect.encodeMessages(messages, target);
      const calls = value.flatMap(readCalls);
      const results = value.flatMap(readResults);
      expect(calls).toHaveLength(messages.length / 2);
      expect(results).toEqual(calls);
    }
  },
);

type Item = Record<string, Json> & { content?: Record<string, Json>[]; tool_calls?: { id: string }[] };

function readCalls(item: Json): Json[] {
  const { type, call_id, tool_calls = [], content } = item as Item;
  if (type === "function_call") return [call_id!];
  const blocks = Array.isArray(content) ? content : [];
  return [...tool_calls, ...blocks.filter((block) => block.type === "tool_use")].map(({ id }) => id!);
}

function readResults(item: Json): Json[] {
  const { type, call_id, tool_call_id, content } = item as Item;
  if (tool_call_id !== undefined) return [tool_call_id];
  if (type === "function_call_output") return [call_id!];
  return Array.isArray(content) ? content.flatMap(({ tool_use_id }) => tool_use_id ?? []) : [];
}

it.each(IDS)("a host that takes ids of nine characters gets such ids, the same for call and result: %s", (id) => {
  const toolId = /^[A-Za-z0-9]{9}$/;
  const target = { dialect: "openai-chat", model: "m", quirks: { toolId } } as const;
  const result: Message = { role: "user", blocks: [{ kind: "tool_result", id, name: "look", content: [] }] };
  const { value } = openaiChat.encodeMessages([call(id), result], target);
  const [own, ...others] = [...value.flatMap(readCalls), ...value.flatMap(readResults)];
  expect(own).toMatch(toolId);
  expect(others).toEqual([own]);
});
