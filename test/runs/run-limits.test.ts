import { expect, it } from "vitest";
import { costsTooMuch } from "../../src/runs/run-limits.ts";
import { readRunRequest, type RunTool } from "../../src/runs/state/definition.ts";
import type { Run } from "../../src/runs/state/run.ts";

it.each([
  [{ max_cost_micros_usd: 15 }, 5, false],
  [{ max_cost_micros_usd: 15 }, 6, true],
  [{}, 1_000_000, false],
])(
  "a tool of 10 micro-dollars is not run beyond what its run may cost: %j, spent %d",
  (limits, costMicros, isTooMuch) => {
    const tool: RunTool = { type: "http", name: "dear", url: "https://tools.example.com/", price_micros_usd: 10 };
    const definition = readRunRequest(JSON.stringify({ model: "demo", input: "x", tools: [tool], limits }));
    expect(costsTooMuch(definition.tools[0]!, { costMicros } as Run, definition)).toBe(isTooMuch);
  },
);
