import { invalid } from "../canonical/error.ts";
import type { McpTool } from "../mcp/messages.ts";
import { nameTools } from "../mcp/tool-names.ts";
import { DEFAULT_LIMITS, type RunDefinition, type RunParts } from "./state/definition.ts";
import { type Effect, matchesAny, matchesPattern } from "./state/policy.ts";
import type { McpServer } from "./state/server.ts";
import { type McpRunTool, namesOf, type RunTool, type ServerTools } from "./state/tool.ts";

/** Tools of one run, at most. */
const MAX_TOOLS = 128;

/** The tools of a server, as that lists them now. Throws `GatewayError` if it does not. */
export type ListTools = (server: McpServer, at: string) => Promise<readonly McpTool[]>;

/**
 * What a run goes on with: the tools of its servers as they are described now, each with a name and an effect of its own. Throws
 * `request.invalid`, naming the field, and what `listTools` throws.
 */
export async function resolveTools(
  { effects = {}, servers, limits, tools: given, ...parts }: RunParts,
  listTools: ListTools,
): Promise<RunDefinition> {
  const lists = await Promise.all(
    given.map(async (tool, i) =>
      tool.type === "mcp" ? await resolveServer(tool, servers, { listTools, at: `tools[${i}]` }) : [tool],
    ),
  );
  const named = nameServerTools(lists.flat());
  if (named.length > MAX_TOOLS) throw invalid("tools", `expected at most ${MAX_TOOLS} tools, got ${named.length}`);
  requireDistinct(named, lists);
  return {
    ...parts,
    tools: named.map((tool) => withEffect(tool, effects)),
    ...(Object.keys(servers).length > 0 && { servers }),
    limits: { ...DEFAULT_LIMITS, ...limits },
  };
}

/** The tools of one server that a run has. */
async function resolveServer(
  { type, server: name, only, policy, timeout_ms }: ServerTools,
  servers: Record<string, McpServer>,
  { listTools, at }: { listTools: ListTools; at: string },
): Promise<McpRunTool[]> {
  const server = Object.hasOwn(servers, name) ? servers[name] : undefined;
  if (server === undefined)
    throw invalid(`${at}.server`, `expected one of servers: ${Object.keys(servers).join(", ")}`);
  const listed = await listTools(server, at);
  const idle = only?.findIndex((pattern) => !listed.some((tool) => matchesPattern(pattern, tool.name))) ?? -1;
  if (idle >= 0) throw invalid(`${at}.only[${idle}]`, `the server ${name} has no such tool`);
  const chosen = listed.filter((tool) => only?.some((pattern) => matchesPattern(pattern, tool.name)) ?? true);
  return chosen.map(({ name: tool, description, inputSchema, annotations }) => ({
    type,
    server: name,
    name: tool,
    tool,
    ...(description !== undefined && { description }),
    parameters: inputSchema,
    effect: server.trust_annotations === true ? effectIn(annotations) : "unknown",
    ...(server.trust_annotations === true && { annotations }),
    ...(policy !== undefined && { policy }),
    ...(timeout_ms !== undefined && { timeout_ms }),
  }));
}

/** The effect that the annotations of a tool state. */
function effectIn({ readOnly, idempotent }: McpTool["annotations"]): Effect {
  if (readOnly) return "read_only";
  return idempotent ? "idempotent" : "non_idempotent";
}

/** Tools of servers get names with which a model can call them. */
function nameServerTools(tools: readonly RunTool[]): RunTool[] {
  const ofServers = tools.filter((tool) => tool.type === "mcp");
  const names = nameTools(ofServers);
  return tools.map((tool) => (tool.type === "mcp" ? { ...tool, name: names[ofServers.indexOf(tool)]! } : tool));
}

/** An effect that the run names replaces the tool's own: that of the first pattern which matches. */
function withEffect(tool: RunTool, effects: Record<string, Effect>): RunTool {
  const [, effect] = Object.entries(effects).find(([pattern]) => matchesAny(pattern, namesOf(tool))) ?? [];
  return effect === undefined || tool.type === "native" ? tool : { ...tool, effect };
}

/** Throws `request.invalid` at the member of `tools` that brings a name which another has. */
function requireDistinct(tools: readonly RunTool[], lists: readonly (readonly RunTool[])[]): void {
  const seen = new Set<string>();
  const double = tools.findIndex(({ name }) => seen.has(name) || !seen.add(name));
  if (double < 0) return;
  let end = 0;
  const at = lists.findIndex((list) => double < (end += list.length));
  throw invalid(`tools[${at}].name`, `expected a name that no other tool has, got ${tools[double]!.name} again`);
}
