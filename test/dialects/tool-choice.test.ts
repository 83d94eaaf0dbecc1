import { describe, expect, it } from "vitest";
import type { Dialect } from "../../src/canonical/types.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { type Json, type JsonObject } from "../../src/wire/json.ts";
import { responses, chat, RESPONSES_BODY, CHAT_BODY, encode } from "../support/custom-tools.ts";

describe("a tool choice", () => {
  it.each(["openai-chat", "anthropic", "gemini"] as const)(
    "a tool choice never names a tool that %s does not get",
    (id) => {
      const body = (choice: Json): JsonObject => ({ ...RESPONSES_BODY, input: "go", tool_choice: choice });
      const tools = [
        { type: "local_shell" },
        { type: "mcp", server_label: "s", name: "gone" },
        { type: "function", name: "read", namespace: "mcp__files" },
      ];
      const allowed = encode(id, body({ type: "allowed_tools", mode: "required", tools }));
      expect(JSON.stringify(allowed.value)).not.toContain("gone");
      expect(allowed.losses).toContainEqual(expect.objectContaining({ at: "tool_choice", what: "dropped" }));
      const named = encode(id, body({ type: "function", name: "gone" }));
      expect(JSON.stringify(named.value)).not.toContain("gone");
      expect(named.losses).toContainEqual(expect.objectContaining({ at: "tool_choice", what: "dropped" }));
      const none = encode(id, body({ type: "allowed_tools", mode: "auto", tools: tools.slice(0, 2) }));
      expect(JSON.stringify(none.value)).toMatch(/"none"|"NONE"/);
    },
  );

  describe.each<[string, Dialect, object]>([
    ["anthropic", "anthropic", {}],
    ["a Chat host that has functions only", "openai-chat", { lacksCustomTools: true }],
  ])("a choice of some tools at %s", (_, id, quirks) => {
    const PATCH_TOOL = { type: "custom", name: "apply_patch" };
    const READ = { type: "function", name: "read", namespace: "mcp__files" };
    const choose = (surface: typeof responses, mode: string, ...tools: JsonObject[]) => {
      const chatTools = tools.map(({ type, name, namespace }): JsonObject => {
        const named = { name: namespace === undefined ? name! : `${namespace as string}__${name as string}` };
        return { type: type!, [type as string]: named };
      });
      const functions = ["mcp__files__read", "mcp__files__write"].map((name) => ({
        type: "function",
        function: { name },
      }));
      return surface === responses
        ? encode(id, { ...RESPONSES_BODY, tool_choice: { type: "allowed_tools", mode, tools } }, responses, quirks)
        : encode(
            id,
            {
              ...CHAT_BODY,
              tools: [...(CHAT_BODY.tools as Json[]), ...functions],
              tool_choice: { type: "allowed_tools", allowed_tools: { mode, tools: chatTools } },
            },
            chat,
            quirks,
          );
    };
    const sentNames = ({ tools }: JsonObject): Json[] =>
      ((tools ?? []) as { name?: string; function?: { name: string } }[]).map(
        (tool) => tool.function?.name ?? tool.name!,
      );
    const isRestriction = { at: "tool_choice", what: "approximated" };

    it.each([
      ["Responses", responses],
      ["Chat", chat],
    ])("a choice of some tools from %s sends only these tools, and is a loss", (_name, surface) => {
      const auto = choose(surface, "auto", READ);
      expect(sentNames(auto.value)).toEqual(["mcp__files__read"]);
      expect(JSON.stringify(auto.value.tool_choice)).toMatch(/"auto"/);
      expect(auto.losses).toContainEqual(expect.objectContaining(isRestriction));
      const required = choose(surface, "required", READ, PATCH_TOOL);
      expect(sentNames(required.value)).toEqual(["apply_patch", "mcp__files__read"]);
      expect(JSON.stringify(required.value.tool_choice)).toMatch(/"any"|"required"/);
      expect(required.aliases?.get("apply_patch")).toMatchObject({ custom: true });
    });

    it.each([
      ["Responses", responses],
      ["Chat", chat],
    ])("a choice from %s of only one tool that is required forces it, with all tools sent", (_name, surface) => {
      const { value, losses } = choose(surface, "required", READ);
      expect(sentNames(value)).toHaveLength(3);
      expect(JSON.stringify(value.tool_choice)).toContain('"mcp__files__read"');
      expect(losses).not.toContainEqual(expect.objectContaining(isRestriction));
    });

    it("a choice of all tools is no restriction", () => {
      const { value, losses } = choose(responses, "auto", PATCH_TOOL, READ, { ...READ, name: "write" });
      expect(sentNames(value)).toHaveLength(3);
      expect(losses).not.toContainEqual(expect.objectContaining(isRestriction));
    });
  });

  it("a choice of some tools is a list of names at Gemini, with all tools sent", () => {
    const tools = [
      { type: "custom", name: "apply_patch" },
      { type: "function", name: "write", namespace: "mcp__files" },
    ];
    for (const mode of ["auto", "required"]) {
      const { value } = encode("gemini", { ...RESPONSES_BODY, tool_choice: { type: "allowed_tools", mode, tools } });
      expect(value).toMatchObject({
        tools: [{ functionDeclarations: [{}, {}, {}] }],
        toolConfig: {
          functionCallingConfig: {
            mode: mode === "auto" ? "VALIDATED" : "ANY",
            allowedFunctionNames: ["apply_patch", "mcp__files__write"],
          },
        },
      });
    }
  });

  it("a tool choice can name a tool that the provider runs itself", () => {
    const search = { type: "web_search_20250305", name: "web_search" };
    const request = DIALECTS.native.decodeRequest({
      model: "m",
      input: "go",
      tools: [{ type: "provider", native: { dialect: "anthropic", item: search } }],
      tool_choice: { name: "web_search" },
    });
    const { value } = DIALECTS.anthropic.encodeRequest(request, { dialect: "anthropic", model: "m" });
    expect(value.tool_choice).toEqual({ type: "tool", name: "web_search" });
  });
});
