import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type CallRecord, differences, type Observed, runTasks } from "../support/faults/check.ts";
import { readAnswer, SURFACES, toRequest } from "../support/faults/surfaces.ts";
import {
  expectOutcome,
  type Fault,
  faultsOf,
  FORMS,
  type Form,
  formsOf,
  nameOf,
  RETRIES,
  toRouting,
} from "../support/faults/table.ts";
import { COUNTED, targetsOf, toName } from "../support/faults/targets.ts";
import { get, KEY, request } from "../support/worker/client.ts";

/**
 * Every fault of `test/support/faults/table.ts` on every surface: streamed and whole, with and without a session, a
 * fallback and `midstream: "continue"`.
 */

/** The text of all answers of the scripted providers. */
const WHOLE = "Said fault.";
/** What one answer costs: 12 tokens in at 1, 5 out at 2. Micro-dollars. */
const COST = 22;
const CONCURRENCY = 16;

/** Requests whose connection failed. A scripted provider cannot refuse or reset a connection. */
const unconnected: string[] = [];
beforeEach(() => {
  const { fetch } = globalThis;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const sent = new Request(input, init);
    const [model] = /fault-(refused|reset)\.[\w-]+/.exec(`${sent.url} ${await sent.clone().text()}`) ?? [];
    if (model === undefined || sent.method === "GET") return await fetch(sent);
    unconnected.push(model);
    throw new TypeError("Network connection lost.");
  });
});
afterEach(() => vi.restoreAllMocks());

/** How many requests each model of the scripted providers got. */
async function countRequests(): Promise<Map<string, number>> {
  const log: { model: string }[] = await (await fetch("http://fake.test/v1/log")).json();
  const models = Map.groupBy([...log.map(({ model }) => model), ...unconnected], (model) => model);
  return new Map([...models].map(([model, requests]) => [model, requests.length]));
}

type Counted = CallRecord & { cost_micros_usd?: number; wasted_cost_micros_usd?: number };

/** The record of a call, once the call has ended. */
const recordOf = (id: string): Promise<Counted> =>
  vi.waitFor(
    async () => {
      const record = await get(`/v1/calls/${id}`);
      expect(record.ended_at).toBeDefined();
      return record as Counted;
    },
    { timeout: 10_000, interval: 100 },
  );

type Row = readonly [name: string, fault: Fault];
type Seen = Observed & { record: Counted };

/** Makes one call. */
async function call(surface: string, [name, fault]: Row, form: Form, key = KEY): Promise<Seen> {
  const { own, other } = targetsOf(surface, name, form);
  const rhone = { context_mode: form.mode, routing: toRouting(fault, form, toName(other)) };
  const { path, init } = toRequest(surface, { model: toName(own), isStream: form.isStream, rhone });
  const response = await request(path, { ...init, key });
  const reading = readAnswer(surface, response.status, form.isStream, await response.text());
  const record = await recordOf(response.headers.get("x-rhone-call-id")!);
  return { ...reading, provider: response.headers.get("x-rhone-provider"), record };
}

/** What differs from the table in the calls of a row and a form. */
type Check = (requests: Map<string, number>) => string[];

function compare(surface: string, [name, fault]: Row, form: Form, calls: readonly Observed[]): Check {
  const { own, other } = targetsOf(surface, name, form);
  const targets = { own, other: other.provider, whole: WHOLE };
  return (requests) =>
    calls
      .flatMap((one) =>
        differences(fault, form, { ...one, requests: (requests.get(own.model) ?? 0) / calls.length }, targets),
      )
      .map((found) => `${name} ${nameOf(form)}: ${found}`);
}

async function run(surface: string, row: Row, form: Form): Promise<Check> {
  const calls: Observed[] = [];
  for (let i = 0; i < (row[1].calls ?? 1); i++) calls.push(await call(surface, row, form));
  return compare(surface, row, form, calls);
}

const rows = faultsOf("worker");
/** The calls that wait for a deadline, and the others. */
const [waiting, others] = [true, false].map((waits) =>
  rows
    .filter(([name, { deadlines_ms }]) => name !== COUNTED && (deadlines_ms !== undefined) === waits)
    .flatMap((row) => formsOf(row[1]).map((form) => ({ row, form }))),
);

describe.each(Object.keys(SURFACES))("the surface %s", (surface) => {
  it("every fault has the outcome of the table, and the provider gets no more requests than that", async () => {
    const runAll = (calls: typeof waiting, concurrency: number): Promise<Check[]> =>
      runTasks(
        calls!.map(
          ({ row, form }) =>
            () =>
              run(surface, row, form),
        ),
        concurrency,
      );
    const checks = await Promise.all([runAll(waiting, Number.POSITIVE_INFINITY), runAll(others, CONCURRENCY)]);
    const requests = await countRequests();
    expect(checks.flat().flatMap((check) => check(requests))).toEqual([]);
  }, 90_000);

  it("the caller is charged once, and the budget also with the usage that is discarded", async () => {
    const row = rows.find(([name]) => name === COUNTED)!;
    const counted = await runTasks(
      FORMS.map((form) => async () => {
        const { id, secret } = await makeKey();
        const seen = await call(surface, row, form, secret);
        const [outcome, requests] = expectOutcome(row[1], form);
        const cost = outcome === "error" ? 0 : COST;
        const wasted = outcome === "broken" ? 0 : requests * COST;
        const { cost_micros_usd = 0, wasted_cost_micros_usd = 0 } = seen.record;
        const spent = await spentOf(id, cost + wasted);
        return {
          actual: [nameOf(form), cost_micros_usd, wasted_cost_micros_usd, spent],
          expected: [nameOf(form), cost, wasted, cost + wasted],
          check: compare(surface, row, form, [seen]),
        };
      }),
      CONCURRENCY,
    );
    expect(counted.map(({ actual }) => actual)).toEqual(counted.map(({ expected }) => expected));
    const requests = await countRequests();
    expect(counted.flatMap(({ check }) => check(requests))).toEqual([]);
  }, 60_000);
});

it("a provider that sends megabytes before its first content is given up", async () => {
  const model = "fault-oversized.alone";
  const rhone = { context_mode: "stateless", routing: { fallbacks: ["fake/say"], retries: RETRIES } };
  const { path, init } = toRequest("chat", { model: `fake/${model}`, isStream: true, rhone });
  const response = await request(path, init);
  expect([(await response.text()).includes("[DONE]"), response.headers.get("x-rhone-model")]).toEqual([true, "say"]);
  expect((await countRequests()).get(model)).toBe(3);
});

async function makeKey(): Promise<{ id: string; secret: string }> {
  const budgets = [{ period: "daily", limit_micros_usd: 1_000_000 }];
  const body = JSON.stringify({ name: "faults", ttl_s: 600, budgets });
  const headers = { "content-type": "application/json" };
  return await (await request("/v1/keys", { method: "POST", headers, body })).json();
}

/** What a key's budget has spent, once it is as much as expected, or after some seconds. */
async function spentOf(id: string, expected: number): Promise<number | undefined> {
  let spent: number | undefined;
  const read = async (): Promise<void> => {
    const { budgets } = (await get(`/v1/keys/${id}/usage`)) as { budgets: { spent_micros_usd: number }[] };
    spent = budgets[0]?.spent_micros_usd;
    expect(spent).toBe(expected);
  };
  await vi.waitFor(read, { timeout: 6_000, interval: 200 }).catch(() => {});
  return spent;
}
