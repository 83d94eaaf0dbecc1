import { describe, expect, it } from "vitest";
import type { Dialect } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";

/** A choice of a tool that the provider runs, at providers that do not have this tool. */
const { "openai-chat": chat, "openai-responses": responses, anthropic, gemini } = DIALECTS;
const encode = (id: Dialect, surface: typeof chat, body: JsonObject, quirks = {}) =>
  DIALECTS[id].encodeRequest(surface.decodeRequest(body), { dialect: id, model: "m", quirks });
const dropped = expect.objectContaining({ at: "tool_choice", what: "dropped" });
const read = { type: "function", name: "read", parameters: { type: "object" } };
const REQUESTS: Record<string, [surface: typeof chat, body: JsonObject]> = {
  "Responses' web search": [
    responses,
    { model: "m", input: "go", tools: [read, { type: "web_search" }], tool_choice: { type: "web_search" } },
  ],
  "a server of MCP": [
    responses,
    {
      model: "m",
      input: "go",
      tools: [read, { type: "mcp", server_label: "s", server_url: "https://mcp.test" }],
      tool_choice: { type: "mcp", server_label: "s" },
    },
  ],
  "a hosted tool of a Chat host": [
    chat,
    {
      model: "m",
      messages: [{ role: "user", content: "go" }],
      tools: [{ type: "function", function: { name: "read" } }, { type: "web_search" }],
      tool_choice: { type: "web_search" },
    },
  ],
  "Anthropic's web search": [
    anthropic,
    {
      model: "m",
      max_tokens: 9,
      messages: [{ role: "user", content: "go" }],
      tools: [
        { name: "read", input_schema: { type: "object" } },
        { type: "web_search_20250305", name: "web_search" },
      ],
      tool_choice: { type: "tool", name: "web_search" },
    },
  ],
};
const choiceOf = ({ tool_choice: choice, toolConfig }: JsonObject): string => JSON.stringify(choice ?? toolConfig);

describe.each(Object.entries(REQUESTS))("a choice of %s", (_, [surface, body]) => {
  const others = (["openai-chat", "openai-responses", "anthropic", "gemini"] as const).filter(
    (id) => id !== surface.id,
  );

  it.each(others)("a choice of another provider's hosted tool is dropped at %s, as a loss", (id) => {
    const { value, losses } = encode(id, surface, body);
    expect(JSON.stringify(value)).not.toMatch(/web_search|mcp/);
    expect(choiceOf(value)).toMatch(/^"auto"|"type":"auto"|"AUTO"/);
    expect(losses.filter(({ at }) => at === "tool_choice")).toEqual([dropped]);
  });

  it.each(others)("a choice of a hosted tool never becomes the choice of another tool at %s", (id) => {
    const hosted = (body.tools as Json[]).slice(1);
    const { value, losses } = encode(id, surface, { ...body, tools: hosted });
    expect(JSON.stringify(value)).not.toMatch(/web_search|mcp|tool_choice|toolConfig/);
    expect(losses).toContainEqual(dropped);
  });

  it("a choice of a hosted tool stays as it is in its own dialect, also if tools are translated", () => {
    const { value, losses } = encode(surface.id, surface, body);
    expect(value.tool_choice).toEqual(body.tool_choice);
    expect(losses).toEqual([]);
    if (surface === anthropic) return;
    const custom = surface === chat ? { type: "custom", custom: { name: "p" } } : { type: "custom", name: "p" };
    const tools = [...(body.tools as Json[]), custom];
    const translated = encode(surface.id, surface, { ...body, tools }, { lacksCustomTools: true }).value;
    expect(translated.tool_choice).toEqual(body.tool_choice);
    expect(translated.tools).toHaveLength(3);
    expect(JSON.stringify(translated.tools)).not.toContain('"custom"');
  });
});

describe("a list of allowed tools with hosted ones", () => {
  const list = (mode: string, ...allowed: JsonObject[]): JsonObject => ({
    model: "m",
    input: "go",
    tools: [read, { ...read, name: "write" }, { type: "web_search" }, { type: "file_search" }],
    tool_choice: { type: "allowed_tools", mode, tools: allowed },
  });

  it.each(["openai-chat", "anthropic", "gemini"] as const)(
    "a list of allowed tools has only its functions at %s, and its hosted tools are a loss",
    (id) => {
      const both = encode(id, responses, list("auto", { type: "web_search" }, { type: "function", name: "read" }));
      expect(JSON.stringify(both.value)).not.toMatch(/web_search|file_search/);
      expect(both.losses).toContainEqual(dropped);
      const hosted = encode(id, responses, list("auto", { type: "web_search" }));
      expect(choiceOf(hosted.value)).toMatch(/"none"|"NONE"/);
      expect(hosted.losses).toContainEqual(dropped);
    },
  );

  it("the hosted tools of a list of allowed tools are sent to a host that has no such lists", () => {
    const quirks = { lacksCustomTools: true };
    const body = list("required", { type: "web_search" }, { type: "function", name: "read" });
    const { value } = encode("openai-responses", responses, body, quirks);
    expect(value.tools).toEqual([read, { type: "web_search" }]);
    expect(value.tool_choice).toBe("required");
    const hosted = encode("openai-responses", responses, list("auto", { type: "file_search" }), quirks).value;
    expect(hosted.tools).toEqual([{ type: "file_search" }]);
    expect(hosted.tool_choice).toBe("auto");
  });
});

describe("a call that is required", () => {
  it.each(["openai-chat", "openai-responses", "anthropic"] as const)(
    "a required call is a loss if no tool is sent to %s",
    (id) => {
      const body: JsonObject = {
        contents: [{ role: "user", parts: [{ text: "go" }] }],
        tools: [{ googleSearch: {} }],
        toolConfig: { functionCallingConfig: { mode: "ANY" } },
      };
      const { value, losses } = encode(id, gemini, body);
      expect(JSON.stringify(value)).not.toMatch(/googleSearch|tool_choice/);
      expect(losses).toContainEqual(dropped);
    },
  );
});

it("a required call stays required if the native wire sends the hosted tool of another wire", () => {
  const request = responses.decodeRequest({
    model: "m",
    input: "x",
    tools: [{ type: "image_generation" }],
    tool_choice: "required",
  });
  const { value, losses } = DIALECTS.native.encodeRequest(request, { dialect: "native", model: "m" });
  expect([losses, value.tool_choice]).toEqual([[], "required"]);
});
