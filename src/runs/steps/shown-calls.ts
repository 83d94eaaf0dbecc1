import type { Opaque } from "../../canonical/types.ts";
import type { ServerTools } from "../../dialects/server-tools.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { deriveItemId, withPrefix } from "../../wire/id.ts";
import type { RunDefinition } from "../state/definition.ts";
import type { Execution, Run } from "../state/run.ts";
import type { McpRunTool, RunTool } from "../state/tool.ts";
import { toShown } from "../tools/shown-result.ts";

/** The run that answers a call. What is shown of it has tags: where it is read, a key gets its own values in their place. */
type Shown = { run: Pick<Run, "clientCall">; definition: RunDefinition };
type ShownCall = Pick<Execution, "call" | "name" | "args" | "step">;

const wireOf = ({ client }: RunDefinition): ServerTools | undefined => SURFACES[client!.surface].dialect.serverTools;

/** What tells a call from the others of its run: some hosts give the calls of each step the same ids. */
const nameOf = ({ call, step }: Pick<Execution, "call" | "step">): string => (step > 1 ? `${step}/${call}` : call);

/** The id of a part of the answer. `name`: tells it from others of its kind. */
const idOf = ({ clientCall }: Pick<Run, "clientCall">, prefix: string, name: string): string =>
  deriveItemId(prefix, withPrefix(clientCall!, "resp"), name);

/** The tools of the servers that the client has named, at the start of an answer. */
export function showLists({ run, definition }: Shown): Opaque[] {
  const { lists } = wireOf(definition) ?? {};
  if (lists === undefined) return [];
  return (definition.client!.listed ?? []).flatMap((server) => {
    const tools = definition.tools.filter((tool) => tool.type === "mcp" && tool.server === server) as McpRunTool[];
    const listed = tools.map(({ tool: name, description, parameters, effect }) => ({
      name,
      ...(description !== undefined && { description }),
      parameters,
      isReadOnly: effect === "read_only",
    }));
    return lists.show({ id: idOf(run, lists.prefix, server), server, tools: listed });
  });
}

/** The calls of servers' tools that were made. */
export function showCalls(executions: readonly Execution[], { run, definition }: Shown): Opaque[] {
  const { calls } = wireOf(definition) ?? {};
  if (calls === undefined || definition.client!.showsCalls !== true) return [];
  return executions.flatMap((execution) => {
    const { name, args, result = "", full, isError = false, approval } = execution;
    const tool = findServerTool(name, definition);
    if (tool === undefined) return [];
    const text = full === undefined ? toShown(result) : result;
    const id = idOf(run, calls.prefix, nameOf(execution));
    const made = { id, server: tool.server, tool: tool.tool, arguments: args, text, isError };
    return calls.show({ ...made, ...(approval !== undefined && { approval }) });
  });
}

/** The calls that wait for the approval of the client. */
export function showApprovals(executions: readonly ShownCall[], { run, definition }: Shown): Opaque[] {
  const { approvals } = wireOf(definition) ?? {};
  if (approvals === undefined) return [];
  return executions.flatMap((execution) => {
    const tool = findServerTool(execution.name, definition);
    if (tool === undefined) return [];
    const id = idOf(run, approvals.prefix, nameOf(execution));
    return approvals.show({ id, server: tool.server, tool: tool.tool, arguments: execution.args });
  });
}

/** The id of the request for the approval of a call of a step. Undefined where a wire has none. */
export function approvalIdOf(
  run: Run,
  called: Pick<Execution, "call" | "step">,
  definition: RunDefinition,
): string | undefined {
  const { approvals } = wireOf(definition) ?? {};
  return approvals && idOf(run, approvals.prefix, nameOf(called));
}

/** Whether the client of a call can approve calls of a tool: it may, and its wire has approvals. */
export const canApprove = (definition: RunDefinition, tool: RunTool): boolean =>
  tool.type === "mcp" &&
  definition.client?.approves?.includes(tool.server) === true &&
  wireOf(definition)?.approvals !== undefined;

/** Whether an execution waits for the approval of the client whose call its run answers. */
export function needsClient({ name, status }: Execution, definition: RunDefinition): boolean {
  const tool = findServerTool(name, definition);
  return status === "awaiting_approval" && tool !== undefined && canApprove(definition, tool);
}

const findServerTool = (name: string, { tools }: RunDefinition): McpRunTool | undefined =>
  tools.find((tool): tool is McpRunTool => tool.type === "mcp" && tool.name === name);
