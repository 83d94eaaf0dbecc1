import { describe, expect, it } from "vitest";
import type { McpOutcome } from "../../src/mcp/messages.ts";
import { cancelTask, getTask, updateTask } from "../../src/mcp/tasks.ts";
import {
  callFor,
  modern,
  never,
  openSession,
  QUESTION,
  toError,
  toJson,
  toResult,
} from "../support/mcp/fake-server.ts";

describe("a task", () => {
  const TASK = {
    taskId: "t-1",
    status: "working",
    createdAt: "2026-01-01T00:00:00Z",
    ttlMs: 60_000,
    pollIntervalMs: 2_000,
  };
  const getFor = (task: unknown): Promise<McpOutcome> =>
    getTask(openSession(modern(({ id }) => toJson(toResult(id, task)))).session, "t-1", never());

  it("is what a call may become", async () => {
    expect(await callFor({ resultType: "task", ...TASK, statusMessage: "queued" })).toEqual({
      kind: "task",
      id: "t-1",
      pollMs: 2_000,
      endsAt: Date.UTC(2026, 0, 1, 0, 1),
      questions: [],
      message: "queued",
    });
    for (const [pollIntervalMs, pollMs] of [
      [undefined, 5_000],
      [-1, 100],
      [1e300, 3_600_000],
      ["1", 5_000],
    ])
      expect(await callFor({ resultType: "task", taskId: "t", status: "working", pollIntervalMs })).toEqual({
        kind: "task",
        id: "t",
        pollMs,
        questions: [],
      });
    expect(await callFor({ resultType: "task", ...TASK, ttlMs: null })).not.toHaveProperty("endsAt");
    expect(await callFor({ resultType: "task", ...TASK, createdAt: "yesterday" })).not.toHaveProperty("endsAt");
  });

  it("may be over before it is asked after", async () => {
    const result = { content: [{ type: "text", text: "done" }] };
    expect(await callFor({ resultType: "task", ...TASK, status: "completed", result })).toMatchObject({
      kind: "result",
      text: "done",
    });
    expect(await callFor({ resultType: "task", ...TASK, status: "completed" })).toMatchObject({
      kind: "task",
      pollMs: 100,
    });
    expect(await callFor({ resultType: "task", ...TASK, status: "input_required" })).toMatchObject({
      kind: "task",
      questions: [],
    });
  });

  it("is its status", async () => {
    expect(await getFor(TASK)).toMatchObject({ kind: "task", id: "t-1", questions: [] });
    expect(await getFor({ ...TASK, status: "input_required", inputRequests: { a: QUESTION } })).toMatchObject({
      kind: "task",
      questions: [{ key: "a", message: "Deploy?" }],
    });
    const result = { content: [{ type: "text", text: "done" }], isError: true };
    expect(await getFor({ ...TASK, status: "completed", result })).toEqual({
      kind: "result",
      text: "done",
      media: [],
      isError: true,
    });
    await expect(
      getFor({ ...TASK, status: "failed", error: { code: -32603, message: "out of quota" } }),
    ).rejects.toMatchObject({
      code: -32603,
      message: "the task has failed: out of quota",
    });
    await expect(getFor({ ...TASK, status: "cancelled", statusMessage: "by an operator" })).rejects.toThrow(
      "the task has been cancelled: by an operator",
    );
    await expect(getFor({ ...TASK, status: "completed" })).rejects.toThrow("has no result");
    await expect(getFor({ ...TASK, status: "input_required" })).rejects.toThrow("does not say which");
    const sampling = { a: { method: "sampling/createMessage", params: {} } };
    await expect(getFor({ ...TASK, status: "input_required", inputRequests: sampling })).rejects.toThrow(
      "does not support",
    );
  });

  it("is asked after, answered and cancelled by its id", async () => {
    const { session, received } = openSession(
      modern(({ id }) => toJson(toResult(id, { resultType: "complete", ...TASK, taskId: "tâche" }))),
    );
    await getTask(session, "tâche", never());
    await updateTask(session, { id: "tâche", answers: { a: { action: "accept", content: { yes: true } } } }, never());
    await cancelTask(session, "tâche", never());
    expect(received.slice(1).map(({ method, params: { _meta, ...params } }) => [method, params])).toEqual([
      ["tasks/get", { taskId: "tâche" }],
      ["tasks/update", { taskId: "tâche", inputResponses: { a: { action: "accept", content: { yes: true } } } }],
      ["tasks/cancel", { taskId: "tâche" }],
    ]);
    for (const { headers } of received.slice(1)) expect(headers.get("mcp-name")).toBe("=?base64?dMOiY2hl?=");
  });

  it("that the server does not know is an error", async () => {
    const { session } = openSession(modern(({ id }) => toJson(toError(id, -32602, "Task not found"))));
    await expect(getTask(session, "t", never())).rejects.toMatchObject({ code: -32602 });
    await expect(updateTask(session, { id: "t", answers: {} }, never())).rejects.toMatchObject({ code: -32602 });
    await expect(cancelTask(session, "t", never())).rejects.toMatchObject({ code: -32602 });
  });
});
