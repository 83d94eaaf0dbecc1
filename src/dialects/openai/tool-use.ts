import type { ModelRequest, Tool, ToolChoice } from "../../canonical/types.ts";
import type { Json, JsonObject } from "../../wire/json.ts";

/** How one of OpenAI's wires has tools. `tools`: the member of that name, and others that stand for it; none without a tool. */
type ToolEncoders = {
  tools: (tools: readonly Tool[]) => JsonObject;
  choice: (choice: ToolChoice, tools: readonly Tool[]) => Json;
};

/** `tools`, and the members that only accompany tools: the API refuses them alone. */
export function encodeToolUse({ tools, toolChoice, parallelTools }: ModelRequest, encode: ToolEncoders): JsonObject {
  const encoded = tools === undefined ? {} : encode.tools(tools);
  if (tools === undefined || encoded.tools === undefined) return {};
  return {
    ...encoded,
    ...(toolChoice !== undefined && { tool_choice: encode.choice(toolChoice, tools) }),
    ...(parallelTools !== undefined && { parallel_tool_calls: parallelTools }),
  };
}
