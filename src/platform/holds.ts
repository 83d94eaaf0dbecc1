import { GatewayError } from "../canonical/error.ts";
import { WHOLE_ORGANIZATION } from "../store/retention/erasures.ts";
import { findSessionRetention, listSessionRetention } from "../store/retention/session-retention.ts";
import { organizationStub } from "./key-stubs.ts";

/** Whether a legal hold of the organisation, or of the session, forbids that it is deleted. */
export async function isHeld(env: Cloudflare.Env, org: string, sessionId: string): Promise<boolean> {
  if ((await organizationStub(env, org).describe())?.policy.legal_hold === true) return true;
  if (sessionId !== WHOLE_ORGANIZATION) return (await findSessionRetention(env.DB, org, sessionId))?.legalHold === true;
  return (await listSessionRetention(env.DB, org)).some(({ legalHold }) => legalHold);
}

/** Throws a conflict where `isHeld`. */
export async function requireNoHold(env: Cloudflare.Env, org: string, sessionId: string): Promise<void> {
  if (!(await isHeld(env, org, sessionId))) return;
  throw new GatewayError("request.invalid", "there is a legal hold: nothing is deleted", { status: 409 });
}
