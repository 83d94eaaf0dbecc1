import { expect, it } from "vitest";
import { RunGates } from "../../src/runs/run-gates.ts";
import type { RunServices } from "../../src/runs/services.ts";
import type { Execution, LiveRun, RunCheckpoint } from "../../src/runs/state/run.ts";

const NOW = 1_000_000;
const execution = { id: "tex_1", run: "run_1", status: "awaiting_approval", name: "pay" } as unknown as Execution;

/** The gates of a run whose one checkpoint was opened `ageMs` ago. */
function gatesAt(ageMs: number): { gates: RunGates; put: unknown[] } {
  const checkpoint = { id: "ckpt_1", execution: "tex_1", status: "open", createdAt: NOW - ageMs } as RunCheckpoint;
  const put: unknown[] = [];
  const services = {
    store: {
      listOf: () => [checkpoint],
      put: (_: string, part: unknown) => void put.push(part),
      transact: (work: () => void) => work(),
    },
    events: { emit: () => {} },
    lifetime: { now: () => NOW },
    questions: { wait: async () => ({ action: "cancel" }) },
  } as unknown as RunServices;
  const definition = { client: {}, unattended: "wait" };
  const live = { run: { id: "run_1" }, definition, controller: new AbortController() } as unknown as LiveRun;
  return { gates: new RunGates(live, services), put };
}

it("waits for a minute, and then goes on without the person", async () => {
  expect(await gatesAt(59_999).gates.waitsUnattended([execution])).toBe(true);
  const { gates, put } = gatesAt(60_000);
  expect(await gates.waitsUnattended([execution])).toBe(false);
  expect(gates.settlesUnattended([execution])).toBe(true);
  expect(put).toMatchObject([
    { status: "denied", result: expect.stringContaining("no person decided in time") as string },
    { status: "cancelled" },
  ]);
});
