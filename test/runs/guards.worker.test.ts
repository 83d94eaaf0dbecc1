import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { REQUEST, writePlan } from "../fake/plan.ts";
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
} from "../support/runs/client.ts";
import { EMAIL, setProfile, TAG } from "../support/shield/gateway.ts";
import { request } from "../support/worker/client.ts";

const look = (n: number): { name: string; args: Record<string, unknown> } => ({ name: "look", args: { n } });

describe("the shield of a run", () => {
  it("stands between its tools and its model, and its key sees its own values", async () => {
    await setProfile("runs", { mode: "enforce", detectors: { email: { action: "redact" } } });
    const mail = { name: "mail", args: { to: "@mail.0", id: "@mail.0" } };
    const plan = writePlan([[{ name: "look", args: {} }], [mail], { thinking: "So.", text: REQUEST }]);
    const tools = [
      clientTool("look", { parameters: {} }),
      webhook("mail", "shielded/echo", { effect: "idempotent", parameters: {} }),
    ];
    const rhone = { safety: { profile: "runs" } };
    const waiting = await run({ input: `I am ${EMAIL}. ${plan}`, tools, rhone });
    const [id] = waiting.open as string[];
    const done = await json("POST", `/v1/runs/${waiting.id as string}:resume`, {
      tool_results: [{ id, content: `{"mail": "${EMAIL}"}` }],
    });
    expect(done).toMatchObject({ status: "completed" });
    // The tool gets the caller's value, the model and the session its tag.
    const [sent] = await toolLog("shielded");
    expect((JSON.parse(sent!.body) as { data: Json }).data.arguments).toEqual({ to: EMAIL, id: EMAIL });
    expect(textOf(done)).toContain(EMAIL);
    const blocks = JSON.stringify(await json("GET", `/v1/sessions/${waiting.session_id as string}/blocks`));
    expect(blocks).toMatch(TAG);
    expect(blocks).not.toContain(EMAIL);
    const decisions = await listOf(waiting.id, "safety-decisions");
    expect(decisions.map(({ stage }) => stage)).toContain("tool_result");
    // Nor is it in the rows of the run, but for its input, which is screened with its first call.
    const rows = await runInDurableObject(objectOfRun(waiting.id as string), (_, { storage }) => [
      ...storage.sql.exec<{ body: string }>("SELECT body FROM run_parts WHERE kind = 'execution'"),
    ]);
    expect(rows).toHaveLength(2);
    for (const { body } of rows) {
      expect(body).toMatch(TAG);
      expect(body).not.toContain(EMAIL);
    }
  });

  it("lets the model see no more of what a person writes than of a result", async () => {
    await setProfile("written", { mode: "enforce", detectors: { email: { action: "redact" } } });
    const tools = [webhook("mail", "written/echo", { parameters: {} })];
    const plan = writePlan([[{ name: "mail", args: { to: "x" } }], { thinking: "So.", text: REQUEST }]);
    const waiting = await run({ input: plan, tools, rhone: { safety: { profile: "written" } } });
    const [id] = waiting.open as string[];
    await json("POST", `/v1/checkpoints/${id!}:resolve`, { decision: "edit", arguments: { to: EMAIL } });
    await expect
      .poll(async () => (await json("GET", `/v1/runs/${waiting.id as string}`)).status, { timeout: 10_000 })
      .toBe("completed");
    expect((await toolLog("written"))[0]!.body).toContain(EMAIL);
    const blocks = JSON.stringify(await json("GET", `/v1/sessions/${waiting.session_id as string}/blocks`));
    expect(blocks).toMatch(TAG);
    expect(blocks).not.toContain(EMAIL);
  });

  it.each([
    ["approve", { status: "completed" }],
    ["deny", { status: "failed", stop_reason: "safety_blocked", error: { code: "safety.policy_denied" } }],
  ])("leaves to a person what its profile does, and goes on with tags: %s", async (decision, expected) => {
    await setProfile("left", { mode: "enforce", detectors: { email: { action: "checkpoint" } } });
    const plan = writePlan([[look(1)], { thinking: "So.", text: REQUEST }]);
    const tools = [clientTool("look", { parameters: {} })];
    const rhone = { safety: { profile: "left" } };
    const decide = async (waiting: Json): Promise<void> => {
      expect(waiting).toMatchObject({ status: "waiting_for_approval" });
      const [id] = waiting.open as string[];
      const checkpoint = await json("GET", `/v1/checkpoints/${id!}`);
      expect(checkpoint).toMatchObject({ kind: "safety", decisions: ["approve", "deny"], safety: { profile: "left" } });
      expect(JSON.stringify(checkpoint)).not.toContain(EMAIL);
      await json("POST", `/v1/checkpoints/${id!}:resolve`, { decision });
    };
    const first = await run({ input: `I am ${EMAIL}. ${plan}`, tools, rhone });
    await decide(first);
    const path = `/v1/runs/${first.id as string}`;
    const status = async (): Promise<unknown> => (await json("GET", path)).status;
    if (decision === "approve") {
      await expect.poll(status, { timeout: 10_000 }).toBe("waiting_for_tool");
      const [call] = (await json("GET", path)).open as string[];
      await decide(await json("POST", `${path}:resume`, { tool_results: [{ id: call, content: `Not ${EMAIL}.` }] }));
    }
    await expect.poll(() => json("GET", path), { timeout: 10_000 }).toMatchObject(expected);
    const blocks = JSON.stringify(await json("GET", `/v1/sessions/${first.session_id as string}/blocks`));
    if (decision === "approve") expect(blocks).toMatch(TAG);
    expect(blocks).not.toContain(EMAIL);
  });

  it("gives a tool back a value that only the result of another had", async () => {
    await setProfile("runs", { mode: "enforce", detectors: { email: { action: "redact" } } });
    const plan = writePlan([[{ name: "look", args: {} }], [{ name: "mail", args: { to: "@mail.0" } }], "Sent."]);
    const tools = [
      clientTool("look", { parameters: {} }),
      webhook("mail", "returned/echo", { effect: "idempotent", parameters: {} }),
    ];
    const waiting = await run({ input: plan, tools, rhone: { safety: { profile: "runs" } } });
    const [id] = waiting.open as string[];
    await json("POST", `/v1/runs/${waiting.id as string}:resume`, {
      tool_results: [{ id, content: `{"mail": "${EMAIL}"}` }],
    });
    expect((await toolLog("returned"))[0]!.body).toContain(EMAIL);
  });

  it("ends a run whose request it denies", async () => {
    await setProfile("denied", { mode: "enforce", detectors: { email: { action: "block" } } });
    const denied = await run({ model: "demo", input: `I am ${EMAIL}.`, rhone: { safety: { profile: "denied" } } });
    expect(denied).toMatchObject({
      status: "failed",
      stop_reason: "safety_blocked",
      error: { code: "safety.policy_denied" },
    });
  });
});

describe("the money of a run", () => {
  it("is never more than it may cost: a call that may cost more is not made", async () => {
    const done = await run({
      model: "fake/paid",
      input: "Hello.",
      max_output_tokens: 10,
      limits: { max_cost_micros_usd: 1 },
    });
    expect(done).toMatchObject({ status: "completed", stop_reason: "max_cost", cost_micros_usd: 0 });
  });

  it("is counted over its steps, and refused for a model without a price", async () => {
    const paid = await run({
      model: "fake/paid",
      input: "Hello.",
      max_output_tokens: 10,
      limits: { max_cost_micros_usd: 1_000_000 },
    });
    expect(paid.status).toBe("completed");
    expect(paid.cost_micros_usd).toBeGreaterThan(0);
    expect(paid.cost_micros_usd).toBeLessThanOrEqual(1_000_000);
    const unpriced = await run({ model: "fake/plan", input: "Hello.", limits: { max_cost_micros_usd: 1_000_000 } });
    expect(unpriced).toMatchObject({ stop_reason: "max_cost" });
  });
});

it("a key that is revoked while a run waits ends the run at its next step", async () => {
  const { secret, id } = (await (await send("POST", "/v1/keys", { name: "k", ttl_s: 600 })).json()) as {
    secret: string;
    id: string;
  };
  const body = {
    model: "fake/plan",
    input: writePlan([[{ name: "weather", args: { city: "Lyon" } }], "Never."]),
    tools: [clientTool("weather")],
  };
  const waiting = await json("POST", "/v1/runs", body, secret);
  await json("POST", `/v1/keys/${id}:revoke`);
  const [call] = waiting.open as string[];
  await expect.poll(async () => (await send("GET", "/v1/me", undefined, secret)).status, { timeout: 10_000 }).toBe(401);
  const ended = await json("POST", `/v1/runs/${waiting.id as string}:resume`, {
    tool_results: [{ id: call, content: "sun" }],
  });
  expect(ended).toMatchObject({
    status: "failed",
    stop_reason: "error",
    error: { code: expect.stringMatching(/^auth\./) },
  });
});

it("a run of another organisation does not exist", async () => {
  const waiting = await run({ input: writePlan([[look(1)], "x"]), tools: [clientTool("look", { parameters: {} })] });
  const organization = (await (await send("POST", "/v1/organizations", { name: "other" })).json()) as Json;
  const key = (await (
    await send("POST", "/v1/keys", { name: "k", ttl_s: 600, scopes: ["runs:read", "runs:write", "runs:approve"] })
  ).json()) as Json;
  expect((await send("GET", `/v1/runs/${waiting.id as string}`, undefined, key.secret as string)).status).toBe(200);
  const headers = { "x-rhone-organization": organization.id as string };
  for (const [method, path] of [
    ["GET", ""],
    ["GET", "/steps"],
    ["GET", ":stream"],
    ["POST", ":cancel"],
    ["POST", ":resume"],
  ] as const) {
    const response = await request(`/v1/runs/${waiting.id as string}${path}`, { method, headers });
    expect([path, response.status]).toEqual([path, 404]);
  }
});

it("all readers see the same stream, from wherever they start", async () => {
  const plan = writePlan([...Array.from({ length: 6 }, (_, i) => [look(i)]), "Done."]);
  const response = await send("POST", "/v1/runs:stream", {
    model: "fake/plan",
    input: plan,
    tools: [webhook("look", "readers/echo", { effect: "read_only" })],
    limits: { max_turns: 10 },
  });
  const id = response.headers.get("x-rhone-run-id")!;
  const [one, other] = await Promise.all([eventsOf(response), eventsOf(await send("GET", `/v1/runs/${id}:stream`))]);
  // A number that the stream does not have yet is refused.
  const third = await eventsOf(await send("GET", `/v1/runs/${id}:stream?after=5`));
  expect(other).toEqual(one);
  expect(third).toEqual(one.slice(5));
});

it("a pattern that backtracks holds nothing up, and arguments that do not match it run nothing", async () => {
  const tools = [
    webhook("look", "backtracking/echo", {
      effect: "read_only",
      parameters: { type: "object", properties: { x: { type: "string", pattern: "^(a+)+$" } } },
    }),
  ];
  const call = { name: "look", args: { x: `${"a".repeat(60)}!` } };
  const done = await run({ input: writePlan([[call], "Over."]), tools });
  expect(done.status).toBe("completed");
  expect((await listOf(done.id, "tool-executions"))[0]).toMatchObject({
    status: "failed",
    result: expect.stringContaining("do not match the tool's schema"),
  });
  expect(await toolLog("backtracking")).toEqual([]);
});
