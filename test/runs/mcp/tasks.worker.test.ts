import { describe, expect, it } from "vitest";
import { eventsOf, json, listOf, run, send, type Json, ended } from "../../support/runs/client.ts";
import { callOf, callsOf, logOf, questionOf, resolve, tell } from "../../support/runs/mcp.ts";

describe("a task", () => {
  it("is waited for, and its result is the call's", async () => {
    const started = send("POST", "/v1/runs", { model: "fake/plan", ...callOf("task", "modern", "report_task") });
    await expect.poll(async () => (await logOf("task")).some(({ method }) => method === "tasks/get")).toBe(true);
    await tell("task", "finish");
    const done = (await (await started).json()) as Json;
    expect(done.status).toBe("completed");
    expect(await listOf(done.id, "tool-executions")).toMatchObject([{ status: "succeeded", result: "Done with {}" }]);
  });

  it("that takes long lets its run wait, and is looked at again", async () => {
    const request = { ...callOf("long", "modern", "report_task"), limits: { tool_timeout_ms: 1 } };
    const waiting = await run(request);
    expect(waiting.status).toBe("waiting_for_tool");
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([
      { status: "polling", due_at: expect.any(String) },
    ]);
    const looks = async (): Promise<number> =>
      (await logOf("long")).filter(({ method }) => method === "tasks/get").length;
    const before = await looks();
    await expect.poll(looks, { timeout: 20_000 }).toBeGreaterThan(before);
    const events = await eventsOf(await send("GET", `/v1/runs/${waiting.id as string}:stream`));
    expect(events.filter(({ type }) => type === "run.waiting")).toHaveLength(1);
    await tell("long", "finish");
    expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
    expect(await callsOf("long")).toHaveLength(1);
  });

  it("asks a person, and gets the answer", async () => {
    const started = send("POST", "/v1/runs:stream", {
      model: "fake/plan",
      ...callOf("interview", "modern", "interview_task"),
    });
    const id = (await started).headers.get("x-rhone-run-id");
    const events = eventsOf(await started);
    const question = await questionOf(id);
    expect(question).toMatchObject({ question: { message: "Who are you?" } });
    await tell("interview", "finish");
    await resolve(question.id, { decision: "answer", content: { name: "Ada" } });
    await ended(id);
    await events;
    expect(await listOf(id, "tool-executions")).toMatchObject([{ result: expect.stringContaining('"name":"Ada"') }]);
    expect((await listOf(id, "checkpoints")).filter(({ kind }) => kind === "input")).toHaveLength(1);
  });

  it("gets the answer of a person again, if its server was not reached with it", async () => {
    const started = send("POST", "/v1/runs:stream", {
      model: "fake/plan",
      ...callOf("unlucky", "modern", "interview_task"),
    });
    const id = (await started).headers.get("x-rhone-run-id");
    const events = eventsOf(await started);
    const question = await questionOf(id);
    await tell("unlucky", "finish");
    await tell("unlucky", "break");
    await resolve(question.id, { decision: "answer", content: { name: "Ada" } });
    expect(await ended(id)).toMatchObject({ status: "completed" });
    await events;
    expect((await logOf("unlucky")).filter(({ method }) => method === "tasks/update")).toHaveLength(2);
    expect(await listOf(id, "tool-executions")).toMatchObject([{ result: expect.stringContaining('"name":"Ada"') }]);
  });

  it("is ended at its server when its run is cancelled", async () => {
    const waiting = await run({ ...callOf("cancelled", "modern", "report_task"), limits: { tool_timeout_ms: 1 } });
    await json("POST", `/v1/runs/${waiting.id as string}:cancel`, {});
    await expect
      .poll(async () => (await logOf("cancelled")).some(({ method }) => method === "tasks/cancel"))
      .toBe(true);
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([{ status: "cancelled" }]);
  });
});
