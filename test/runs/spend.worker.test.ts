import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import { json, send, webhook, type Json } from "../support/runs/client.ts";

/** Runs at once on one key, and keys: a thousand runs with RHONE_TEST_ALL=1, as `npm run check:all` sets it. */
const RUNS = 25;
const KEYS = env.TEST_ALL === "1" ? 40 : 4;
/** Micro-dollars. A call costs 22, and needs more the longer its transcript is before it starts: it is not known by then. */
const BUDGET = 1_300;
const MOST = 600;

const plan = writePlan([[{ name: "look", args: { n: 1 } }], [{ name: "look", args: { n: 2 } }], "Seen."]);

async function createKey(): Promise<{ id: string; secret: string }> {
  const budgets = [{ period: "daily", limit_micros_usd: BUDGET }];
  const made = await send("POST", "/v1/keys", { name: "racing", ttl_s: 600, budgets });
  return await made.json();
}

/** A run, or the error with which it was refused. */
const start = async (secret: string): Promise<Json> =>
  await (
    await send(
      "POST",
      "/v1/runs",
      {
        model: "fake/plan-paid",
        input: plan,
        max_output_tokens: 10,
        tools: [webhook("look", "spend/echo", { effect: "read_only" })],
        limits: { max_cost_micros_usd: MOST },
      },
      secret,
    )
  ).json();

/** Why a run did not come to its end: its own limit, or its key's budget. */
const reasonOf = ({ stop_reason, error }: Json): unknown =>
  stop_reason === "max_cost" ? stop_reason : (error as Json | undefined)?.code;

it(`${KEYS * RUNS} runs race for the budgets of ${KEYS} keys: none spends more than its limit, and all of them no more than these`, async () => {
  const reasons = new Set<string>();
  for (let i = 0; i < KEYS; i++) {
    const key = await createKey();
    const runs = await Promise.all(Array.from({ length: RUNS }, () => start(key.secret)));
    for (const one of runs) reasons.add(String(reasonOf(one)));
    const costs = runs.map(({ cost_micros_usd }) => Number(cost_micros_usd));
    const sum = costs.reduce((all, cost) => all + cost, 0);
    expect(Math.max(...costs)).toBeLessThanOrEqual(MOST);
    expect(sum).toBeGreaterThan(BUDGET / 4);
    expect(sum).toBeLessThanOrEqual(BUDGET);
    await expect
      .poll(async () => ((await json("GET", `/v1/keys/${key.id}/usage`)).budgets as Json[])[0], { timeout: 10_000 })
      .toMatchObject({ spent_micros_usd: sum, limit_micros_usd: BUDGET });
  }
  expect([...reasons].toSorted((a, b) => a.localeCompare(b))).toEqual(["budget.exceeded", "max_cost"]);
}, 120_000);
