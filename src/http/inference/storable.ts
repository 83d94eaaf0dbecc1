import { invalid } from "../../canonical/error.ts";
import type { ResponsesState } from "../../gateway/call/responses-state.ts";
import { type RhoneRequest, storesContent } from "../../surfaces/rhone.ts";
import type { CallContext } from "../request/env.ts";

/**
 * Throws `request.invalid` where the call's content has to be stored although `rhone.store` forbids it. `needsSession`: the
 * call belongs to a session, which needs its record.
 */
export function requireStorable(
  rhone: RhoneRequest,
  { needsSession, response, ctx }: { needsSession: boolean; response?: ResponsesState | undefined; ctx: CallContext },
): void {
  if (storesContent(rhone)) return;
  if (ctx.storesAnswer) throw invalid("rhone.store", "expected full: an idempotency key stores the answer");
  if (response?.background) throw invalid("rhone.store", "expected full: a background response is read from the store");
  if (rhone.store === "none" && needsSession)
    throw invalid("rhone.store", "expected full or metadata in a session; none needs context_mode stateless");
}
