import type { Loss, ModelRequest, Reasoning, Sampling } from "../canonical/types.ts";
import { withoutUndefined } from "../wire/json.ts";
import type { ModelTraits } from "./dialect.ts";

/**
 * The request without what its target's model is known to refuse (`traits`). Losses: an output limit above the model's
 * own, reasoning, and parameters of sampling with other than their default values.
 */
export function fitToModel(
  { maxOutput, reasoning, sampling, ...request }: ModelRequest,
  traits: ModelTraits = {},
): { request: ModelRequest; losses: Loss[] } {
  const losses: Loss[] = [];
  const fitted = withoutUndefined<ModelRequest>({
    ...request,
    maxOutput: fitOutput(maxOutput, traits, losses),
    reasoning: fitReasoning(reasoning, traits, losses),
    sampling: fitSampling(sampling, traits, losses),
  });
  return { request: fitted, losses };
}

function fitOutput(requested: number | undefined, traits: ModelTraits, losses: Loss[]): number | undefined {
  const { maxOutput: most } = traits;
  if (requested === undefined || most === undefined || requested <= most) return requested;
  losses.push({ at: "max_output_tokens", what: "approximated", why: `this model's maximum is ${most}` });
  return most;
}

/** To switch off the reasoning of a model that has none is no loss. */
function fitReasoning(
  reasoning: Reasoning | undefined,
  { reasons }: ModelTraits,
  losses: Loss[],
): Reasoning | undefined {
  if (reasoning === undefined || reasons !== false) return reasoning;
  const { effort = "none", budget = 0, summary } = reasoning;
  if (effort !== "none" || budget > 0 || summary !== undefined)
    losses.push({ at: "reasoning", what: "dropped", why: "this model does not support reasoning" });
  return undefined;
}

/** The parameters of sampling, by canonical name: name for the loss, and the value that changes nothing. */
const SAMPLING = {
  temperature: ["temperature", 1],
  topP: ["top_p", 1],
  topK: ["top_k", undefined],
  frequencyPenalty: ["frequency_penalty", 0],
  presencePenalty: ["presence_penalty", 0],
  logprobs: ["logprobs", undefined],
} as const;

/** Models that refuse these refuse their default values, too. */
function fitSampling(
  sampling: Sampling | undefined,
  { fixedSampling }: ModelTraits,
  losses: Loss[],
): Sampling | undefined {
  if (sampling === undefined || fixedSampling !== true) return sampling;
  for (const [member, [at, unset]] of Object.entries(SAMPLING)) {
    const value = sampling[member as keyof typeof SAMPLING];
    if (value !== undefined && value !== unset) losses.push({ at, what: "dropped", why: FIXED });
  }
  const rest = Object.fromEntries(Object.entries(sampling).filter(([member]) => !(member in SAMPLING)));
  return Object.keys(rest).length > 0 ? rest : undefined;
}

const FIXED = "the value is fixed for this model";
