import type { Loss } from "../canonical/types.ts";
import { toSafeId } from "./dialect.ts";

/** The id of the end user, at most `most` characters long. Loss: a longer one, which becomes its hash. */
export function fitUser(user: string, most: number, losses: Loss[]): string {
  if (user.length <= most) return user;
  losses.push({ at: "user", what: "approximated", why: `sent as its hash: the limit is ${most} characters` });
  return toSafeId(user, /^[0-9a-f]{32}$/);
}
