import type { Block } from "../../../canonical/types.ts";
import { isObject, type JsonObject, stringifyMember } from "../../../wire/json.ts";

/** An item about a server of the Model Context Protocol as `response.output_item.added` announces it: without what is to come. */
export function toOpenServerItem(item: JsonObject): JsonObject {
  if (item.type === "mcp_list_tools") return { ...item, tools: [] };
  if (item.type !== "mcp_call") return item;
  return { ...item, status: "in_progress", arguments: "", error: null, output: null };
}

/** The events between the two of a whole item, each with its own members (OpenAI API reference, Responses: streaming, `mcp_*`). */
export function listServerEvents({ native }: Block): [type: string, members: JsonObject][] {
  const item = isObject(native?.item) ? native.item : {};
  if (item.type === "mcp_list_tools")
    return [
      ["response.mcp_list_tools.in_progress", {}],
      ["response.mcp_list_tools.completed", {}],
    ];
  if (item.type !== "mcp_call") return [];
  const args = stringifyMember(item.arguments);
  return [
    ["response.mcp_call.in_progress", {}],
    ["response.mcp_call_arguments.delta", { delta: args }],
    ["response.mcp_call_arguments.done", { arguments: args }],
    [item.status === "failed" ? "response.mcp_call.failed" : "response.mcp_call.completed", {}],
  ];
}
