import { describe, expect, it } from "vitest";
import { customArguments } from "../../src/canonical/custom-tools.ts";
import { type Json, type JsonObject } from "../../src/wire/json.ts";
import { PATCH, GRAMMAR, responses, chat, RESPONSES_BODY, CHAT_BODY, encode } from "../support/custom-tools.ts";

describe("custom tools of a request", () => {
  it("custom tools of Responses become custom tools of Chat, in list, choice and history", () => {
    const { value, losses } = encode("openai-chat", RESPONSES_BODY);
    expect(value).toMatchObject({
      tools: [
        {
          type: "custom",
          custom: { name: "apply_patch", description: "Edits files", format: { type: "grammar", grammar: GRAMMAR } },
        },
        { type: "function", function: { name: "mcp__files__read" } },
        { type: "custom", custom: { name: "mcp__files__write" } },
      ],
      tool_choice: { type: "custom", custom: { name: "apply_patch" } },
      messages: [
        { role: "user" },
        { tool_calls: [{ id: "c1", type: "custom", custom: { name: "apply_patch", input: PATCH } }] },
        { role: "tool", tool_call_id: "c1", content: "Done" },
        { tool_calls: [{ id: "c2", type: "function", function: { name: "mcp__files__read" } }] },
        { role: "tool", tool_call_id: "c2" },
      ],
    });
    expect(losses.map(({ at }) => at)).toEqual(["tools.mcp__files.description", "tools.local_shell"]);
  });

  it("custom tools of Chat become custom tools of Responses, in list, choice and history", () => {
    expect(encode("openai-responses", CHAT_BODY, chat).value).toMatchObject({
      tools: [{ type: "custom", name: "apply_patch", format: { type: "grammar", ...GRAMMAR } }],
      tool_choice: { type: "allowed_tools", mode: "required", tools: [{ type: "custom", name: "apply_patch" }] },
      input: [
        { role: "user" },
        { type: "custom_tool_call", call_id: "c1", name: "apply_patch", input: PATCH },
        { type: "custom_tool_call_output", call_id: "c1", output: "Done" },
      ],
    });
  });

  it.each(["anthropic", "gemini"] as const)("custom tools become functions with one text for %s", (id) => {
    const { value, losses } = encode(id, RESPONSES_BODY);
    const text = JSON.stringify(value);
    expect(text).toContain(JSON.stringify({ input: PATCH }));
    expect(text).toContain('"required":["input"]');
    expect(text).toContain("start: begin hunk+ end");
    expect(text).toContain('"mcp__files__read"');
    expect(text).not.toContain("namespace");
    expect(losses).toContainEqual(expect.objectContaining({ at: "tools.apply_patch.format", what: "approximated" }));
  });

  it("custom tools become functions for a Chat host that has functions only", () => {
    const { value, aliases } = encode("openai-chat", RESPONSES_BODY, responses, { lacksCustomTools: true });
    expect(JSON.stringify(value)).not.toContain('"custom"');
    expect(value).toMatchObject({ tool_choice: { type: "function", function: { name: "apply_patch" } } });
    expect(aliases?.get("apply_patch")).toEqual({ name: "apply_patch", custom: true });
  });

  it("a tool with a namespace does not get the name of another tool", () => {
    const own = { type: "function", name: "mcp__files__read", parameters: { type: "object" } };
    const { value, aliases } = encode("anthropic", {
      ...RESPONSES_BODY,
      tools: [...(RESPONSES_BODY.tools as Json[]), own],
    });
    const names = (value.tools as JsonObject[]).map(({ name }) => name as string);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain("mcp__files__read");
    expect(aliases?.get("mcp__files__read")).toBeUndefined();
  });
});

describe("a body of a host's own dialect that the host does not take whole", () => {
  const quirks = { lacksCustomTools: true };

  it("a Chat body gets functions instead of custom tools, and its other members stay", () => {
    const body = {
      ...CHAT_BODY,
      logit_bias: { "50256": -100 },
      tool_choice: { type: "custom", custom: { name: "apply_patch" } },
    };
    const { value, aliases, losses } = encode("openai-chat", body, chat, quirks);
    expect(JSON.stringify(value)).not.toContain('"custom"');
    expect(value).toMatchObject({
      logit_bias: { "50256": -100 },
      messages: [
        { role: "user" },
        {
          tool_calls: [
            { id: "c1", type: "function", function: { name: "apply_patch", arguments: customArguments(PATCH) } },
          ],
        },
        { role: "tool", tool_call_id: "c1", content: "Done" },
      ],
      tools: [{ type: "function", function: { name: "apply_patch", parameters: { required: ["input"] } } }],
      tool_choice: { type: "function", function: { name: "apply_patch" } },
    });
    expect(aliases?.get("apply_patch")).toEqual({ name: "apply_patch", custom: true });
    expect(losses).toEqual([expect.objectContaining({ at: "tools.apply_patch.format" })]);
  });

  it("a Responses body gets functions instead of custom tools, and its other members stay", () => {
    const body = {
      ...RESPONSES_BODY,
      truncation: "auto",
      tools: [...(RESPONSES_BODY.tools as Json[]), { type: "web_search" }],
    };
    const { value, aliases } = encode("openai-responses", body, responses, quirks);
    expect(JSON.stringify(value)).not.toMatch(/"custom(_tool_call(_output)?)?"/);
    expect(value).toMatchObject({
      truncation: "auto",
      input: [
        { role: "user" },
        { type: "function_call", call_id: "c1", name: "apply_patch", arguments: customArguments(PATCH) },
        { type: "function_call_output", call_id: "c1", output: "Done" },
        { type: "function_call", call_id: "c2", name: "mcp__files__read", arguments: '{"path":"a"}' },
        { type: "function_call_output", call_id: "c2" },
      ],
      tools: [
        { type: "function", name: "apply_patch" },
        { type: "function", name: "mcp__files__read", parameters: { type: "object" } },
        { type: "function", name: "mcp__files__write" },
        { type: "local_shell" },
        { type: "web_search" },
      ],
      tool_choice: { type: "function", name: "apply_patch" },
    });
    expect(JSON.stringify(value)).not.toContain("namespace");
    expect(aliases).toEqual(
      new Map([
        ["apply_patch", { name: "apply_patch", custom: true }],
        ["mcp__files__read", { name: "read", namespace: "mcp__files" }],
        ["mcp__files__write", { name: "write", namespace: "mcp__files", custom: true }],
      ]),
    );
  });

  it("a Responses body gets functions instead of namespaces, beside tools with names of their own", () => {
    const long = { type: "function", name: `a.${"x".repeat(90)}`, parameters: { type: "object" }, strict: true, x: 1 };
    const own = { type: "function", name: "mcp__files__read", parameters: { type: "object" } };
    const group = (RESPONSES_BODY.tools as JsonObject[])[1]!;
    const tools = [
      { ...group, tools: [{ type: "function", name: "read", parameters: { type: "object" } }] },
      long,
      own,
    ];
    const { value, aliases } = encode("openai-responses", { model: "m", input: "go", tools }, responses, quirks);
    const [first, ...others] = value.tools as JsonObject[];
    const chosen = { ...RESPONSES_BODY, tool_choice: { type: "function", name: "read", namespace: "mcp__files" } };
    expect(encode("openai-responses", chosen, responses, quirks).value.tool_choice).toEqual({
      type: "function",
      name: "mcp__files__read",
    });
    expect(others).toEqual([long, own]);
    expect(first).toMatchObject({ type: "function", name: expect.stringMatching(/^mcp__files__read_+[0-9a-f]{8}$/) });
    expect([...aliases!]).toEqual([[first!.name, { name: "read", namespace: "mcp__files" }]]);
  });

  it("a body without custom tools and namespaces stays as it is", () => {
    for (const [surface, id] of [
      [chat, "openai-chat"],
      [responses, "openai-responses"],
    ] as const) {
      const { tools: _, tool_choice: __, ...body } = surface === chat ? CHAT_BODY : RESPONSES_BODY;
      const plain = { ...body, ...(surface === chat ? { messages: [] } : { input: "go" }), tool_choice: "auto", x: 1 };
      expect(encode(id, plain, surface, quirks)).toEqual({ value: plain, losses: [] });
    }
  });
});
