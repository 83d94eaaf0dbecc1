import { z } from "@hono/zod-openapi";
import { invalid } from "../../canonical/error.ts";
import { isAdmin } from "../../keys/authenticate.ts";
import { MAX_TTL_S, issueToken, TOKEN_SCOPES } from "../../keys/client-token.ts";
import { sessionObjectId, requireStub } from "../../platform/session-stubs.ts";
import { sessionNotFound } from "../../session/session.ts";
import type { Http } from "./command.ts";

export const tokenRequest = z
  .strictObject({
    ttl_s: z.int().min(1).max(MAX_TTL_S).default(900).meta({ description: "Seconds for which the token is valid." }),
    scopes: z
      .array(z.enum(TOKEN_SCOPES))
      .min(1, "expected at least one scope")
      .default(["inference", "sessions:read"])
      .meta({ description: "The token's scopes in the session; only scopes that the key has." }),
  })
  .openapi("ClientTokenRequest");

/**
 * Issues a token for a browser, valid for one session and a limited time. It becomes invalid with the key that issued
 * it. Throws `session.not_found` and, for a scope that the key lacks, `request.invalid`.
 */
export async function issueClientToken(
  c: Http,
  id: string,
  { ttl_s, scopes }: z.infer<typeof tokenRequest>,
): Promise<Response> {
  const { env } = c;
  const { caller } = c.var;
  const { org, keyId, policy } = caller;
  if (!(await requireStub(env.SESSIONS, sessionObjectId(env.SESSIONS, org, id)).has(org))) throw sessionNotFound();
  scopes.forEach((scope, i) => {
    if (!isAdmin(caller) && policy?.scopes.includes(scope) !== true)
      throw invalid(`scopes[${i}]`, "expected a scope that the key has itself");
  });
  const expiresAt = Date.now() + ttl_s * 1000;
  const token = issueToken(env.RHONE_ADMIN_KEY!, { org, session: id, scopes: [...new Set(scopes)], keyId, expiresAt });
  return c.json({
    object: "client_token" as const,
    token,
    session_id: id,
    scopes: [...new Set(scopes)],
    expires_at: new Date(expiresAt).toISOString(),
  });
}
