import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import {
  clientTool,
  json,
  listOf,
  objectOfRun,
  run,
  send,
  textOf,
  toolLog,
  webhook,
  withBrokenTools,
  type Json,
} from "../support/runs/client.ts";

withBrokenTools();

const look = (n: number): { name: string; args: Record<string, unknown> } => ({ name: "look", args: { n } });
const looking = (test: string, more: Json = {}): Json =>
  webhook("look", `${test}/echo`, { effect: "read_only", ...more });

describe("a limit", () => {
  it("of turns has the model answer without tools in the last", async () => {
    const plan = writePlan([[look(1)], [look(2)], [look(3)], "Never."]);
    const done = await run({ input: plan, tools: [looking("turns")], limits: { max_turns: 3 } });
    expect(done).toMatchObject({ status: "completed", stop_reason: "max_turns", steps: 3 });
    expect(await toolLog("turns")).toHaveLength(2);
  });

  it("of calls refuses those beyond it, and then has the model answer", async () => {
    const plan = writePlan([[look(1), look(2), look(3)], [look(4)], "Never."]);
    const done = await run({ input: plan, tools: [looking("calls")], max_tool_calls: 2 });
    expect(done).toMatchObject({ status: "completed", stop_reason: "max_tool_calls" });
    expect(await toolLog("calls")).toHaveLength(2);
    expect((await listOf(done.id, "tool-executions"))[2]).toMatchObject({
      status: "failed",
      result: expect.stringContaining("limit"),
    });
  });

  it("may be raised at a checkpoint", async () => {
    const plan = writePlan([[look(1)], [look(2)], "Seen."]);
    const waiting = await run({
      input: plan,
      tools: [looking("raised")],
      limits: { max_turns: 2, on_limit: "checkpoint" },
    });
    expect(waiting).toMatchObject({ status: "waiting_for_approval", steps: 1 });
    const [id] = waiting.open as string[];
    expect(await json("GET", `/v1/checkpoints/${id!}`)).toMatchObject({ kind: "limit", limit: "max_turns" });
    await json("POST", `/v1/checkpoints/${id!}:resolve`, { decision: "approve" });
    await expect
      .poll(async () => (await json("GET", `/v1/runs/${waiting.id as string}`)).status, { timeout: 10_000 })
      .toBe("completed");
    const done = await json("GET", `/v1/runs/${waiting.id as string}`);
    expect([textOf(done), done.stop_reason]).toEqual(["Seen.", "end_turn"]);
  });

  it("has the model answer if no person decides in time, and is not put to one again", async () => {
    const limits = { max_turns: 2, on_limit: "checkpoint" };
    const plan = writePlan([[look(1)], [look(2)], "Seen."]);
    const waiting = await run({ input: plan, tools: [looking("undecided")], limits });
    const object = objectOfRun(waiting.id as string);
    await runInDurableObject(object, (_, { storage }) => {
      storage.sql.exec("UPDATE run_parts SET body = json_set(body, '$.expiresAt', 1) WHERE kind = 'checkpoint'");
    });
    await runInDurableObject(object, (instance) => (instance as { alarm: () => Promise<void> }).alarm());
    await expect
      .poll(async () => (await json("GET", `/v1/runs/${waiting.id as string}`)).status, { timeout: 10_000 })
      .toBe("completed");
    expect(await json("GET", `/v1/runs/${waiting.id as string}`)).toMatchObject({ stop_reason: "max_turns" });
    expect(await listOf(waiting.id, "checkpoints")).toMatchObject([{ kind: "limit", status: "expired" }]);
  });

  it("of the same call with the same arguments ends a run that goes nowhere", async () => {
    const plan = writePlan([[look(1)], [look(1)], [look(1)], [look(1)], [look(1)], [look(1)], "Never."]);
    const done = await run({ input: plan, tools: [looking("nowhere")] });
    expect(done).toMatchObject({ status: "completed", stop_reason: "stop_condition", steps: 5 });
    expect(await toolLog("nowhere")).toHaveLength(3);
    const { data } = (await json("GET", `/v1/sessions/${done.session_id as string}/blocks`)) as { data: Json[] };
    expect(data.filter(({ type }) => type === "tool_result")).toHaveLength(5);
  });

  it.each([
    ["result", { status: "completed" }],
    ["fail", { status: "failed", error: { code: "provider.timeout" } }],
  ])("of a client's time gives the call a result, or ends the run: %s", async (on_timeout, expected) => {
    const tools = [clientTool("look", { parameters: {}, timeout_ms: 1, on_timeout })];
    const waiting = await run({ input: writePlan([[look(1)], "Over."]), tools });
    await expect
      .poll(async () => await json("GET", `/v1/runs/${waiting.id as string}`), { timeout: 10_000 })
      .toMatchObject(expected);
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([
      { status: on_timeout === "fail" ? "cancelled" : "timed_out" },
    ]);
  });

  it("of time ends a run whose tool never answers, and its calls have results", async () => {
    const tools = [webhook("look", "time/never", { effect: "read_only" })];
    const done = await run({ input: writePlan([[look(1)], "Never."]), tools, limits: { timeout_ms: 300 } });
    expect(done).toMatchObject({ status: "completed", stop_reason: "timeout" });
    const { data } = (await json("GET", `/v1/sessions/${done.session_id as string}/blocks`)) as { data: Json[] };
    expect(data.filter(({ type }) => type === "tool_call" || type === "tool_result")).toHaveLength(2);
  });

  it.each([
    ["max_turns", 0],
    ["max_turns", 65],
    ["max_tool_calls", 257],
    ["max_cost_micros_usd", 0],
    ["timeout_ms", 0],
    ["tool_timeout_ms", -1],
    ["on_limit", "stop"],
  ])("that is none is refused: %s %s", async (member, value) => {
    const refused = await send("POST", "/v1/runs", { model: "demo", input: "x", limits: { [member]: value } });
    expect([refused.status, await refused.json()]).toMatchObject([
      400,
      { error: { code: "request.invalid", details: { param: `limits.${member}` } } },
    ]);
  });
});

describe("a call that cannot be made", () => {
  it.each([
    ["an unknown tool", { name: "fly", args: {} }, /There is no tool named fly. The tools are: look/],
    ["arguments of another type", { name: "look", args: { n: "one" } }, /do not match the tool's schema/],
  ])("is an error that the model reads: %s", async (_, call, message) => {
    const done = await run({ input: writePlan([[call], "Over."]), tools: [looking("wrong"), clientTool("fly-other")] });
    expect(done.status).toBe("completed");
    expect((await listOf(done.id, "tool-executions"))[0]).toMatchObject({
      status: "failed",
      result: expect.stringMatching(message),
    });
    expect(await toolLog("wrong")).toEqual([]);
  });

  it("is one that was made three times with the same arguments", async () => {
    const plan = writePlan([[look(1)], [look(1)], [look(1)], [look(1)], "Over."]);
    const done = await run({ input: plan, tools: [looking("same")] });
    expect(done.status).toBe("completed");
    expect(await toolLog("same")).toHaveLength(3);
  });

  it.each([
    ["garbage", "succeeded", /./],
    ["refused", "failed", /No such customer/],
    ["huge", "succeeded", /longer than/],
    ["away", "failed", /status 302/],
    ["never", "timed_out", /did not answer within 0.2 s/],
    ["broken", "failed", /could not be reached/],
  ])("or whose tool answers oddly is not lost: %s", async (what, status, result) => {
    const tools = [
      webhook("look", `odd-${what}/${what}`, { effect: "idempotent", timeout_ms: what === "never" ? 200 : 20_000 }),
    ];
    const done = await run({ input: writePlan([[look(1)], "Over."]), tools });
    expect(textOf(done)).toBe("Over.");
    expect((await listOf(done.id, "tool-executions"))[0]).toMatchObject({
      status,
      result: expect.stringMatching(result),
    });
  });
});

describe("a request for a run", () => {
  it.each([
    [{ input: "x", tools: [looking("a"), looking("b")] }, "tools[1].name"],
    [{ input: "x", tools: [{ type: "native", name: "shell" }] }, "tools[0].name"],
    [{ input: "x", tools: [{ type: "rpc", name: "x" }] }, "tools[0].type"],
    [{ input: "x", blocks: [{ type: "input", text: "x" }] }, "input"],
    [{}, "input"],
    [{ input: "x", context_mode: "stateless" }, "context_mode"],
    [{ input: "x", store: "none" }, "store"],
    [{ input: "x", rhone: { parent: "turn_1" } }, "rhone.parent"],
    [{ input: "x", harness: "none" }, "harness"],
    [{ input: "x", policy: [{ tool: "*", do: "perhaps" }] }, "policy[0].do"],
    [{ input: "x", speed: 9 }, "speed"],
    [{ input: [{ type: "smell" }] }, "input[0].type"],
  ])("that is wrong is refused, naming the field: %j", async (body, param) => {
    const refused = await send("POST", "/v1/runs", { model: "demo", ...body });
    expect([refused.status, await refused.json()]).toMatchObject([
      400,
      { error: { code: "request.invalid", details: { param } } },
    ]);
  });

  it("for a model that does not exist fails with its error", async () => {
    const failed = await run({ model: "no/such-model", input: "x" });
    expect(failed).toMatchObject({ status: "failed", stop_reason: "error", error: { code: "model.not_found" } });
  });
});

describe("a result of more than 256 Ki characters", () => {
  it("is stored beside the rows, shown to the model by its ends, and read in full", async () => {
    const done = await run({
      input: writePlan([[look(1)], "Over."]),
      tools: [webhook("look", "long/huge", { effect: "read_only" })],
    });
    expect(textOf(done)).toBe("Over.");
    const [listed] = await listOf(done.id, "tool-executions");
    expect((listed!.result as string).length).toBeLessThan(70_000);
    expect(listed!.result_length).toBeGreaterThan(4_000_000);
    const whole = await json("GET", `/v1/runs/${done.id as string}/tool-executions/${listed!.id as string}`);
    expect((whole.result as string).length).toBe(listed!.result_length);
    expect(whole.result_length).toBeUndefined();
    const rows = await runInDurableObject(objectOfRun(done.id as string), (_, { storage }) =>
      storage.sql.exec<{ size: number }>("SELECT max(length(body)) AS size FROM run_parts").one(),
    );
    expect(rows.size).toBeLessThan(80_000);
    const { data } = await json("GET", `/v1/sessions/${done.session_id as string}/blocks`);
    const shown = (data as Json[]).find(({ type }) => type === "tool_result");
    expect((shown!.content as string).match(/characters of this result are left out/g)).toHaveLength(1);
    const none = await send("GET", `/v1/runs/${done.id as string}/tool-executions/tex_none`);
    expect(none.status).toBe(404);
  });

  it("of a client may be given twice, and only as it was", async () => {
    const waiting = await run({
      input: writePlan([[{ name: "weather", args: { city: "Lyon" } }], "Over."]),
      tools: [clientTool("weather")],
    });
    const [id] = waiting.open as string[];
    const text = (last: string): string =>
      `${"sun ".repeat(100_000)}${"rain ".repeat(20_000)}${last}`.padStart(600_000, "-");
    const give = (content: string): Promise<Response> =>
      send("POST", `/v1/runs/${waiting.id as string}:resume`, { tool_results: [{ id, content }] });
    expect((await give(text("a"))).status).toBe(200);
    expect((await give(text("a"))).status).toBe(200);
    // The middle, which the model is not shown, is another one.
    expect((await give(text("a").replace("rain", "snow"))).status).toBe(409);
  });
});
