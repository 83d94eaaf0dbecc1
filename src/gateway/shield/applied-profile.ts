import { GatewayError } from "../../canonical/error.ts";
import type { Kind } from "../../shield/detect/find.ts";
import type { CompiledProfile, Disposition } from "../../shield/profile.ts";
import type { Verdict } from "../../shield/screening.ts";

/** A version of a profile that applies to a call. */
export type AppliedProfile = { id: string; version: number; compiled: CompiledProfile };

/** `checkpoint`: outside a run there is no one to decide. */
export const isDenied = (disposition: Disposition): boolean => disposition === "block" || disposition === "checkpoint";

/** The error for what a profile denies. It names the kinds, never a value. */
export function deniedError(
  { id, compiled }: AppliedProfile,
  what: string,
  { values = {}, unscanned = {}, judgement }: Partial<Pick<Verdict, "values" | "unscanned" | "judgement">>,
): GatewayError {
  const kinds = (Object.keys(values) as Kind[]).filter((kind) => isDenied(compiled.dispositionOf(kind)));
  const unread = Object.keys(unscanned).filter((one) => one !== "sealed");
  if (kinds.length === 0 && (judgement === "deny" || judgement === "failed")) return judgedError(id, what, judgement);
  const found = kinds.length > 0 ? kinds.join(", ") : `what cannot be read (${unread.join(", ")})`;
  return new GatewayError("safety.policy_denied", `the safety profile ${id} denies what ${what} contains: ${found}`);
}

const judgedError = (id: string, what: string, judgement: "deny" | "failed"): GatewayError =>
  new GatewayError(
    "safety.policy_denied",
    judgement === "deny"
      ? `the judge of the safety profile ${id} denies ${what}`
      : `the judge of the safety profile ${id} could not decide about ${what}`,
  );
