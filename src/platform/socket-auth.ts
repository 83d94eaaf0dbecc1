import type { SocketAttachment } from "../gateway/sockets/session-sockets.ts";
import { type AuthContext, authenticateClaims, authenticateKeyId } from "../keys/authenticate.ts";
import type { Caller } from "../keys/caller.ts";
import { objectIdIn } from "../wire/id.ts";
import { keyCache, keyStubAt } from "./key-stubs.ts";

/** Header with the authenticated caller, from the Worker to the session's object. The Worker never forwards a client's own. */
const HEADER = "x-rhone-bond";

/** The upgrade request that the Worker sends to the session's object on behalf of an authenticated client. */
export const toUpgradeRequest = (attachment: SocketAttachment): Request =>
  new Request("https://session/v1/ws", {
    headers: { upgrade: "websocket", [HEADER]: encodeURIComponent(JSON.stringify(attachment)) },
  });

/** The inverse of `toUpgradeRequest`. */
export const readAttachment = (request: Request): SocketAttachment =>
  JSON.parse(decodeURIComponent(request.headers.get(HEADER) ?? "")) as SocketAttachment;

/** Authenticates the holder of an open connection again, for example after hibernation. Throws `auth.*`. */
export async function authenticateSocket(
  attachment: SocketAttachment,
  env: Cloudflare.Env,
  waitUntil: AuthContext["waitUntil"],
): Promise<Caller> {
  const { keyId, org, scopes, sessionId: session, expiresAt = Infinity, address } = attachment;
  const fetchKey: AuthContext["fetchKey"] = (objectId, digest) => keyStubAt(env.KEYS, objectId)?.admit(digest);
  const authContext: AuthContext = {
    keyCache,
    adminKey: env.RHONE_ADMIN_KEY,
    fetchKey,
    address,
    waitUntil,
  };
  if (scopes !== undefined) return await authenticateClaims({ keyId, org, session, scopes, expiresAt }, authContext);
  return { ...(await authenticateKeyId(keyId, objectIdIn("key", keyId), authContext)), org };
}
