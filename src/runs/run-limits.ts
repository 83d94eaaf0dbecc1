import type { RunDefinition } from "./state/definition.ts";
import type { Run, StopReason } from "./state/run.ts";
import type { RunTool } from "./state/tool.ts";

/** What the model is shown of a call that its run can no longer pay. */
export const TOO_DEAR = "The run's limit of cost is reached (max_cost): this call was not made.";

/** Whether a tool's price is more than what its run may still cost. */
export const costsTooMuch = (tool: RunTool, { costMicros }: Run, { limits }: RunDefinition): boolean =>
  tool.type === "http" && costMicros + (tool.price_micros_usd ?? 0) > (limits.max_cost_micros_usd ?? Infinity);

/** The limit that the step `n` reaches: the model has to answer in it. */
export function findLimit({ toolCalls }: Run, n: number, { limits, tools }: RunDefinition): StopReason | undefined {
  if (tools.length === 0) return undefined;
  if (n >= limits.max_turns) return "max_turns";
  return toolCalls >= limits.max_tool_calls ? "max_tool_calls" : undefined;
}

/** Why none of a reply's calls is made; undefined: they are. */
export function refusalOf(isCutOff: boolean, limit: StopReason | undefined): string | undefined {
  if (isCutOff) return "The reply was cut off: none of its calls was made.";
  return limit === undefined ? undefined : `The run's limit is reached (${limit}): this call was not made.`;
}
