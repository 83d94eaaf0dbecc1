import { describe, expect, it } from "vitest";
import { readHarness } from "../../src/runs/state/harness.ts";
import type { Json } from "../../src/wire/json.ts";
import { readYaml } from "../../src/wire/yaml.ts";

const url = "https://mcp.example.com/mcp";

describe("a harness", () => {
  it("has its tools in long form, whichever was given", () => {
    const { tools } = readHarness({
      name: "a",
      servers: { crm: { url } },
      tools: [
        { native: "time" },
        { http: "notify", url },
        { function: "lookup" },
        { mcp: "crm" },
        { type: "native", name: "time" },
      ],
    });
    expect(tools).toEqual([
      { type: "native", name: "time" },
      { type: "http", name: "notify", url },
      { type: "function", name: "lookup" },
      { type: "mcp", server: "crm" },
      { type: "native", name: "time" },
    ]);
  });

  it("is the same in YAML, and with its members in another order", async () => {
    const harness = readHarness({ name: "a", limits: { max_turns: 3, on_limit: "answer" }, model: "demo" });
    const yaml = "model: demo # any\nname: a\nlimits:\n  on_limit: answer\n  max_turns: 3\n";
    expect(JSON.stringify(readHarness(await readYaml(yaml)))).toBe(JSON.stringify(harness));
  });
});

it.each<[string, Json, RegExp]>([
  ["no object", null, /^body: expected an object, in JSON or YAML/],
  ["no name", {}, /^name: /],
  ["a name that ends like a version", { name: "a_v2" }, /^name: expected .* without a version/],
  ["a member that there is not", { name: "a", tolls: [] }, /^tolls: there is no such member/],
  [
    "a member of a prototype",
    JSON.parse('{"name": "a", "__proto__": {"model": "b"}}') as Json,
    /__proto__: there is no such member/,
  ],
  ["a tool of an unknown kind", { name: "a", tools: [{ shell: "rm" }] }, /^tools\[0\]/],
  ["a server that is not there", { name: "a", tools: [{ mcp: "b" }] }, /^tools\[0\].server: expected one of servers/],
  ["a limit that is too high", { name: "a", limits: { max_turns: 65 } }, /^limits.max_turns: expected at most 64/],
  ["an unknown effect", { name: "a", effects: { b: "none" } }, /^effects.b: /],
  ["an unknown condition", { name: "a", stop: [{ after: "x" }] }, /^stop\[0\]/],
])("a harness with %s is refused", (_, body, message) => {
  expect(() => readHarness(body)).toThrow(message);
});
