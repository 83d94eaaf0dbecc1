import { isObject, type Json, type JsonObject, numberOf, stringOf, withoutUndefined } from "../wire/json.ts";
import { McpError } from "./mcp-error.ts";
import type { McpTool } from "./messages.ts";
import { findParamHeaders } from "./param-headers.ts";
import type { McpSession } from "./session.ts";

/** A list longer than this is none that a model could use. */
const MAX_TOOLS = 1_000;
const MAX_PAGES = 100;
/** All definitions of a server as JSON. Characters. */
const MAX_LENGTH = 4 * 1024 * 1024;
/** How long a list is used that does not say so itself, and at most. Milliseconds. */
const DEFAULT_TTL_MS = 60_000;
const MAX_TTL_MS = 86_400_000;

/**
 * The tools of a server, in its order. `ttlMs`: how long the list may be used. Tools whose `x-mcp-header` breaks the rules are left out
 * (MCP 2026-07-28, "Tools"). Throws `McpError`, also on two tools of one name, and as `McpSession.request`.
 */
export async function listTools(
  session: McpSession,
  { signal }: { signal: AbortSignal },
): Promise<{ tools: McpTool[]; ttlMs: number }> {
  const tools = new Map<string, McpTool>();
  const cursors = new Set<string>();
  let ttlMs = MAX_TTL_MS;
  let length = 0;
  for (let params: JsonObject = {}; ;) {
    const page = await session.request({ method: "tools/list", params: JSON.stringify(params) }, { signal });
    for (const tool of readPage(page)) {
      if (tools.has(tool.name)) throw new McpError(`the server has two tools of the name ${tool.name}`);
      tools.set(tool.name, tool);
      length += JSON.stringify(tool).length;
      if (length > MAX_LENGTH) throw new McpError(`the server's tools have more than ${MAX_LENGTH} characters`);
    }
    ttlMs = Math.min(ttlMs, Math.max(0, numberOf(page["ttlMs"]) ?? DEFAULT_TTL_MS));
    const cursor = page["nextCursor"];
    // Some servers end with null.
    if (cursor === undefined || cursor === null) break;
    if (typeof cursor !== "string" || cursors.has(cursor))
      throw new McpError("the server's list of tools does not end");
    if (tools.size > MAX_TOOLS || cursors.size + 1 === MAX_PAGES) throw tooMany();
    cursors.add(cursor);
    params = { cursor };
  }
  if (tools.size > MAX_TOOLS) throw tooMany();
  const usable = [...tools.values()].filter(({ inputSchema }) => findParamHeaders(inputSchema) !== undefined);
  return { tools: usable, ttlMs };
}

const tooMany = (): McpError => new McpError(`the server has more than ${MAX_TOOLS} tools`);

function readPage({ tools }: JsonObject): McpTool[] {
  if (!Array.isArray(tools)) throw new McpError("the server sent a list of tools that is no array");
  return tools.map(readTool);
}

function readTool(tool: Json): McpTool {
  if (!isObject(tool)) throw new McpError("the server sent a tool that is no object");
  const { name, title, description, inputSchema, annotations } = tool;
  if (typeof name !== "string" || name === "") throw new McpError("the server sent a tool without a name");
  if (!isObject(inputSchema)) throw new McpError(`the server sent a tool without an inputSchema: ${name}`);
  const hints = isObject(annotations) ? annotations : {};
  return withoutUndefined<McpTool>({
    name,
    title: stringOf(title) ?? stringOf(hints["title"]),
    description: stringOf(description),
    inputSchema,
    annotations: { readOnly: hints["readOnlyHint"] === true, idempotent: hints["idempotentHint"] === true },
  });
}
