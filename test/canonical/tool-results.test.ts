import { describe, expect, it } from "vitest";
import { hashToolId, joinResults, pairResults } from "../../src/canonical/tool-results.ts";
import type { Message, ToolCall, ToolResult } from "../../src/canonical/types.ts";
import { gemini } from "../../src/dialects/gemini/index.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { decodeItems } from "../../src/session/history/decode.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";

const call = (id: string, name = "look", own: Partial<ToolCall> = {}): ToolCall => ({
  kind: "tool_call",
  id,
  name,
  arguments: "{}",
  ...own,
});
const result = (id: string, name?: string, own: Partial<ToolResult> = {}): ToolResult => ({
  kind: "tool_result",
  id,
  ...(name !== undefined && { name }),
  content: [],
  ...own,
});
const byModel = (...blocks: Message["blocks"]): Message => ({ role: "assistant", blocks });
const byClient = (...blocks: Message["blocks"]): Message => ({ role: "user", blocks });
const assigned = { isIdAssigned: true } as const;

/** The ids that the results have after pairing, in order. */
const idsAfter = (...messages: Message[]): string[] =>
  pairResults(messages).flatMap(({ blocks }) =>
    blocks.flatMap((block) => (block.kind === "tool_result" ? [block.id] : [])),
  );

describe("a tool result", () => {
  it("a tool result answers the call of its id before any result answers by name, also across messages", () => {
    const calls = byModel(call("a"), call("b"));
    expect(idsAfter(calls, byClient(result("x", "look", assigned), result("a", "look")))).toEqual(["b", "a"]);
    expect(idsAfter(calls, byClient(result("x", "look", assigned)), byClient(result("a", "look")))).toEqual(["b", "a"]);
    expect(idsAfter(calls, byClient(result("b"), result("a")))).toEqual(["b", "a"]);
  });

  it("a tool result of an earlier call is not given to another call of its name", () => {
    const messages = [byModel(call("a")), byClient(result("a")), byModel(call("b")), byClient(result("a", "look"))];
    expect(idsAfter(...messages)).toEqual(["a", "a"]);
  });

  it("a tool result without an id answers a call by name and order", () => {
    const calls = byModel(call("a"), call("b", "other"), call("c"));
    const results = ["look", "look", "other"].map((name, i) => result(`x${i}`, name, assigned));
    expect(idsAfter(calls, byClient(...results))).toEqual(["a", "c", "b"]);
    // The id is a coincidence: both are assigned by position.
    expect(idsAfter(byModel(call("x0"), call("x1")), byClient(result("x1", "look", assigned)))).toEqual(["x0"]);
  });

  it("a tool result is paired by the id of the call's item, and by the shortened id of another wire", () => {
    const long = "functions.look:0";
    const item = { native: { dialect: "openai-responses", item: { id: "fc_1" } } } as const;
    const calls = byModel(call(long), call("call_1", "look", item));
    expect(idsAfter(calls, byClient(result("fc_1"), result(hashToolId(long))))).toEqual(["call_1", long]);
    // Given twice, it is never that of another call of its name.
    expect(idsAfter(calls, byClient(result("fc_1", "look"), result("fc_1", "look")))).toEqual(["call_1", "call_1"]);
  });
});

describe("several results of one call", () => {
  const text = (said: string): ToolResult["content"][0] => ({ kind: "text", text: said });
  const given = (id: string, said: string, own: Partial<ToolResult> = {}): ToolResult =>
    result(id, undefined, { content: [text(said)], ...own });

  it("several results of one call become one with the content of all, without repetitions", () => {
    const calls = byModel(call("a"), call("b"));
    const note = { kind: "text", text: "Go on." } as const;
    const joined = [calls, byClient(given("a", "one"), given("b", "two")), byClient(note)];
    expect(
      joinResults([
        calls,
        byClient(given("a", "one"), given("b", "two")),
        byClient(given("b", "two")),
        byClient(given("a", "one"), note),
      ]),
    ).toEqual(joined);
    expect(joinResults([calls, byClient(given("a", "one"), given("b", "two"), given("a", "three"))])).toEqual([
      calls,
      byClient(given("a", "one", { content: [text("one"), text("three")] }), given("b", "two")),
    ]);
    expect(joinResults([calls, byClient(given("a", "one")), byClient(given("a", "no", { isError: true }))])).toEqual([
      calls,
      byClient(given("a", "one", { content: [text("one"), text("no")], isError: true })),
    ]);
  });

  it("results of one id stay separate if several calls have it, in one turn or in several, or if no call has it", () => {
    const turns = [1, 2].flatMap((n) => [
      byModel(call("call_0"), call("call_0")),
      byClient(given("call_0", `first ${n}`), given("call_0", `second ${n}`)),
    ]);
    expect(joinResults(turns)).toBe(turns);
    const unknown = [byModel(call("a")), byClient(given("x", "one"), given("x", "two"))];
    expect(joinResults(unknown)).toBe(unknown);
  });
});

describe("a tool result that is an error", () => {
  it.each(Object.values(DIALECTS))(
    "the error mark of a tool result is encoded for $id, or reported as a loss",
    (dialect) => {
      const failed = result("a", "look", { content: [{ kind: "text", text: "no such city" }], isError: true });
      const { value, losses } = dialect.encodeMessages([byModel(call("a")), byClient(failed)], {
        dialect: dialect.id,
        model: "m",
      });
      const marks = dialect
        .decodeMessages(value)
        .flatMap(({ blocks }) => blocks.flatMap((block) => (block.kind === "tool_result" ? [block.isError] : [])));
      expect(JSON.stringify(value)).toContain("no such city");
      expect(marks[0] === true || losses.some(({ at }) => at === "tool_result.is_error")).toBe(true);
    },
  );
});

describe("calls of Gemini without ids", () => {
  const parts = (...cities: string[]): Json[] =>
    cities.map((city) => ({ functionCall: { name: "get_weather", args: { city } } }));
  const contents = [{ role: "model", parts: parts("Paris", "Rome") }];
  const stored = {
    dialect: gemini.id,
    items: JSON.stringify(contents[0]),
    calls: ["call_1", "call_2"].map((id) => ({ id, name: "get_weather" })),
  };
  const history = decodeItems(stored);
  const tool = (id: string, content: string): Json => ({ role: "tool", tool_call_id: id, content });
  const target = { dialect: gemini.id, model: "gemini-3" } as const;

  it("Gemini's calls without ids have in a restored turn the ids that the client received", () => {
    const { value } = openaiChat.encodeMessages(history, { dialect: openaiChat.id, model: "m" });
    expect(value).toMatchObject([{ tool_calls: [{ id: "call_1" }, { id: "call_2" }] }]);
  });

  it("Gemini's calls without ids stay so on their own wire, with their results in their order", () => {
    const answers = openaiChat.decodeMessages([tool("call_2", "rain"), tool("call_1", "sun")]);
    const { value } = gemini.encodeMessages(pairResults([...history, ...answers]), target);
    const responses = ["sun", "rain"].map((text) => ({
      functionResponse: { name: "get_weather", response: { result: text } },
    }));
    expect(value).toEqual([...contents, { role: "user", parts: responses }]);
  });

  it("Gemini's calls stay without ids if a signature cannot be sent, so that all calls of a content are alike", () => {
    const [first, second] = parts("Paris", "Rome") as [JsonObject, JsonObject];
    const signed = { role: "model", parts: [{ ...first, thoughtSignature: "c2ln" }, second] };
    const messages = gemini.decodeMessages([signed], "gemini/a");
    const { value } = gemini.encodeMessages(messages, { ...target, issuer: "gemini/b" });
    expect(JSON.stringify(value)).not.toContain('"id"');
  });
});
