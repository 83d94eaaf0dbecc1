import { authenticateKeyId, type AuthContext, authenticateClaims } from "../keys/authenticate.ts";
import type { SocketAttachment } from "../gateway/sockets/session-sockets.ts";
import { objectIdIn } from "../wire/id.ts";
import { keyCache, keyStubAt } from "./key-stubs.ts";
import type { Caller } from "../keys/caller.ts";

/** The Worker has admitted who connects, and tells the session's object whom it holds. No client can say it itself. */
const HEADER = "x-rhone-bond";

export const toUpgradeRequest = (attachment: SocketAttachment): Request =>
  new Request("https://session/v1/ws", {
    headers: { upgrade: "websocket", [HEADER]: encodeURIComponent(JSON.stringify(attachment)) },
  });

/** The inverse. */
export const readAttachment = (request: Request): SocketAttachment =>
  JSON.parse(decodeURIComponent(request.headers.get(HEADER) ?? "")) as SocketAttachment;

/** What those who hold a connection may do now. Throws `auth.*`. */
export async function authenticateSocket(
  attachment: SocketAttachment,
  env: Cloudflare.Env,
  later: AuthContext["later"],
): Promise<Caller> {
  const { keyId, org, scopes, sessionId: session, expiresAt = Infinity, address } = attachment;
  const authenticateAt: AuthContext["ask"] = (objectId, digest) => keyStubAt(env.KEYS, objectId)?.admit(digest);
  const authContext: AuthContext = {
    admissions: keyCache,
    adminKey: env.RHONE_ADMIN_KEY,
    ask: authenticateAt,
    address,
    later,
  };
  if (scopes !== undefined) return await authenticateClaims({ keyId, org, session, scopes, expiresAt }, authContext);
  return { ...(await authenticateKeyId(keyId, objectIdIn("key", keyId), authContext)), org };
}
