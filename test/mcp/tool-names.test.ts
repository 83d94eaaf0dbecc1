import fc from "fast-check";
import { expect, it } from "vitest";
import { nameTools, type ServerTool } from "../../src/mcp/tool-names.ts";

const nameOf = (server: string, tool: string, ...others: ServerTool[]): string =>
  nameTools([{ server, tool }, ...others])[0]!;

it("names a tool by its server and itself", () => {
  expect(nameOf("github", "create_issue")).toBe("github__create_issue");
  expect(nameOf("git hub", "admin.tools/list")).toBe("git_hub__admin_tools_list");
  expect(nameTools([])).toEqual([]);
});

it("shortens a name that is too long, by a hash of the whole one", () => {
  const tool = "x".repeat(58);
  expect(nameOf("srv", tool.slice(1))).toHaveLength(62);
  expect(nameOf("srv", `${tool}x`)).toHaveLength(64);
  expect(nameOf("srv", `${tool}xx`)).toBe(`srv__${"x".repeat(50)}_862bd642`);
  expect(nameOf("srv", `${tool}xx`)).not.toBe(nameOf("srv", `${tool}xy`));
});

it("adds a hash to names that coincide", () => {
  const names = nameTools([
    { server: "s", tool: "a.b" },
    { server: "s", tool: "a_b" },
    { server: "s", tool: "c" },
  ]);
  expect(names[2]).toBe("s__c");
  expect(names[0]).toMatch(/^s__a_b_[0-9a-f]{8}$/);
  expect(names[1]).toMatch(/^s__a_b_[0-9a-f]{8}$/);
  expect(names[0]).not.toBe(names[1]);
});

it("names apart what was named to coincide", () => {
  const pair = [
    { server: "a__b", tool: "c" },
    { server: "a", tool: "b__c" },
  ];
  expect(new Set(nameTools(pair)).size).toBe(2);
  const [first] = nameTools([
    { server: "s", tool: "a.b" },
    { server: "s", tool: "a_b" },
  ]);
  const copy = { server: "s", tool: first!.slice("s__".length) };
  const names = nameTools([{ server: "s", tool: "a.b" }, { server: "s", tool: "a_b" }, copy]);
  expect(new Set(names).size).toBe(3);
});

it("gives each tool a name of its own that providers accept, in any order", () => {
  const part = fc.oneof(
    fc.string({ unit: fc.constantFrom("a", "b", "_", ".", "é"), maxLength: 6 }),
    fc.string({ maxLength: 100 }),
  );
  const pairs = fc.uniqueArray(fc.record({ server: part, tool: part }), {
    selector: ({ server, tool }) => JSON.stringify([server, tool]),
    maxLength: 40,
  });
  fc.assert(
    fc.property(
      pairs.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
      ([all, shuffled]) => {
        const names = nameTools(all);
        expect(new Set(names).size).toBe(all.length);
        for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
        const again = nameTools(shuffled);
        expect(all.map((tool) => again[shuffled.indexOf(tool)])).toEqual(names);
      },
    ),
  );
});

it("gives the same tool the same name", () => {
  const tool = { server: "s", tool: "t" };
  expect(nameTools([tool, { ...tool }])).toEqual(["s__t", "s__t"]);
});
