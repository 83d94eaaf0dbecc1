import type { Tool } from "../../canonical/types.ts";

/** Whether a name in a tool choice is that of a custom tool: a choice has the type of its tool. */
export const isCustom = (name: string, tools: readonly Tool[]): boolean =>
  tools.some((tool) => tool.kind === "function" && tool.name === name && tool.custom !== undefined);
