import type { Context } from "hono";
import { admitById, type Gate } from "../keys/authenticate.ts";
import { admitClaims } from "../gateway/bearer.ts";
import type { Caller } from "../gateway/call/call.ts";
import type { Bond } from "../gateway/sockets/session-sockets.ts";
import { objectIdIn } from "../wire/id.ts";
import { admissions, keyAt } from "./key-stubs.ts";
import type { AppEnv } from "../http/admission/context.ts";

/** The Worker has admitted who connects, and tells the session's object whom it holds. No client can say it itself. */
const HEADER = "x-rhone-bond";

export const withBond = (bond: Bond): Request =>
  new Request("https://session/v1/ws", {
    headers: { upgrade: "websocket", [HEADER]: encodeURIComponent(JSON.stringify(bond)) },
  });

/** The inverse. */
export const bondIn = (request: Request): Bond =>
  JSON.parse(decodeURIComponent(request.headers.get(HEADER) ?? "")) as Bond;

export function bondOf(
  { req }: Context<AppEnv>,
  caller: Caller,
  { sessionId, isNew }: { sessionId: string; isNew: boolean },
): Bond {
  const address = req.header("cf-connecting-ip");
  const { org, keyId, session, policy, expiresAt } = caller;
  return {
    org,
    keyId,
    sessionId,
    isNew,
    isBound: false,
    ...(session !== undefined && policy !== undefined && { scopes: policy.scopes }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(address !== undefined && { address }),
  };
}

/** What those who hold a connection may do now. Throws `auth.*`. */
export async function admitBond(bond: Bond, env: Cloudflare.Env, later: Gate["later"]): Promise<Caller> {
  const { keyId, org, scopes, sessionId: session, expiresAt = Infinity, address } = bond;
  const ask: Gate["ask"] = (place, digest) => keyAt(env.KEYS, place)?.admit(digest);
  const gate: Gate = { admissions, adminKey: env.RHONE_ADMIN_KEY, ask, address, later };
  if (scopes !== undefined) return await admitClaims({ keyId, org, session, scopes, expiresAt }, gate);
  return { ...(await admitById(keyId, objectIdIn("key", keyId), gate)), org };
}
