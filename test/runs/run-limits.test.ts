import { expect, it } from "vitest";
import { costsTooMuch } from "../../src/runs/run-limits.ts";
import type { RunDefinition } from "../../src/runs/state/definition.ts";
import type { Run } from "../../src/runs/state/run.ts";
import type { RunTool } from "../../src/runs/state/tool.ts";

it.each([
  [{ max_cost_micros_usd: 15 }, 5, false],
  [{ max_cost_micros_usd: 15 }, 6, true],
  [{}, 1_000_000, false],
])(
  "a tool of 10 micro-dollars is not run beyond what its run may cost: %j, spent %d",
  (limits, costMicros, isTooMuch) => {
    const tool: RunTool = { type: "http", name: "dear", url: "https://tools.example.com/", price_micros_usd: 10 };
    expect(costsTooMuch(tool, { costMicros } as Run, { limits } as RunDefinition)).toBe(isTooMuch);
  },
);
