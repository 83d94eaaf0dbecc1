import { describe, expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import {
  clientTool,
  json,
  listOf,
  run,
  send,
  textOf,
  toolLog,
  webhook,
  withBrokenTools,
  type Json,
  ended,
} from "../support/runs/client.ts";

withBrokenTools();

const refund = (n: number): { name: string; args: Record<string, unknown> } => ({ name: "refund", args: { n } });
const resolve = (id: unknown, body: Json, key?: string): Promise<Response> =>
  send("POST", `/v1/checkpoints/${id as string}:resolve`, body, key);

/** A run that waits for an approval, with its checkpoint. */
async function pause(
  test: string,
  more: Json = {},
  plan = [[refund(5)], "Refunded."],
): Promise<{ waiting: Json; checkpoint: Json }> {
  const waiting = await run({ input: writePlan(plan), tools: [webhook("refund", `${test}/echo`)], ...more });
  expect(waiting).toMatchObject({ status: "waiting_for_approval" });
  const [id] = waiting.open as string[];
  return { waiting, checkpoint: await json("GET", `/v1/checkpoints/${id!}`) };
}

describe("an approval", () => {
  it("comes before a tool that may change something runs, and holds once", async () => {
    const { waiting, checkpoint } = await pause("approved");
    expect(checkpoint).toMatchObject({
      kind: "approval",
      status: "open",
      tool: "refund",
      arguments: '{"n":5}',
      decisions: ["approve", "deny", "edit"],
    });
    expect(await toolLog("approved")).toEqual([]);
    expect(await (await resolve(checkpoint.id, { decision: "approve" })).json()).toMatchObject({ status: "approved" });
    const done = await ended(waiting.id);
    expect([done.status, textOf(done)]).toEqual(["completed", "Refunded."]);
    expect(await toolLog("approved")).toHaveLength(1);
    const twice = await resolve(checkpoint.id, { decision: "approve" });
    expect([twice.status, await twice.json()]).toMatchObject([
      409,
      { error: { message: "id: the checkpoint is approved" } },
    ]);
  });

  it("that is denied runs nothing, and the model reads why", async () => {
    const { waiting, checkpoint } = await pause("denied");
    await resolve(checkpoint.id, { decision: "deny", reason: "Too much." });
    expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
    expect(await toolLog("denied")).toEqual([]);
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([
      { status: "denied", result: "A person did not allow this call: Too much.", is_error: true },
    ]);
  });

  it("with other arguments runs those, and the model reads that", async () => {
    const { waiting, checkpoint } = await pause("edited");
    const wrong = await resolve(checkpoint.id, { decision: "edit", arguments: { n: "five" } });
    expect([wrong.status, await wrong.json()]).toMatchObject([400, { error: { details: { param: "arguments" } } }]);
    await resolve(checkpoint.id, { decision: "edit", arguments: { n: 3 } });
    await ended(waiting.id);
    expect((await toolLog("edited")).map(({ body }) => (JSON.parse(body) as { data: Json }).data.arguments)).toEqual([
      { n: 3 },
    ]);
    const blocks = (await json("GET", `/v1/sessions/${waiting.session_id as string}/blocks`)).data as Json[];
    expect(blocks.find(({ type }) => type === "tool_result")!.content).toContain(
      'changed the arguments of this call to {"n":3}',
    );
  });

  it("of all calls of a tool holds in its run, and for no other tool", async () => {
    const other = { name: "charge", args: { n: 1 } };
    const waiting = await run({
      input: writePlan([[refund(5)], [refund(6)], [other], "Never."]),
      tools: [webhook("refund", "remembered/echo"), webhook("charge", "remembered/charge")],
    });
    const [id] = waiting.open as string[];
    const wrong = await resolve(id, { decision: "deny", remember: "run" });
    expect(wrong.status).toBe(400);
    const decided = await (await resolve(id, { decision: "approve", remember: "run" })).json();
    expect(decided).toMatchObject({ decided: { decision: "approve", remember: "run" } });
    await expect.poll(async () => (await listOf(waiting.id, "checkpoints")).length, { timeout: 10_000 }).toBe(2);
    expect(await listOf(waiting.id, "checkpoints")).toMatchObject([{ tool: "refund" }, { tool: "charge" }]);
    expect(await toolLog("remembered")).toHaveLength(2);
    await json("POST", `/v1/runs/${waiting.id as string}:cancel`);
  });

  it("of another is not given by the key that has started the run", async () => {
    const policy = [{ tool: "ref*", do: "ask", approver: "other" }];
    const { waiting, checkpoint } = await pause("other", { policy });
    expect((await resolve(checkpoint.id, { decision: "approve" })).status).toBe(403);
    const key = await send("POST", "/v1/keys", { name: "approver", ttl_s: 600, scopes: ["runs:approve"] });
    const { secret } = (await key.json()) as { secret: string };
    expect((await resolve(checkpoint.id, { decision: "approve" }, secret)).status).toBe(200);
    expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
  });

  it("of another is not given by one that the run's own key has made for the whole run", async () => {
    const policy = [
      { tool: "refund", when: { field: "n", op: "lte", value: 10 }, do: "ask" },
      { tool: "refund", do: "ask", approver: "other" },
    ];
    const { waiting, checkpoint } = await pause("bypass", { policy }, [[refund(1)], [refund(99_999)], "Refunded."]);
    expect((await resolve(checkpoint.id, { decision: "approve", remember: "run" })).status).toBe(200);
    await expect.poll(async () => (await listOf(waiting.id, "checkpoints")).length, { timeout: 10_000 }).toBe(2);
    expect((await listOf(waiting.id, "checkpoints"))[1]).toMatchObject({ status: "open", approver: "other" });
    expect(await toolLog("bypass")).toHaveLength(1);
    await json("POST", `/v1/runs/${waiting.id as string}:cancel`);
  });

  it.each([
    [{ tool: "refund", when: { field: "n", op: "lte", value: 5 }, do: "allow" }, "completed"],
    [{ tool: "refund", when: { field: "n", op: "lt", value: 5 }, do: "allow" }, "waiting_for_approval"],
    [{ tool: "*", do: "deny" }, "completed"],
  ])("is needed where the policy says so: %j", async (rule, status) => {
    const test = `policy-${status}-${rule.do}-${JSON.stringify(rule).length}`;
    const done = await run({
      input: writePlan([[refund(5)], "Over."]),
      tools: [webhook("refund", `${test}/echo`)],
      policy: [rule],
    });
    expect(done.status).toBe(status);
    expect(await toolLog(test)).toHaveLength(status === "completed" && rule.do === "allow" ? 1 : 0);
  });

  it("for a tool of the client comes first, and then its result", async () => {
    const tools = [clientTool("refund", { parameters: {}, policy: "ask" })];
    const waiting = await run({ input: writePlan([[refund(5)], "Refunded."]), tools });
    expect(waiting.status).toBe("waiting_for_approval");
    const [id] = waiting.open as string[];
    await resolve(id, { decision: "approve" });
    const [execution] = await listOf(waiting.id, "tool-executions");
    expect(execution).toMatchObject({ status: "awaiting_client" });
    const done = await json("POST", `/v1/runs/${waiting.id as string}:resume`, {
      tool_results: [{ id: execution!.id, content: "ok" }],
    });
    expect(done.status).toBe("completed");
  });
});

it("two results for one call are refused together", async () => {
  const waiting = await run({
    input: writePlan([[refund(5)], "Refunded."]),
    tools: [clientTool("refund", { parameters: {} })],
  });
  const [id] = waiting.open as string[];
  const tool_results = [
    { id, content: "ok" },
    { id, content: "not ok" },
  ];
  const refused = await send("POST", `/v1/runs/${waiting.id as string}:resume`, { tool_results });
  expect([refused.status, await refused.json()]).toMatchObject([
    400,
    { error: { details: { param: "tool_results[1].id" } } },
  ]);
  expect(await listOf(waiting.id, "tool-executions")).toMatchObject([{ status: "awaiting_client" }]);
});

it("of two decisions at once there is one, and of two results", async () => {
  const { waiting, checkpoint } = await pause("at-once");
  const both = await Promise.all([
    resolve(checkpoint.id, { decision: "approve" }),
    resolve(checkpoint.id, { decision: "deny" }),
  ]);
  expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409]);
  await ended(waiting.id);
  expect((await toolLog("at-once")).length).toBeLessThanOrEqual(1);
  const other = await run({
    input: writePlan([[refund(5)], "Over."]),
    tools: [clientTool("refund", { parameters: {} })],
  });
  const [id] = other.open as string[];
  const results = await Promise.all(
    ["one", "two", "three"].map((content) =>
      send("POST", `/v1/runs/${other.id as string}:resume`, { tool_results: [{ id, content }] }),
    ),
  );
  expect(results.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409, 409]);
  expect(await json("GET", `/v1/runs/${other.id as string}`)).toMatchObject({ status: "completed", steps: 2 });
});

it("the headers of a webhook are not shown", async () => {
  const tools = [
    webhook("refund", "headers/echo", { effect: "idempotent", headers: { authorization: "Bearer hidden" } }),
  ];
  const done = await run({ input: writePlan([[refund(5)], "Over."]), tools });
  expect((await toolLog("headers"))[0]!.headers.authorization).toBe("Bearer hidden");
  const shown = JSON.stringify(await json("GET", `/v1/runs/${done.id as string}/effective-request`));
  expect(shown).not.toContain("hidden");
});

describe("an execution of which is not known whether it has happened", () => {
  it("is not repeated: a person says what became of it", async () => {
    const tools = [webhook("refund", "unknown/broken", { effect: "non_idempotent", policy: "allow" })];
    const waiting = await run({ input: writePlan([[refund(5)], "Over."]), tools });
    expect(waiting).toMatchObject({ status: "waiting_for_approval" });
    const [id] = waiting.open as string[];
    expect(await json("GET", `/v1/checkpoints/${id!}`)).toMatchObject({
      kind: "unknown",
      decisions: ["retry", "result", "fail"],
    });
    expect(await toolLog("unknown")).toHaveLength(1);
    expect((await resolve(id, { decision: "approve" })).status).toBe(400);
    await resolve(id, { decision: "result", content: "It had happened." });
    expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([
      { status: "succeeded", result: "It had happened.", attempt: 1 },
    ]);
    expect(await toolLog("unknown")).toHaveLength(1);
  });

  it.each(["broken-once", "failing-once"])("that may be repeated is, with the same key: %s", async (what) => {
    const tools = [webhook("refund", `again-${what}/${what}`, { effect: "idempotent" })];
    const done = await run({ input: writePlan([[refund(5)], "Over."]), tools });
    expect(done.status).toBe("completed");
    const keys = (await toolLog(`again-${what}`)).map(({ headers }) => headers["idempotency-key"]);
    expect([keys.length, new Set(keys).size]).toEqual([2, 1]);
  });
});
