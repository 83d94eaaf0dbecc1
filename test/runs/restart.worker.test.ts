import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import {
  clientTool,
  eventsOf,
  json,
  listOf,
  objectOfRun,
  run,
  send,
  textOf,
  toolLog,
  webhook,
  type Json,
  crash,
  ended,
} from "../support/runs/client.ts";

const look = { name: "look", args: { n: 1 } };

/** A run whose object crashes while its tool runs. */
async function crashed(test: string, tool: Json): Promise<string> {
  const response = await send("POST", "/v1/runs:stream", {
    model: "fake/plan",
    input: writePlan([[look], "Over."]),
    tools: [tool],
  });
  const id = response.headers.get("x-rhone-run-id")!;
  const reading = response.text().catch(() => "");
  await expect.poll(async () => (await toolLog(test)).length, { timeout: 10_000 }).toBe(1);
  await crash(id);
  await reading;
  return id;
}

const settled = (id: string): Promise<Json> => ended(id, /completed|failed|waiting/);

describe("a run whose object is started anew", () => {
  it("goes on with results that come later", async () => {
    const plan = writePlan([[{ name: "weather", args: { city: "Lyon" } }], "Fine."]);
    const waiting = await run({ input: plan, tools: [clientTool("weather")] });
    await evictDurableObject(objectOfRun(waiting.id as string));
    const [id] = waiting.open as string[];
    const done = await json("POST", `/v1/runs/${waiting.id as string}:resume`, {
      tool_results: [{ id, content: "sun" }],
    });
    expect([done.status, textOf(done)]).toEqual(["completed", "Fine."]);
  });

  it.each([
    ["read_only", 2],
    ["idempotent", 2],
  ])("runs a tool again that may run twice: %s", async (effect, tries) => {
    const test = `restart-${effect}`;
    const id = await crashed(test, webhook("look", `${test}/never-once`, { effect }));
    const done = await settled(id);
    expect([done.status, textOf(done)]).toEqual(["completed", "Over."]);
    const keys = (await toolLog(test)).map(({ headers }) => headers["idempotency-key"]);
    expect([keys.length, new Set(keys).size]).toEqual([tries, 1]);
    expect(await listOf(id, "tool-executions")).toMatchObject([
      { status: "succeeded", attempt: tries, result: "At last." },
    ]);
  });

  it("goes on by itself, within moments", async () => {
    await crashed("alone", webhook("look", "alone/never-once", { effect: "read_only" }));
    await expect.poll(async () => (await toolLog("alone")).length, { timeout: 3_000, interval: 20 }).toBe(2);
  });

  it.each(["non_idempotent", "unknown"])("does not run a tool again that must not run twice: %s", async (effect) => {
    const test = `restart-${effect}`;
    const id = await crashed(test, webhook("look", `${test}/never-once`, { effect, policy: "allow" }));
    const waiting = await settled(id);
    expect(waiting.status).toBe("waiting_for_approval");
    expect(await toolLog(test)).toHaveLength(1);
    const [checkpoint] = waiting.open as string[];
    await json("POST", `/v1/checkpoints/${checkpoint!}:resolve`, { decision: "retry" });
    await expect.poll(async () => (await json("GET", `/v1/runs/${id}`)).status, { timeout: 10_000 }).toBe("completed");
    expect(await toolLog(test)).toHaveLength(2);
  });

  it("goes on after a decision that was stored just before", async () => {
    const tools = [webhook("look", "decided/echo")];
    const waiting = await run({ input: writePlan([[look], "Over."]), tools });
    expect(waiting.status).toBe("waiting_for_approval");
    await runInDurableObject(objectOfRun(waiting.id as string), (_, { storage }) => {
      const decided = "json_set(body, '$.status', ?), status = ?";
      storage.sql.exec(`UPDATE run_parts SET body = ${decided} WHERE kind = 'checkpoint'`, "approved", "approved");
      storage.sql.exec(`UPDATE run_parts SET body = ${decided} WHERE kind = 'execution'`, "ready", "ready");
    });
    await crash(waiting.id as string);
    expect(await ended(waiting.id as string, /completed/)).toMatchObject({ status: "completed" });
    expect(await toolLog("decided")).toHaveLength(1);
  });

  it("ends the stream of a run that has ended without saying so", async () => {
    const done = await run({ input: "Hello.", model: "demo" });
    await runInDurableObject(objectOfRun(done.id as string), (_, { storage }) => {
      storage.sql.exec("UPDATE streams SET ended_at = NULL WHERE call = ?", done.id);
    });
    await crash(done.id as string);
    const events = await eventsOf(await send("GET", `/v1/runs/${done.id as string}:stream?after=1`));
    expect(events.at(-1)).toMatchObject({ type: "run.completed", run: { status: "completed" } });
  });

  it("calls the model again if its reply was lost, and its stream goes on with numbers that were not used", async () => {
    const response = await send("POST", "/v1/runs:stream", { model: "fake/fault-stall.run", input: "x" });
    const id = response.headers.get("x-rhone-run-id")!;
    const reading = response.text().catch(() => "");
    await expect.poll(async () => (await listOf(id, "steps")).length).toBe(1);
    await crash(id);
    await reading;
    await json("POST", `/v1/runs/${id}:cancel`);
    const events = await eventsOf(await send("GET", `/v1/runs/${id}:stream?after=3`));
    expect(events.at(-1)).toMatchObject({ type: "run.cancelled", run: { status: "cancelled" } });
    expect(events.every(({ event_id }) => event_id > 3)).toBe(true);
  });

  it("ends as without them, if there are ten in one run", async () => {
    const steps = Array.from({ length: 10 }, (_, n) => [{ name: "look", args: { n } }]);
    const body = { model: "fake/plan", input: writePlan([...steps, "Over."]), limits: { max_turns: 20 } };
    const tools = (test: string): Json[] => [webhook("look", `${test}/echo`, { effect: "idempotent" })];
    const whole = await run({ ...body, tools: tools("undisturbed") });
    const response = await send("POST", "/v1/runs:stream", { ...body, tools: tools("deploys") });
    const id = response.headers.get("x-rhone-run-id")!;
    const reading = response.text().catch(() => "");
    for (let n = 1; n <= 10; n++) {
      const executed = async (): Promise<number> => new Set((await toolLog("deploys")).map(({ body: b }) => b)).size;
      await expect.poll(executed, { timeout: 20_000, interval: 5 }).toBeGreaterThanOrEqual(n);
      await crash(id);
      await send("GET", `/v1/runs/${id}`);
    }
    await reading;
    const done = await ended(id, /completed|failed/);
    expect([done.status, done.stop_reason, done.steps, textOf(done)]).toEqual(["completed", "end_turn", 11, "Over."]);
    const shown = async (one: unknown): Promise<unknown[]> =>
      (await listOf(one, "tool-executions")).map(({ name, status, result }) => [name, status, result]);
    expect(await shown(id)).toEqual(await shown(whole.id));
    const keys = (await toolLog("deploys")).map(({ headers }) => headers["idempotency-key"]);
    expect(new Set(keys).size).toBe(10);
    const events = await eventsOf(await send("GET", `/v1/runs/${id}:stream?after=1`));
    expect(events.filter(({ type }) => /^run\.(completed|failed|cancelled)$/.test(type))).toHaveLength(1);
  }, 60_000);
});
