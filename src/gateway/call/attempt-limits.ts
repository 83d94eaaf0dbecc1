import { loadCatalogue } from "../../providers/catalogue.ts";
import type { Target } from "../../routing/locate.ts";
import type { CallHost } from "./call.ts";
import type { CallLimits } from "./upstream-call.ts";

/** Time limits of one attempt, in milliseconds. `patience`: until the first content. `whole`: until the end. */
type AttemptLimits = { headers: number; patience: number; whole: number };

/**
 * How long an attempt may take. A whole answer has one limit, as its headers come with its end. A stream need not end, but
 * one of text (`isEarly`) has to start early while another target is left; a model that reasons is known to be late.
 */
export async function limitAttempt(
  target: Target,
  { isStream, isEarly = isStream, isLast }: { isStream: boolean; isEarly?: boolean; isLast: boolean },
  limits: CallLimits,
  providers: CallHost["providers"],
): Promise<AttemptLimits> {
  const isHurried = isEarly && !isLast && !(await reasons(target, providers));
  const patience = isHurried ? limits.fallback : Number.POSITIVE_INFINITY;
  const headers = isEarly ? Math.min(limits.headers, patience) : limits.whole;
  return { headers, patience, whole: isStream ? Number.POSITIVE_INFINITY : limits.whole };
}

/** Whether the model is known to think before its first content. */
async function reasons(target: Target, providers: CallHost["providers"]): Promise<boolean> {
  const model = (await loadCatalogue(providers)).at(target);
  return model?.capabilities?.includes("reasoning") === true;
}
