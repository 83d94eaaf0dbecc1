import { invalid } from "../../canonical/error.ts";
import type { NamedServer } from "../../dialects/server-tools.ts";
import type { RunDefinition } from "../state/definition.ts";
import { matchesAny, matchesPattern, type ToolRule } from "../state/policy.ts";
import { type McpRunTool, namesOf } from "../state/tool.ts";

/**
 * A run with what its request says of servers that it names by their labels: which of their tools there are, and which calls need an
 * approval. That can only be stricter than the run is. `approvable`: the labels of the servers about whose calls the client may decide.
 * Throws `request.invalid` for a tool that the server has not, and for approvals that the client may not give.
 */
export function restrictTools(
  definition: RunDefinition,
  named: readonly NamedServer[],
  approvable: readonly string[],
): RunDefinition {
  let restricted = definition;
  for (const server of named)
    if (server.url === undefined) restricted = restrictServer(restricted, server, approvable.includes(server.label));
  return restricted;
}

function restrictServer(
  { tools, policy, ...definition }: RunDefinition,
  server: NamedServer,
  isApprovable: boolean,
): RunDefinition {
  const { label, at, only, isDefault = false } = server;
  const listed = tools.filter((tool): tool is McpRunTool => tool.type === "mcp" && tool.server === label);
  const idle = only?.find((pattern) => !listed.some(({ tool }) => matchesPattern(pattern, tool)));
  if (idle !== undefined) throw invalid(at, `expected tools of the server ${label}, got ${idle}`);
  const left = listed.filter(({ tool }) => !isChosen(tool, server));
  const toApprove = listed.filter((one) => !isDefault && !left.includes(one) && verdictOn(one.tool, server) === "ask");
  if (toApprove.length > 0 && !isApprovable)
    throw invalid(
      at,
      "expected no require_approval: its harness decides about calls, and the key has no scope runs:approve",
    );
  return {
    ...definition,
    tools: tools.filter((tool) => !left.some(({ name }) => name === tool.name)),
    policy: [...toApprove.flatMap((tool) => withApprovals(tool, policy)), ...policy],
  };
}

const isChosen = (tool: string, { only, approvals }: NamedServer): boolean =>
  (only?.some((pattern) => matchesPattern(pattern, tool)) ?? true) && verdictOn(tool, { approvals }) !== "deny";

const verdictOn = (tool: string, { approvals }: Pick<NamedServer, "approvals">): string | undefined =>
  approvals.find((one) => matchesPattern(one.tool, tool))?.do;

/** The rules for one tool with a question in the place of each permission. */
function withApprovals(tool: McpRunTool, policy: readonly ToolRule[]): ToolRule[] {
  const { name, policy: given = [] } = tool;
  const named = policy.filter((rule) => matchesAny(rule.tool, namesOf(tool)));
  const own = typeof given === "string" ? [{ do: given }] : given;
  return [...named, ...own, { do: "ask" as const }].map((rule) => ({
    ...rule,
    tool: name,
    do: rule.do === "allow" ? "ask" : rule.do,
  }));
}
