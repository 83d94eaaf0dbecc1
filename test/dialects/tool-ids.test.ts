import { describe, expect, it } from "vitest";
import { anthropic } from "../../src/dialects/anthropic/index.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";

const HOME = { dialect: anthropic.id, model: "m" } as const;

const calls = (...ids: string[]): Json => ({
  role: "assistant",
  content: null,
  tool_calls: ids.map((id) => ({ id, type: "function", function: { name: "look", arguments: "{}" } })),
});
const result = (id: string, content: string): Json => ({ role: "tool", tool_call_id: id, content });
const encoded = (...items: Json[]): Json[] =>
  anthropic.encodeMessages(openaiChat.decodeMessages([{ role: "user", content: "Look." }, ...items]), HOME).value;
const blocksIn = (items: readonly Json[]): JsonObject[] =>
  items.flatMap((item) => (item as { content: JsonObject[] }).content).filter(({ type }) => type !== "text");
const callIds = (items: readonly Json[]): Json[] => blocksIn(items).flatMap(({ id }) => id ?? []);
const resultIds = (items: readonly Json[]): Json[] => blocksIn(items).flatMap((block) => block.tool_use_id ?? []);

describe("calls of one id, on the way to a wire that refuses them", () => {
  const loop = [calls("call_0"), result("call_0", "one"), calls("call_0"), result("call_0", "two")];

  it("calls of one id get ids of their own, and their results have the same ids", () => {
    const ids = callIds(encoded(...loop));
    expect(ids[0]).toBe("call_0");
    expect(new Set(ids).size).toBe(2);
    expect(resultIds(encoded(...loop))).toEqual(ids);
  });

  it("calls of one id within one answer get ids of their own by their order", () => {
    const said = encoded(calls("call_0", "call_0"), result("call_0", "one"), result("call_0", "two"));
    expect(new Set(callIds(said)).size).toBe(2);
    expect(resultIds(said)).toEqual(callIds(said));
    expect(blocksIn(said).flatMap(({ content }) => content ?? [])).toEqual(["one", "two"]);
  });

  it("calls that have only the name of their function get ids of their own, and their results have the same ids", () => {
    const call = { role: "assistant", content: null, function_call: { name: "look", arguments: "{}" } };
    const said = encoded(call, { role: "function", name: "look", content: "one" }, call, {
      role: "function",
      name: "look",
      content: "two",
    });
    expect(new Set(callIds(said)).size).toBe(2);
    expect(resultIds(said)).toEqual(callIds(said));
  });

  it("calls of one id have the same ids when the conversation goes on", () => {
    const whole = encoded(...loop, calls("call_0"), result("call_0", "three"));
    expect(whole.slice(0, 5)).toEqual(encoded(...loop));
  });

  it("calls of one id stay as they are in a history of the same wire", () => {
    const items = [1, 2].flatMap((n): Json[] => [
      { role: "assistant", content: [{ type: "tool_use", id: "a", name: "look", input: {} }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "a", content: String(n) }] },
    ]);
    expect(anthropic.encodeMessages(anthropic.decodeMessages(items), HOME).value).toEqual(items);
  });
});
