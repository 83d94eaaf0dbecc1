import { describe, expect, it, vi } from "vitest";
import { get, post, request, user } from "../../support/worker/client.ts";

/** What `fake/paid` costs a call: 12 tokens in at 1, 5 out at 2. Micro-dollars. */
const COST = 22;
/** As much is counted before a first word: 12 in, 1 out. */
const BEGUN = 14;

const body = { messages: [user("x")], max_tokens: 5 };
const retries = { max: 0 };

type Called = Record<string, unknown> & { attempts: Record<string, unknown>[] };

async function callOf(response: Response): Promise<Called> {
  await response.text();
  const id = response.headers.get("x-rhone-call-id");
  await vi.waitFor(async () => expect((await get(`/v1/calls/${id}`)).ended_at).toBeDefined(), 5_000);
  return (await get(`/v1/calls/${id}`)) as Called;
}

describe.each(["stateful", "stateless"])("the cost of attempts without a result (%s)", (context_mode) => {
  it("the cost of a whole answer that is none is recorded as wasted, and is no part of the call's cost", async () => {
    const routing = { fallbacks: ["fake/paid"], retries };
    const response = await post({ ...body, model: "fake/fault-hollow.waste", rhone: { context_mode, routing } });
    expect(await response.clone().json()).toMatchObject({
      rhone: { cost_micros_usd: COST, routing: { attempts: 2, wasted_cost_micros_usd: COST } },
    });
    const call = await callOf(response);
    expect(call).toMatchObject({ cost_micros_usd: COST, wasted_cost_micros_usd: COST, usage: { output: 5 } });
    const counted = { fresh: 8, cache_read: 4, output: 5 };
    expect(call.attempts).toMatchObject([
      { error: "provider.execution_failed", usage: counted, cost_micros_usd: COST },
      { model: "paid", status: 200 },
    ]);
    expect(call.attempts[1]).not.toHaveProperty("usage");
  });

  it("the cost of a stream that stopped before its first word is recorded as wasted", async () => {
    const routing = { fallbacks: ["fake/paid"], retries, deadlines_ms: { first_content: 200 } };
    const rhone = { context_mode, routing };
    const call = await callOf(await post({ ...body, stream: true, model: "fakeanth/fault-mute.waste", rhone }));
    expect(call).toMatchObject({ status: "completed", wasted_cost_micros_usd: BEGUN });
    expect(call.attempts[0]).toMatchObject({
      error: "provider.timeout",
      usage: { fresh: 8, cache_read: 4, output: 1 },
    });
  });

  it("the cost of the attempt that lost a race is recorded as wasted", async () => {
    const routing = { hedge: { after_ms: 100, model: "fake/slow" } };
    const rhone = { context_mode, routing };
    const call = await callOf(await post({ ...body, stream: true, model: "fakeanth/fault-mute.waste", rhone }));
    expect(call).toMatchObject({ status: "completed", provider: "fake", wasted_cost_micros_usd: BEGUN });
    expect(call.attempts).toMatchObject([
      { provider: "fake", status: 200 },
      { provider: "fakeanth", reason: "another target was faster", cost_micros_usd: BEGUN },
    ]);
  });

  it("the cost of the first part of a stream that another target continued is recorded as wasted", async () => {
    const routing = { fallbacks: ["fakeresp/fault-none"], midstream: "continue", retries };
    const rhone = { context_mode, routing };
    const call = await callOf(await post({ ...body, stream: true, model: "fakegem/fault-cut.waste", rhone }));
    expect(call).toMatchObject({ status: "completed", provider: "fakeresp", wasted_cost_micros_usd: COST });
    expect(call.attempts).toMatchObject([{ error: "stream.interrupted", usage: { output: 5 } }, { status: 200 }]);
  });

  it("no wasted cost is recorded if its price or its count is unknown", async () => {
    for (const model of ["fakeanth/fault-mute.unpriced", "fake/fault-silent.uncounted"]) {
      const routing = { fallbacks: ["fake/paid"], retries, deadlines_ms: { headers: 300, first_content: 300 } };
      const call = await callOf(await post({ ...body, stream: true, model, rhone: { context_mode, routing } }));
      expect([model, call]).toMatchObject([
        model,
        { status: "completed", attempts: [{ error: "provider.timeout" }, {}] },
      ]);
      expect(call).not.toHaveProperty("wasted_cost_micros_usd");
    }
  });

  it("the cost of a stream that broke off is the call's own if the caller got its text", async () => {
    const call = await callOf(
      await post({ ...body, stream: true, model: "fakegem/fault-cut.waste", rhone: { context_mode } }),
    );
    expect(call).toMatchObject({ status: "incomplete", usage: { output: 5 }, cost_micros_usd: COST });
    expect(call).not.toHaveProperty("wasted_cost_micros_usd");
  });

  it("the wasted cost is charged to the key's budget", async () => {
    const send = (method: string, path: string, said?: unknown, key?: string): Promise<Response> =>
      request(path, {
        method,
        headers: { "content-type": "application/json" },
        ...(key && { key }),
        ...(said !== undefined && { body: JSON.stringify(said) }),
      });
    const budgets = [{ period: "daily", limit_micros_usd: 1_000_000 }];
    const made = await send("POST", "/v1/keys", { name: "wasteful", ttl_s: 600, budgets });
    const { id, secret }: { id: string; secret: string } = await made.json();
    const routing = { fallbacks: ["fake/paid"], retries };
    const asked = { ...body, model: "fake/fault-hollow.charge", rhone: { context_mode, routing } };
    expect((await send("POST", "/v1/chat/completions", asked, secret)).status).toBe(200);
    await vi.waitFor(
      async () =>
        expect(await get(`/v1/keys/${id}/usage`)).toMatchObject({ budgets: [{ spent_micros_usd: 2 * COST }] }),
      { timeout: 4_000, interval: 100 },
    );
  });
});
