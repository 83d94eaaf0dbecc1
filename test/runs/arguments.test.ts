import { describe, expect, it } from "vitest";
import { judgeCall } from "../../src/runs/state/policy.ts";
import { readArguments } from "../../src/runs/tools/arguments.ts";
import { type JsonObject, roundNumbers } from "../../src/wire/json.ts";

const TWICE = { problem: expect.stringContaining("twice") as string };

describe("arguments", () => {
  it.each([
    ['{"a":1,"a":2}', TWICE],
    ['{"a":{"b":1,"b":2}}', TWICE],
    ['{"a":[{"b":1},{"b":2}]}', { args: { a: [{ b: 1 }, { b: 2 }] } }],
    ['{"a":"\\"b\\":1"}', { args: { a: '"b":1' } }],
    ['{"a\\"b":1, "c" : {}}', { args: { 'a"b': 1, c: {} } }],
    ["", { args: {} }],
  ])("are read without doubt about their members: %s", (text, expected) => {
    expect(readArguments(text, undefined)).toEqual(expected);
  });

  it.each(["5000", "5000.0000000000000", "5000000000000000000001"])(
    "are compared whatever their length: %s",
    (amount) => {
      const read = readArguments(`{"amount":${amount}}`, undefined) as { args: JsonObject };
      const rules = [
        { tool: "refund", when: { field: "amount", op: "gt", value: 2000 }, do: "deny" },
        { tool: "*", do: "allow" },
      ] as const;
      const tool = { names: ["refund"], kind: "http", effect: "unknown", own: undefined } as const;
      expect(judgeCall(tool, roundNumbers(read.args) as JsonObject, rules).do).toBe("deny");
    },
  );
});
