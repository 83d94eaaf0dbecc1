import { fitToolName, mapCalls, qualifiedNameOf, toolKey } from "../canonical/tool-names.ts";
import type { FunctionTool, Message, Tool } from "../canonical/types.ts";
import { toCalledTool } from "./fit-tools.ts";
import { DIALECTS } from "./index.ts";

/**
 * Gives the calls of a history the names that their tools have in the request: a stored call has the name and form that
 * its provider knew. Calls of other tools are unchanged.
 */
export function recognizeCalls(messages: readonly Message[], tools: readonly Tool[] = []): Message[] {
  const functions = tools.filter((tool) => tool.kind === "function");
  if (functions.length === 0) return [...messages];
  const byKey = new Map(functions.map((tool) => [toolKey(tool.name, tool.namespace?.name), tool]));
  const byName = indexByTargetNames(functions);
  return messages.map((message) =>
    mapCalls(message, (call) => {
      const other = call.namespace === undefined ? byName.get(call.name) : undefined;
      const tool = byKey.get(toolKey(call.name, call.namespace)) ?? other;
      if (tool === undefined) return call;
      const called = toCalledTool(tool);
      const isSame =
        call.name === called.name &&
        call.namespace === called.namespace &&
        (called.custom === undefined || call.custom === true);
      return isSame ? call : { ...call, ...called };
    }),
  );
}

/** Tools by the names that they have at any target. */
function indexByTargetNames(tools: readonly FunctionTool[]): Map<string, FunctionTool> {
  const byName = new Map<string, FunctionTool>();
  for (const { tools: rules } of Object.values(DIALECTS))
    for (const tool of tools) byName.set(fitToolName(qualifiedNameOf(tool), rules), tool);
  return byName;
}
