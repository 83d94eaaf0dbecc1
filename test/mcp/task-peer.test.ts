import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { callTool } from "../../src/mcp/call-tool.ts";
import { cancelTask, getTask, updateTask } from "../../src/mcp/tasks.ts";
import { call, never } from "../support/mcp/fake-server.ts";
import { openPeerSession, type Peer, serve } from "../support/mcp/peer.ts";
import { createTaskServer } from "../support/mcp/task-server.ts";

describe("a server that works on tasks", () => {
  let peer: Peer;
  beforeAll(async () => void (peer = await serve(createTaskServer())));
  afterAll(() => peer.close());

  it("is asked after one until it is done, by sessions that know its id alone", async () => {
    const open = () => openPeerSession(peer.url);
    const task = await callTool(open(), { ...call, name: "greet" }, never());
    expect(task).toMatchObject({
      kind: "task",
      pollMs: 1_000,
      message: "looking for a name",
      endsAt: Date.UTC(2026, 7, 1, 1),
    });
    const { id } = task as { id: string };
    expect(await getTask(open(), id, never())).toMatchObject({ kind: "task", questions: [] });
    expect(await getTask(open(), id, never())).toMatchObject({
      kind: "task",
      questions: [{ key: "name", message: "Your name?" }],
    });
    await updateTask(open(), { id, answers: { name: { action: "accept", content: { name: "Ada" } } } }, never());
    expect(await getTask(open(), id, never())).toEqual({
      kind: "result",
      text: "Hello, Ada!",
      media: [],
      isError: false,
    });
  });

  it("cancels one", async () => {
    const session = openPeerSession(peer.url);
    const { id } = (await callTool(session, { ...call, name: "greet" }, never())) as { id: string };
    await cancelTask(session, id, never());
    await expect(getTask(session, id, never())).rejects.toThrow("the task has been cancelled");
  });

  it("does not know others", async () => {
    await expect(getTask(openPeerSession(peer.url), "t-99", never())).rejects.toMatchObject({ code: -32602 });
  });
});
