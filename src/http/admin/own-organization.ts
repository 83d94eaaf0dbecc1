import type { Context } from "hono";
import { GatewayError } from "../../canonical/error.ts";
import { isAdmin } from "../../keys/authenticate.ts";
import type { AppEnv } from "../request/env.ts";

/** Also of another organisation's: whether it exists is not disclosed. */
export const organizationNotFound = (): GatewayError =>
  new GatewayError("object.not_found", "there is no such organisation");

/** The id, if it is the caller's own organisation. Throws `object.not_found` for every other. */
export function ownOrganization(c: Context<AppEnv>, id: string): string {
  const { caller } = c.var;
  if (id !== caller.org && !isAdmin(caller)) throw organizationNotFound();
  return id;
}
