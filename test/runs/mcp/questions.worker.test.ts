import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { eventsOf, json, listOf, objectOfRun, run, send, ended, crash } from "../../support/runs/client.ts";
import { KINDS, callOf, callsOf, questionOf, resolve } from "../../support/runs/mcp.ts";

describe.each(KINDS)("a server of the %s protocol", (kind) => {
  it("puts its question to a person, and goes on with the answer", async () => {
    const test = `question-${kind}`;
    const started = await send("POST", "/v1/runs:stream", {
      model: "fake/plan",
      ...callOf(test, kind, "deploy", { args: { env: "prod" } }),
    });
    const id = started.headers.get("x-rhone-run-id");
    const events = eventsOf(started);
    const question = await questionOf(id);
    expect(question).toMatchObject({
      decisions: ["answer", "deny"],
      question: { message: "Deploy?", schema: { required: ["sure"] } },
    });
    const wrong = await resolve(question.id, { decision: "answer", content: { sure: "yes" } });
    expect([wrong.status, await wrong.json()]).toMatchObject([400, { error: { details: { param: "content" } } }]);
    const answered = await resolve(question.id, { decision: "answer", content: { sure: true } });
    expect(await answered.json()).toMatchObject({ status: "answered" });
    expect(await ended(id)).toMatchObject({ status: "completed" });
    expect((await events).map(({ type }) => type)).toContain("checkpoint.created");
    expect(await listOf(id, "tool-executions")).toMatchObject([
      { status: "succeeded", result: expect.stringContaining('{"action":"accept","content":{"sure":true}}') },
    ]);
    expect((await resolve(question.id, { decision: "answer", content: { sure: true } })).status).toBe(409);
  });

  it("reads that a person declines", async () => {
    const test = `declined-${kind}`;
    const started = await send("POST", "/v1/runs:stream", { model: "fake/plan", ...callOf(test, kind, "deploy") });
    const id = started.headers.get("x-rhone-run-id");
    const events = eventsOf(started);
    await resolve((await questionOf(id)).id, { decision: "deny", reason: "Not today." });
    await ended(id);
    await events;
    expect(await listOf(id, "tool-executions")).toMatchObject([
      { result: expect.stringContaining('{"action":"decline"}') },
    ]);
  });
});

it("a question that its server does not wait for is closed", async () => {
  const done = await run(callOf("impatient", "legacy", "impatient"));
  expect(done.status).toBe("completed");
  expect(await listOf(done.id, "checkpoints")).toMatchObject([{ kind: "input", status: "cancelled" }]);
  expect(await listOf(done.id, "tool-executions")).toMatchObject([{ status: "succeeded" }]);
});

describe("a question whose run's object is started anew", () => {
  it("may still be answered", async () => {
    const waiting = await run(callOf("restarted", "modern", "deploy", { args: { env: "prod" } }));
    expect(waiting.status).toBe("waiting_for_approval");
    await crash(waiting.id as string);
    const question = await questionOf(waiting.id);
    await resolve(question.id, { decision: "answer", content: { sure: true } });
    expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([
      { status: "succeeded", attempt: 2, result: expect.stringContaining("with opaque") },
    ]);
  });

  it("is lost with its connection in the older protocol: whether the tool has run is left to a person", async () => {
    const started = await send("POST", "/v1/runs:stream", {
      model: "fake/plan",
      ...callOf("cut", "legacy", "deploy", { args: { env: "prod" } }),
    });
    const id = started.headers.get("x-rhone-run-id")!;
    const reading = started.text().catch(() => "");
    const question = await questionOf(id);
    await crash(id);
    await reading;
    await expect.poll(async () => (await json("GET", `/v1/runs/${id}`)).status).toBe("waiting_for_approval");
    expect((await resolve(question.id, { decision: "answer", content: { sure: true } })).status).toBe(409);
    expect((await listOf(id, "checkpoints")).map(({ kind, status }) => [kind, status])).toEqual([
      ["input", "cancelled"],
      ["unknown", "open"],
    ]);
  });

  it("that no person answers in time ends the call, not the run", async () => {
    const waiting = await run(callOf("expired", "modern", "deploy", { args: { env: "prod" } }));
    await runInDurableObject(objectOfRun(waiting.id as string), async (_, state) => {
      const late = "json_set(body, '$.expiresAt', 1)";
      state.storage.sql.exec(`UPDATE run_parts SET body = ${late} WHERE kind = 'checkpoint'`);
      await state.storage.setAlarm(Date.now());
    });
    expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([{ status: "expired", is_error: true }]);
    expect(await callsOf("expired")).toHaveLength(1);
  });
});
