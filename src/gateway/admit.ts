import { GatewayError } from "../canonical/error.ts";
import { equalSecrets } from "../wire/hash.ts";
import type { Caller } from "./call.ts";

/** No real key is near this long; a longer one is not worth hashing. */
const MAX_KEY_LENGTH = 512;

/** Who calls with this credential. Throws `auth.missing` or `auth.invalid`. */
export function admit(given: string | undefined, adminKey: string | undefined): Caller {
  if (given === undefined || given === "") {
    throw new GatewayError("auth.missing", "a key is required: send Authorization: Bearer rhone_sk_…");
  }
  if (adminKey === undefined || adminKey === "") {
    throw new GatewayError(
      "auth.invalid",
      "this deployment has no RHONE_ADMIN_KEY yet: set it with wrangler secret put RHONE_ADMIN_KEY",
    );
  }
  if (given.length > MAX_KEY_LENGTH || !equalSecrets(given, adminKey))
    throw new GatewayError("auth.invalid", "the key is not valid");
  return { org: "org_default", keyId: "key_admin" };
}
