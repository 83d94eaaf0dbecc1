import { McpError } from "../mcp/mcp-error.ts";
import type { McpOutcome } from "../mcp/messages.ts";
import { LostTask } from "./servers/mcp-servers.ts";
import type { RunServices } from "./services.ts";
import type { RunDefinition } from "./state/definition.ts";
import { type Execution, isWaiting, type Run } from "./state/run.ts";

/** Pauses between two polls of a task while its run waits. Milliseconds. */
const MIN_PAUSE_MS = 5_000;
const MAX_PAUSE_MS = 60_000;

/** How long one poll may take. Milliseconds. */
const POLL_MS = 20_000;

/**
 * Polls the tasks of a waiting run that are due. Resolves to whether one of them has ended or asks people, so that the run has to go on;
 * those that still work are polled again later, without a change of the run.
 */
export async function pollTasks(run: Run, definition: RunDefinition, services: RunServices): Promise<boolean> {
  const { store, lifetime } = services;
  const now = lifetime.now();
  const due = store.listExecutions(run.id, run.step).filter((one) => isDue(one, now));
  const polls = due.map(async (execution) => ({ execution, pauseMs: await pollTask(execution, definition, services) }));
  const polled = await Promise.all(polls);
  if (!isWaiting(run)) return false;
  for (const { execution, pauseMs = 0 } of polled) {
    const current = store.find("execution", execution.id)!;
    if (current.revision === execution.revision) store.put("execution", { ...current, dueAt: now + pauseMs });
  }
  return polled.some(({ pauseMs }) => pauseMs === undefined);
}

/** Whether nothing but tasks is due. */
export function hasDueTasks(run: Run, { store, lifetime }: Pick<RunServices, "store" | "lifetime">): boolean {
  const now = lifetime.now();
  const executions = store.listExecutions(run.id, run.step);
  return executions.some((one) => isDue(one, now)) && executions.every(({ status }) => status !== "ready");
}

const isDue = ({ status, dueAt = 0 }: Execution, now: number): boolean => status === "polling" && dueAt <= now;

/** How long until a task is to be polled again; undefined: it has ended, asks people, or has taken too long. */
async function pollTask(
  { name, handle = {} }: Execution,
  { tools, servers = {} }: RunDefinition,
  { servers: connections, lifetime, state }: RunServices,
): Promise<number | undefined> {
  const tool = tools.find((one) => one.name === name);
  const server = tool?.type === "mcp" ? servers[tool.server] : undefined;
  const isLate = (handle.endsAt ?? Infinity) <= lifetime.now();
  if (server === undefined || handle.task === undefined || isLate || handle.answers !== undefined) return undefined;
  const at = { server, org: state.session.row.org, signal: AbortSignal.timeout(POLL_MS) };
  try {
    const outcome = await connections.getTask(handle.task, undefined, at);
    return isWorking(outcome) ? Math.min(Math.max(outcome.pollMs, MIN_PAUSE_MS), MAX_PAUSE_MS) : undefined;
  } catch (thrown) {
    return isAboutTask(thrown) ? undefined : MAX_PAUSE_MS;
  }
}

/** Whether an error is the outcome of the task. That its server cannot be reached, or fails, is temporary. */
const isAboutTask = (thrown: unknown): boolean =>
  thrown instanceof LostTask || (thrown instanceof McpError && (thrown.status ?? 200) < 500);

const isWorking = (outcome: McpOutcome): outcome is Extract<McpOutcome, { kind: "task" }> =>
  outcome.kind === "task" && outcome.questions.length === 0;
