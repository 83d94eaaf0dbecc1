import type { Context } from "hono";
import { matchedRoutes } from "hono/route";
import { GatewayError } from "../../canonical/error.ts";
import { DEFAULT_ORG, type AuthContext, isAdmin } from "../../keys/authenticate.ts";
import type { Scope } from "../../keys/scopes.ts";
import { keyCache, keyStubAt, organizationStub } from "../../platform/key-stubs.ts";
import type { AppEnv } from "../request/env.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireScope } from "../../keys/permissions.ts";

/** What admission needs of a request and its deployment. */
export function authContext({
  env,
  req,
  executionCtx,
}: Pick<Context<AppEnv>, "env" | "req" | "executionCtx">): AuthContext {
  return {
    admissions: keyCache,
    adminKey: env.RHONE_ADMIN_KEY,
    ask: (objectId, digest) => keyStubAt(env.KEYS, objectId)?.admit(digest),
    address: req.header("cf-connecting-ip"),
    later: (work) => executionCtx.waitUntil(work),
  };
}

/**
 * The bootstrap key acts in the organisation that `x-rhone-organization` names; any other key has one, and the header
 * may only say the same. Throws `object.not_found` for an organisation that is not there.
 */
export async function inOrganization(c: Context<AppEnv>, caller: Caller): Promise<Caller> {
  const org = c.req.header("x-rhone-organization");
  if (org === undefined || org === caller.org) return caller;
  const isThere = isAdmin(caller) && (await organizationStub(c.env, org).describe()) !== undefined;
  if (!isThere && org !== DEFAULT_ORG) throw new GatewayError("object.not_found", "there is no such organisation");
  if (!isAdmin(caller)) throw new GatewayError("object.not_found", "there is no such organisation");
  return { ...caller, org };
}

/** `admin`: the bootstrap key's alone. `public`: everyone's, without a key. */
export type Access = Scope | "admin" | "public";

/**
 * Who may come in where: method and pattern, as the router has them. A route that is not named here answers nobody but
 * the bootstrap key, and `test/worker/access.test.ts` fails on it.
 */
export const ACCESS: Readonly<Record<string, Access>> = {
  "GET /healthz": "public",
  "GET /openapi.json": "public",

  "POST /v1/chat/completions": "inference",
  "POST /v1/responses": "inference",
  // OpenAI's WebSocket.
  "GET /v1/responses": "inference",
  // Whoever has a response made in the background polls it, and may stop it.
  "GET /v1/responses/:id": "inference",
  "GET /v1/responses/:id/input_items": "inference",
  "POST /v1/responses/:id/cancel": "inference",
  "POST /v1/responses/input_tokens": "inference",
  "POST /v1/responses/compact": "inference",
  "POST /v1/calls": "inference",
  "POST /v1/messages": "inference",
  "POST /v1/messages/count_tokens": "inference",
  "POST /v1beta/models/:call{.+}": "inference",
  "POST /v1/models/:call{.+}": "inference",
  "POST /v1/publishers/:publisher/models/:call{.+}": "inference",
  "POST /v1/projects/:project/locations/:location/publishers/:publisher/models/:call{.+}": "inference",
  "POST /v1/completions": "inference",
  "POST /v1/embeddings": "inference",
  "POST /v1/images/generations": "inference",
  "POST /v1/images/edits": "inference",
  "POST /v1/images/variations": "inference",
  "POST /v1/audio/speech": "inference",
  "POST /v1/audio/transcriptions": "inference",
  "POST /v1/audio/translations": "inference",
  "POST /v1/moderations": "inference",
  "GET /v1/models": "inference",
  "GET /v1beta/models": "inference",
  "GET /v1/models/:id{.+}": "inference",
  "GET /v1beta/models/:id{.+}": "inference",

  "POST /v1/sessions": "sessions:write",
  "GET /v1/sessions": "sessions:read",
  "GET /v1/sessions/:id": "sessions:read",
  "PATCH /v1/sessions/:id": "sessions:write",
  "DELETE /v1/sessions/:id": "sessions:write",
  "POST /v1/sessions/:call{.+:[a-z-]+}": "sessions:write",
  "GET /v1/sessions/:id/blocks": "sessions:read",
  "GET /v1/sessions/:id/timeline": "sessions:read",
  "GET /v1/sessions/:id/lineage": "sessions:read",
  "GET /v1/sessions/:id/snapshots": "sessions:read",
  "GET /v1/sessions/:id/calls": "sessions:read",
  "GET /v1/sessions/:id/runs": "sessions:read",
  "POST /v1/conversations": "sessions:write",
  "GET /v1/conversations": "sessions:read",
  "GET /v1/conversations/:id": "sessions:read",
  "POST /v1/conversations/:id": "sessions:write",
  "DELETE /v1/conversations/:id": "sessions:write",
  "POST /v1/conversations/:id/items": "sessions:write",
  "GET /v1/conversations/:id/items": "sessions:read",
  "GET /v1/conversations/:id/items/:item": "sessions:read",
  "DELETE /v1/conversations/:id/items/:item": "sessions:write",
  "DELETE /v1/responses/:id": "sessions:write",
  "GET /v1/calls/:call{.+:stream}": "sessions:read",
  "POST /v1/calls/:call{.+:cancel}": "sessions:write",
  "GET /v1/calls/:id": "sessions:read",
  "GET /v1/ws": "sessions:read",
  "GET /v1/runs/:id": "sessions:read",

  "POST /v1/keys": "keys:write",
  "GET /v1/keys": "keys:read",
  "GET /v1/keys/:id": "keys:read",
  "PATCH /v1/keys/:id": "keys:write",
  "POST /v1/keys/:call": "keys:write",
  "GET /v1/keys/:id/usage": "keys:read",
  // Of the whole deployment.
  "GET /v1/routing/health": "admin",
  "POST /v1/organizations": "admin",
  "GET /v1/organizations": "admin",
  "GET /v1/organizations/:id": "organization:read",
  "PATCH /v1/organizations/:id": "organization:write",
  "GET /v1/organizations/:id/usage": "organization:read",
  "GET /v1/credentials": "organization:read",
  "GET /v1/credentials/:provider": "organization:read",
  "PUT /v1/credentials/:provider": "credentials:write",
  "DELETE /v1/credentials/:provider": "credentials:write",
};

/** The access of the route that is to answer; undefined when none is. Middleware answers every method, a route one. */
export function accessOf(c: Context<AppEnv>): Access | undefined {
  const route = matchedRoutes(c).find(({ method }) => method !== "ALL");
  if (route === undefined) return undefined;
  return ACCESS[`${route.method} ${route.path}`] ?? "admin";
}

/** Throws `auth.forbidden`. */
export function requireAccess(c: Context<AppEnv>, caller: Caller, access: Access | undefined): void {
  // What is not there is told as that, to everyone who has a key.
  if (access === undefined || access === "public" || isAdmin(caller)) return;
  if (access === "admin") throw new GatewayError("auth.forbidden", "only the bootstrap key may do that");
  requireScope(caller, access);
  if (ASKS_MODELS.test(c.req.path)) requireScope(caller, "inference");
}

/** What is done with a session here is done by a model. */
const ASKS_MODELS = /^\/v1\/sessions\/.+:(compact|replay)$/;
