import type { McpAnswer, McpOutcome } from "./messages.ts";
import { writeAnswers } from "./questions.ts";
import { readTask } from "./result.ts";
import type { McpSession } from "./session.ts";

/** The extension `io.modelcontextprotocol/tasks` of MCP 2026-07-28. Ids outlive the memory of the object, and are to be stored. */

type TaskOptions = { signal: AbortSignal };

/** The outcome of a task. Throws `McpError` if it has failed, was cancelled or is not known; otherwise as `McpSession.request`. */
export async function getTask(session: McpSession, id: string, { signal }: TaskOptions): Promise<McpOutcome> {
  const params = JSON.stringify({ taskId: id });
  return readTask(await session.request({ method: "tasks/get", params, name: id }, { signal }), { isNew: false });
}

/** Answers questions of a task. The server may need a while to see them: until then it asks the same ones. Throws as `McpSession.request`. */
export async function updateTask(
  session: McpSession,
  { id, answers }: { id: string; answers: Readonly<Record<string, McpAnswer>> },
  { signal }: TaskOptions,
): Promise<void> {
  const params = `{"taskId":${JSON.stringify(id)},"inputResponses":${writeAnswers(answers)}}`;
  await session.request({ method: "tasks/update", params, name: id }, { signal });
}

/** Asks the server to end a task, which it may do or not. Throws as `McpSession.request`. */
export async function cancelTask(session: McpSession, id: string, { signal }: TaskOptions): Promise<void> {
  await session.request({ method: "tasks/cancel", params: JSON.stringify({ taskId: id }), name: id }, { signal });
}
