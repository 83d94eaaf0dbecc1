import type { JsonObject } from "../../../src/wire/json.ts";

type Task = { taskId: string; polls: number; name: string | undefined; isCancelled: boolean };

const TASKS = "io.modelcontextprotocol/tasks";

/**
 * A modern server whose one tool is worked on as a task of the extension `io.modelcontextprotocol/tasks`: it asks for a name, and greets
 * at the third look. A handler for `serve`.
 */
export function createTaskServer(): (request: Request) => Promise<Response> {
  const tasks = new Map<string, Task>();
  const results: Record<string, (params: JsonObject) => JsonObject> = {
    "server/discover": () => ({
      supportedVersions: ["2026-07-28"],
      capabilities: { tools: {}, extensions: { [TASKS]: {} } },
      ttlMs: 0,
      cacheScope: "private",
    }),
    "tools/list": () => ({
      tools: [{ name: "greet", inputSchema: { type: "object" } }],
      ttlMs: 0,
      cacheScope: "private",
    }),
    "tools/call": () => {
      const task: Task = { taskId: `t-${tasks.size + 1}`, polls: 0, name: undefined, isCancelled: false };
      tasks.set(task.taskId, task);
      return { ...describeTask(task), resultType: "task" };
    },
    "tasks/get": ({ taskId }) => {
      const task = find(taskId);
      task.polls++;
      return describeTask(task);
    },
    "tasks/update": ({ taskId, inputResponses }) => {
      const { name } = inputResponses as { name: { content?: { name: string } } };
      find(taskId).name = name.content?.name ?? "stranger";
      return {};
    },
    "tasks/cancel": ({ taskId }) => {
      find(taskId).isCancelled = true;
      return {};
    },
  };
  const find = (id: unknown): Task => {
    const task = tasks.get(String(id));
    if (task === undefined) throw new Error("Failed to retrieve task: Task not found");
    return task;
  };

  return async (request) => {
    const { id, method, params } = (await request.json()) as { id: number; method: string; params: JsonObject };
    const reply = (status: number, outcome: object): Response =>
      Response.json({ jsonrpc: "2.0", id, ...outcome }, { status });
    const capabilities = (params["_meta"] as JsonObject | undefined)?.["io.modelcontextprotocol/clientCapabilities"];
    const { extensions } = (capabilities ?? {}) as { extensions?: JsonObject };
    const act = results[method];
    if (act === undefined) return reply(404, { error: { code: -32601, message: "Method not found" } });
    if (method.startsWith("tasks/") && extensions?.[TASKS] === undefined)
      return reply(400, { error: { code: -32021, message: "Missing required client capability" } });
    if (method.startsWith("tasks/") && request.headers.get("mcp-name") !== params["taskId"])
      return reply(400, { error: { code: -32020, message: "Header mismatch" } });
    try {
      return reply(200, { result: { resultType: "complete", ...act(params) } });
    } catch (thrown) {
      return reply(200, { error: { code: -32602, message: (thrown as Error).message } });
    }
  };
}

function describeTask({ taskId, polls, name, isCancelled }: Task): JsonObject {
  const base = {
    taskId,
    createdAt: "2026-08-01T00:00:00Z",
    lastUpdatedAt: "2026-08-01T00:00:00Z",
    ttlMs: 3_600_000,
    pollIntervalMs: 1_000,
  };
  if (isCancelled) return { ...base, status: "cancelled" };
  if (polls < 2) return { ...base, status: "working", statusMessage: "looking for a name" };
  if (name !== undefined)
    return { ...base, status: "completed", result: { content: [{ type: "text", text: `Hello, ${name}!` }] } };
  const schema = { type: "object", properties: { name: { type: "string" } } };
  const ask = {
    method: "elicitation/create",
    params: { mode: "form", message: "Your name?", requestedSchema: schema },
  };
  return { ...base, status: "input_required", inputRequests: { name: ask } };
}
