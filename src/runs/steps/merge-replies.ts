import type { MergeOptions } from "../../canonical/step-merger.ts";
import type { ToolCall } from "../../canonical/types.ts";
import type { AnsweredRequest, RunDefinition } from "../state/definition.ts";

/**
 * Whether a call is the run's own, which its client does not see: that of a tool of the run, or of one that there is none of where the
 * client has no tools.
 */
export const isOwnCall =
  ({ tools }: Pick<RunDefinition, "tools">, { hasTools }: Pick<AnsweredRequest, "hasTools">) =>
  ({ name, namespace }: ToolCall): boolean =>
    !hasTools || (namespace === undefined && tools.some((tool) => tool.name === name));

/** Texts of different steps are paragraphs; on Responses each is an item of its own. */
export const gapOf = ({ surface }: Pick<AnsweredRequest, "surface">): string => (surface === "responses" ? "" : "\n\n");

/** How the answers of a run's steps are merged. */
export const mergingOf = (definition: RunDefinition): MergeOptions => ({
  isHidden: isOwnCall(definition, definition.client!),
  gap: gapOf(definition.client!),
});
