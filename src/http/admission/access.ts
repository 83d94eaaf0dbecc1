import type { Context } from "hono";
import { matchedRoutes } from "hono/route";
import { GatewayError } from "../../canonical/error.ts";
import { DEFAULT_ORG, type AuthContext, isAdmin } from "../../keys/authenticate.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireScope } from "../../keys/permissions.ts";
import type { Scope } from "../../keys/scopes.ts";
import { keyCache, keyStubAt, organizationStub } from "../../platform/key-stubs.ts";
import type { AppEnv } from "../request/env.ts";

/** A request on its canonical path, and its deployment: what admitting it depends on. */
export type Arrival = {
  request: Request;
  path: string;
  env: Cloudflare.Env;
  ctx: Pick<ExecutionContext, "waitUntil">;
};

/** What authentication needs to know of a request and its deployment. */
export function toAuthContext({ env, request, ctx }: Arrival): AuthContext {
  return {
    keyCache,
    adminKey: env.RHONE_ADMIN_KEY,
    fetchKey: (objectId, digest) => keyStubAt(env.KEYS, objectId)?.admit(digest),
    address: request.headers.get("cf-connecting-ip") ?? undefined,
    waitUntil: (work) => ctx.waitUntil(work),
  };
}

/**
 * Applies `x-rhone-organization`. The bootstrap key may act in any organisation; every other key belongs to one, which
 * the header may only repeat. Throws `object.not_found` for an unknown organisation.
 */
export async function selectOrganization({ request, env }: Arrival, caller: Caller): Promise<Caller> {
  const org = request.headers.get("x-rhone-organization");
  if (org === null || org === caller.org) return caller;
  const exists = isAdmin(caller) && (await organizationStub(env, org).describe()) !== undefined;
  if (!exists && org !== DEFAULT_ORG) throw new GatewayError("object.not_found", "there is no such organisation");
  if (!isAdmin(caller)) throw new GatewayError("object.not_found", "there is no such organisation");
  return { ...caller, org };
}

/**
 * A scope that the key must have; `admin`: the bootstrap key only; `authenticated`: every key and client token; `public`:
 * no key needed.
 */
export type Access = Scope | "admin" | "authenticated" | "public";

/**
 * The access of each route, by method and pattern as the router has them. A route that is missing here is open to the
 * bootstrap key only, and `test/http/admission/access.worker.test.ts` fails.
 */
export const ACCESS: Readonly<Record<string, Access>> = {
  "GET /healthz": "public",
  "GET /openapi.json": "public",
  "GET /v1/me": "authenticated",

  "POST /v1/chat/completions": "inference",
  "GET /v1/chat/completions": "sessions:read",
  "GET /v1/chat/completions/:id": "sessions:read",
  "POST /v1/chat/completions/:id": "sessions:write",
  "DELETE /v1/chat/completions/:id": "sessions:write",
  "GET /v1/chat/completions/:id/messages": "sessions:read",
  "POST /v1/responses": "inference",
  // OpenAI's WebSocket mode.
  "GET /v1/responses": "inference",
  // A key that may create background responses may poll and cancel them.
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

  "POST /mcp": "runs:write",
  "POST /mcp/:harness": "runs:write",
  "POST /v1/runs": "runs:write",
  "POST /v1/runs:stream": "runs:write",
  "POST /v1/runs/:call{.+:[a-z]+}": "runs:write",
  "GET /v1/runs/:run{.+:stream}": "runs:read",
  "GET /v1/runs": "runs:read",
  "GET /v1/runs/:id": "runs:read",
  "GET /v1/runs/:id/steps": "runs:read",
  "GET /v1/runs/:id/events": "runs:read",
  "GET /v1/runs/:id/checkpoints": "runs:read",
  "GET /v1/runs/:id/tool-executions": "runs:read",
  "GET /v1/runs/:id/tool-executions/:execution": "runs:read",
  "GET /v1/runs/:id/effective-request": "runs:read",
  "GET /v1/checkpoints": "runs:read",
  "GET /v1/checkpoints/:id": "runs:read",
  "POST /v1/checkpoints/:call{.+:resolve}": "runs:approve",

  "POST /v1/harnesses": "harnesses:write",
  "GET /v1/harnesses": "harnesses:read",
  "GET /v1/harnesses/:id": "harnesses:read",
  "PUT /v1/harnesses/:id": "harnesses:write",
  "DELETE /v1/harnesses/:id": "harnesses:write",
  "GET /v1/harnesses/:id/versions": "harnesses:read",

  "GET /v1/safety/profiles": "safety:read",
  "GET /v1/safety/profiles/:id": "safety:read",
  "PUT /v1/safety/profiles/:id": "safety:write",
  "GET /v1/safety/decisions/:id": "safety:read",
  "GET /v1/calls/:id/safety-decisions": "safety:read",
  "GET /v1/runs/:id/safety-decisions": "safety:read",

  "POST /v1/keys": "keys:write",
  "GET /v1/keys": "keys:read",
  "GET /v1/keys/:id": "keys:read",
  "PATCH /v1/keys/:id": "keys:write",
  "POST /v1/keys/:call": "keys:write",
  "GET /v1/keys/:id/usage": "keys:read",
  // These concern the whole deployment.
  "GET /v1/routing/health": "admin",
  "GET /v1/records/slices": "admin",
  "POST /v1/organizations": "admin",
  "GET /v1/organizations": "admin",
  "GET /v1/organizations/:id": "organization:read",
  "PATCH /v1/organizations/:id": "organization:write",
  "GET /v1/organizations/:id/usage": "organization:read",
  "GET /v1/organizations/:id/sessions/:session/retention": "organization:read",
  "PUT /v1/organizations/:id/sessions/:session/retention": "organization:write",
  "POST /v1/organizations/:id/erasures": "organization:write",
  "GET /v1/organizations/:id/erasures/:erasure": "organization:read",
  "GET /v1/secrets": "organization:read",
  "PUT /v1/secrets/:name": "secrets:write",
  "DELETE /v1/secrets/:name": "secrets:write",
  "GET /v1/webhooks": "organization:read",
  "POST /v1/webhooks": "organization:write",
  "PATCH /v1/webhooks/:id": "organization:write",
  "POST /v1/webhooks/:call{.+:rotate}": "organization:write",
  "DELETE /v1/webhooks/:id": "organization:write",
  "GET /v1/credentials": "organization:read",
  "GET /v1/credentials/:provider": "organization:read",
  "PUT /v1/credentials/:provider": "credentials:write",
  "DELETE /v1/credentials/:provider": "credentials:write",
};

/** The access of the matched route; `undefined` if no route matches. Middleware is registered for `ALL` methods. */
export function accessOf(c: Context<AppEnv>): Access | undefined {
  const route = matchedRoutes(c).find(({ method }) => method !== "ALL");
  if (route === undefined) return undefined;
  return ACCESS[`${route.method} ${route.path}`] ?? "admin";
}

/** Throws `auth.forbidden` if the caller lacks the access. */
export function requireAccess({ path }: Arrival, caller: Caller, access: Access | undefined): void {
  // An unknown route is 404 for every key.
  if (access === undefined || access === "public" || access === "authenticated" || isAdmin(caller)) return;
  if (access === "admin") throw new GatewayError("auth.forbidden", "requires the bootstrap key (RHONE_ADMIN_KEY)");
  requireScope(caller, access);
  if (CALLS_MODEL.test(path)) requireScope(caller, "inference");
}

/** Operations on a session that call a model, so they need the `inference` scope as well. */
const CALLS_MODEL = /^\/v1\/sessions\/.+:(compact|replay)$/;
