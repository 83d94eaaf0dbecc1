import { fold, unfold } from "../../canonical/accumulator.ts";
import { StepMerger } from "../../canonical/step-merger.ts";
import type { ModelResponse, StreamEvent, ToolCall } from "../../canonical/types.ts";
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

/** The answers of the steps of a run as the one that the client gets. */
export function mergeReplies(replies: readonly ModelResponse[], merging: MergeOptions): ModelResponse {
  const merger = new StepMerger(merging);
  const events = replies.flatMap((reply) => unfold(reply).flatMap((event) => merger.push(event)));
  return fold([...events, endOf(merger)]);
}

/** The end of a merged answer, without its envelope: on Responses that repeats the request, with the tools that the gateway adds. */
export function endOf(merger: StepMerger): StreamEvent {
  const end = merger.end();
  if (end.type !== "end") return end;
  const { rest: _, ...shown } = end;
  return shown;
}
