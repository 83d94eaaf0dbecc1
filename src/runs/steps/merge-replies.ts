import { fold, unfold } from "../../canonical/accumulator.ts";
import { StepMerger } from "../../canonical/step-merger.ts";
import type { ModelResponse, Opaque, StreamEvent, ToolCall } from "../../canonical/types.ts";
import type { AnsweredRequest, RunDefinition } from "../state/definition.ts";

export type MergeOptions = ConstructorParameters<typeof StepMerger>[0];

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

/** The answer of a step, or what is shown of the calls of a batch. */
export type MergedPart = { reply: ModelResponse } | { shown: readonly Opaque[] };

/** The answers of the steps of a run, and what is shown between them, as the one answer that the client gets. */
export function mergeParts(parts: readonly MergedPart[], merging: MergeOptions): ModelResponse {
  const merger = new StepMerger(merging);
  const events = parts.flatMap((part) =>
    "shown" in part
      ? part.shown.flatMap((block) => merger.insert(block))
      : unfold(part.reply).flatMap((event) => merger.push(event)),
  );
  return fold([...events, endOf(merger)]);
}

/** The end of a merged answer, without its envelope: on Responses that repeats the request, with the tools that the gateway adds. */
export function endOf(merger: StepMerger): StreamEvent {
  const end = merger.end();
  if (end.type !== "end") return end;
  const { rest: _, ...shown } = end;
  return shown;
}
