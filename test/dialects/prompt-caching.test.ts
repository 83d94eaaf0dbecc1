import { expect, it } from "vitest";
import { DIALECTS } from "../../src/dialects/index.ts";
import type { JsonObject } from "../../src/wire/json.ts";

/** Marks for Claude's cache in requests that clients of other APIs send. */

const tools = [{ type: "function", function: { name: "read" } }];

const toClaude = (body: JsonObject): JsonObject =>
  DIALECTS.anthropic.encodeRequest(DIALECTS["openai-chat"].decodeRequest({ model: "m", ...body }), {
    dialect: "anthropic",
    model: "claude-sonnet-4-5",
    issuer: "anthropic",
  }).value;

const countMarks = (body: JsonObject): number => JSON.stringify(body).split('"cache_control"').length - 1;

/** The text that Claude's cache sees: bodies without marks, and with one form of content. */
const promptOf = ({ system, tools: sent, messages }: JsonObject): string => {
  const asList = (content: unknown): unknown =>
    typeof content === "string" ? [{ type: "text", text: content }] : content;
  const list = messages as JsonObject[];
  const prompt = [sent, asList(system), ...list.map(({ role, content }) => [role, asList(content)])];
  return JSON.stringify(prompt, (key, value: unknown) => (key === "cache_control" ? undefined : value)).slice(0, -1);
};

it("an agent's call marks its tools, its instructions and its last message, and keeps the prompt before them", () => {
  const messages: JsonObject[] = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Go." },
  ];
  let before = "";
  for (let step = 1; step <= 12; step++) {
    const body = toClaude({ messages, tools });
    expect(countMarks(body)).toBe(3);
    expect(JSON.stringify(body.tools)).toContain("cache_control");
    expect(JSON.stringify(body.system)).toContain("cache_control");
    expect(JSON.stringify((body.messages as JsonObject[]).at(-1))).toContain("cache_control");
    const prompt = promptOf(body);
    expect(prompt.startsWith(before)).toBe(true);
    before = prompt;
    const call = { id: `c${step}`, type: "function", function: { name: "read", arguments: "{}" } };
    messages.push(
      { role: "assistant", content: "On it.", tool_calls: [call] },
      { role: "tool", tool_call_id: `c${step}`, content: `result ${step}` },
    );
  }
});

it.each<[string, JsonObject, number]>([
  ["a single question", { messages: [{ role: "user", content: "Hi" }] }, 0],
  [
    "a conversation",
    {
      messages: [
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Hello" },
        { role: "user", content: "And?" },
      ],
    },
    1,
  ],
  [
    "a client's own mark",
    {
      tools,
      messages: [{ role: "user", content: [{ type: "text", text: "Hi", cache_control: { type: "ephemeral" } }] }],
    },
    1,
  ],
  [
    "a prefilled reply",
    {
      tools,
      messages: [
        { role: "user", content: "Hi" },
        { role: "assistant", content: "So" },
      ],
    },
    1,
  ],
])("a request has as many marks as something will follow: %s", (_, body, marks) => {
  expect(countMarks(toClaude(body))).toBe(marks);
});
