import { env } from "cloudflare:workers";
import { Webhook } from "standardwebhooks";
import { afterEach, describe, expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import { json, run, send, toolLog, TOOLS, webhook, type Json } from "../support/runs/client.ts";

const plan = writePlan([[{ name: "notify", args: { n: 1 } }], "Sent."]);
const asking = (test: string): Json => webhook("notify", `${test}/echo`, { policy: "ask" });

const created: string[] = [];
afterEach(async () => {
  for (const id of created.splice(0)) await send("DELETE", `/v1/webhooks/${id}`);
});

/** A webhook at a path of the host of tools. */
async function subscribe(path: string, more: Json = {}): Promise<Json & { id: string; secret: string }> {
  const response = await send("POST", "/v1/webhooks", { url: `${TOOLS}/${path}`, ...more });
  const made = (await response.json()) as Json & { id: string; secret: string };
  expect([response.status, made.status]).toEqual([201, "enabled"]);
  created.push(made.id);
  return made;
}

/** What a webhook has got, as soon as it is so much. */
async function received(test: string, count: number): Promise<{ headers: Record<string, string>; body: string }[]> {
  await expect.poll(async () => (await toolLog(test)).length, { timeout: 20_000 }).toBeGreaterThanOrEqual(count);
  return await toolLog(test);
}

const typesOf = (messages: readonly { body: string }[]): string[] =>
  messages.map(({ body }) => (JSON.parse(body) as { type: string }).type).toSorted();

describe("a webhook", () => {
  it("gets that a run waits, its checkpoint and its end, with signatures that hold", async () => {
    const { secret } = await subscribe("hook-all/hook");
    const waiting = await run({ input: plan, tools: [asking("all-tool")] });
    const [id] = waiting.open as string[];
    expect(typesOf(await received("hook-all", 2))).toEqual(["checkpoint.created", "run.waiting"]);
    await json("POST", `/v1/checkpoints/${id}:resolve`, { decision: "approve" });
    const messages = await received("hook-all", 3);
    expect(typesOf(messages)).toEqual(["checkpoint.created", "run.completed", "run.waiting"]);
    const verifier = new Webhook(secret);
    const verified = messages.map(
      ({ body, headers }) => verifier.verify(body, headers) as { type: string; data: Json },
    );
    const about = { run_id: waiting.id, session_id: waiting.session_id };
    expect(verified.find(({ type }) => type === "checkpoint.created")!.data).toEqual({
      ...about,
      checkpoint_id: id,
      kind: "approval",
      tool: "notify",
      expires_at: expect.any(String),
    });
    expect(verified.find(({ type }) => type === "run.waiting")!.data).toEqual({
      ...about,
      status: "waiting_for_approval",
    });
    expect(verified.find(({ type }) => type === "run.completed")!.data).toEqual({
      ...about,
      status: "completed",
      stop_reason: "end_turn",
    });
    expect(new Set(messages.map(({ headers }) => headers["webhook-id"])).size).toBe(3);
  });

  it("gets the events of its list alone, and none while it is disabled", async () => {
    const { id } = await subscribe("hook-some/hook", { events: ["run.failed", "run.cancelled"] });
    await run({ input: plan, tools: [webhook("notify", "some-tool/echo", { effect: "idempotent" })] });
    const waiting = await run({ input: plan, tools: [asking("some-tool")] });
    await json("POST", `/v1/runs/${waiting.id as string}:cancel`);
    expect(typesOf(await received("hook-some", 1))).toEqual(["run.cancelled"]);
    await json("PATCH", `/v1/webhooks/${id}`, { status: "disabled" });
    // It gets the same event, written together with what the other one does not get.
    await subscribe("hook-sentinel/hook", { events: ["run.cancelled"] });
    const later = await run({ input: plan, tools: [asking("some-tool")] });
    await json("POST", `/v1/runs/${later.id as string}:cancel`);
    await received("hook-sentinel", 1);
    expect(typesOf(await toolLog("hook-some"))).toEqual(["run.cancelled"]);
  });

  it("gets a message again that it has not taken, with the same id", async () => {
    const { secret } = await subscribe("hook-again/failing-once", { events: ["run.completed"] });
    await run({ input: "Hello", tools: [] });
    const [first, second] = await received("hook-again", 2);
    expect([first!.headers["webhook-id"], first!.body]).toEqual([second!.headers["webhook-id"], second!.body]);
    expect(new Webhook(secret).verify(second!.body, second!.headers)).toMatchObject({ type: "run.completed" });
  });

  it("that answers 410 is disabled", async () => {
    const { id } = await subscribe("hook-gone/gone", { events: ["run.completed"] });
    await run({ input: "Hello", tools: [] });
    await expect
      .poll(async () => ((await json("GET", "/v1/webhooks")).data as Json[]).find((one) => one.id === id)?.status)
      .toBe("disabled");
  });

  it("is signed with both secrets while one replaces the other", async () => {
    const before = await subscribe("hook-rotated/hook", { events: ["run.completed"] });
    const after = await json("POST", `/v1/webhooks/${before.id}:rotate`);
    expect(after.secret).not.toBe(before.secret);
    await run({ input: "Hello", tools: [] });
    const [message] = await received("hook-rotated", 1);
    for (const secret of [before.secret, after.secret as string])
      expect(new Webhook(secret).verify(message!.body, message!.headers)).toMatchObject({ type: "run.completed" });
    expect(message!.headers["webhook-signature"]!.split(" ")).toHaveLength(2);
  });

  it("that is changed while it is rotated has its last secret, and one that is deleted meanwhile stays so", async () => {
    const { id } = await subscribe("hook-race/hook", { events: ["run.completed"] });
    const [rotated] = await Promise.all([
      json("POST", `/v1/webhooks/${id}:rotate`),
      json("PATCH", `/v1/webhooks/${id}`, { events: ["run.completed", "run.failed"] }),
    ]);
    await run({ input: "Hello", tools: [] });
    const [message] = await received("hook-race", 1);
    expect(new Webhook(rotated.secret as string).verify(message!.body, message!.headers)).toMatchObject({
      type: "run.completed",
    });
    await Promise.all([send("DELETE", `/v1/webhooks/${id}`), send("POST", `/v1/webhooks/${id}:rotate`)]);
    const all = (await json("GET", "/v1/webhooks")).data as Json[];
    expect(all.filter((one) => one.id === id)).toEqual([]);
  });

  it("shows its secret when it is made, and never again", async () => {
    const { id, secret } = await subscribe("hook-hidden/hook");
    const all = (await json("GET", "/v1/webhooks")).data as Json[];
    expect(all.find((one) => one.id === id)).toEqual({
      id,
      object: "webhook",
      url: `${TOOLS}/hook-hidden/hook`,
      events: ["run.waiting", "run.completed", "run.failed", "run.cancelled", "checkpoint.created"],
      status: "enabled",
      created_at: expect.any(String),
    });
    const audit = JSON.stringify((await env.DB.prepare("SELECT * FROM audit_events").all()).results);
    expect([audit.includes(id), audit.includes(secret), audit.includes("sealed")]).toEqual([true, false, false]);
  });

  it.each([
    [{ url: "http://tools.example.com/x" }, "url", /https/],
    [{ url: "https://127.0.0.1/x" }, "url", /by its name/],
    [{ url: "https://metadata.internal/x" }, "url", /public internet/],
    [{ url: `${TOOLS}/x`, events: [] }, "events", /./],
    [{ url: `${TOOLS}/x`, events: ["run.started"] }, "events[0]", /./],
    [{ events: ["run.waiting"] }, "url", /./],
    [{ url: `${TOOLS}/x`, secret: "mine" }, "secret", /./],
  ])("is refused with the field that is wrong: %j", async (body, field, message) => {
    const refused = await send("POST", "/v1/webhooks", body);
    expect([refused.status, await refused.json()]).toMatchObject([
      400,
      { error: { message: expect.stringMatching(message), details: { param: field } } },
    ]);
  });

  it.each([
    ["PATCH", ""],
    ["POST", ":rotate"],
    ["DELETE", ""],
  ])("that does not exist is not found: %s", async (method, verb) => {
    const refused = await send(method, `/v1/webhooks/whk_none${verb}`, method === "PATCH" ? {} : undefined);
    expect([refused.status, await refused.json()]).toMatchObject([404, { error: { code: "object.not_found" } }]);
  });
});
