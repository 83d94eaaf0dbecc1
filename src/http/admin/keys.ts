import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { unwrap } from "../../canonical/rpc-error.ts";
import { ADMIN_KEY_ID } from "../../keys/authenticate.ts";
import type { Caller } from "../../keys/caller.ts";
import { type Actor, type KeyState, readStoredPolicy } from "../../keys/key.ts";
import {
  policyChangesSchema,
  requireSubset,
  inheritPolicy,
  newPolicySchema,
  policySchema,
  type Policy,
} from "../../keys/policy.ts";
import { digestOf, hintOf, newSecret } from "../../keys/secret.ts";
import { type KeyStub, keyStubForId, newKeyObject } from "../../platform/key-stubs.ts";
import { getIsolateRouter } from "../../platform/router.ts";
import { listKeys } from "../../store/audit.ts";
import { rhoneRequest } from "../../surfaces/rhone.ts";
import { validate } from "../../surfaces/validate.ts";
import { newId } from "../../wire/id.ts";
import { loadCallerProviders } from "../admission/providers.ts";
import { pageOf, pageOfIds, toPage } from "../openapi/pages.ts";
import { describedResponse, errorResponses, jsonBody, jsonResponse, optionalJsonBody } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { requireKnownModels } from "./allowed-models.ts";

/** Longest lifetime of a key. A deployment with `RHONE_KEY_TTL=optional` allows keys without an end. Seconds. */
const MAX_TTL_S = 10 * 366 * 86_400;
/** Longest chain of keys that created one another: every key in it is charged for each call. */
const MAX_DEPTH = 8;

const end = {
  expires_at: z.iso.datetime({ offset: true }).optional().openapi({ description: "RFC 3339, in the future." }),
  ttl_s: z.int().min(1).max(MAX_TTL_S).optional().openapi({ description: "Seconds from now, instead of expires_at." }),
};

const newKey = z.strictObject({ ...newPolicySchema.shape, ...end }).openapi("NewKey");
const changedKey = z.strictObject({ ...policyChangesSchema.shape, ...end }).openapi("ChangedKey");
const rotation = z
  .strictObject({
    grace_s: z
      .int()
      .min(0)
      .max(MAX_TTL_S)
      .default(0)
      .openapi({ description: "Seconds for which earlier secrets still work." }),
  })
  .openapi("KeyRotation");

const key = z
  .looseObject({
    id: z.string(),
    object: z.literal("key"),
    organization: z.string(),
    ...policySchema.partial().shape,
    status: z.enum(["active", "expired", "revoked"]),
    secret_hint: z.string().openapi({ description: "The last characters of the newest secret." }),
    grace_until: z.string().optional(),
    created_by: z.string(),
    created_at: z.string(),
    expires_at: z.string().nullable(),
    revoked_at: z.string().optional(),
  })
  .openapi("Key");
// Not `key.extend`: that would be described as `allOf`, which generators of clients cannot combine with unknown members.
const keyWithSecret = z
  .looseObject({ ...key.shape, secret: z.string().openapi({ description: "The secret. Returned only once." }) })
  .openapi("KeyWithSecret");

const params = z.object({ id: z.string() });

const routes = {
  create: createRoute({
    method: "post",
    path: "/v1/keys",
    operationId: "keys.create",
    summary: "Creates a key with at most the caller's permissions; the secret is returned once",
    request: { body: jsonBody(newKey) },
    responses: { 201: jsonResponse("The key", keyWithSecret), ...errorResponses(400) },
  }),
  list: createRoute({
    method: "get",
    path: "/v1/keys",
    operationId: "keys.list",
    summary: "Lists the organisation's keys, newest first",
    request: { query: pageOfIds("key") },
    responses: { 200: jsonResponse("A page of keys", pageOf(key, "KeyPage")), ...errorResponses(400) },
  }),
  get: createRoute({
    method: "get",
    path: "/v1/keys/{id}",
    operationId: "keys.get",
    summary: "Returns a key",
    request: { params },
    responses: { 200: jsonResponse("The key", key), ...errorResponses(404) },
  }),
  change: createRoute({
    method: "patch",
    path: "/v1/keys/{id}",
    operationId: "keys.update",
    summary: "Updates a key; null removes a restriction",
    request: { params, body: jsonBody(changedKey) },
    responses: { 200: jsonResponse("The key", key), ...errorResponses(400, 404) },
  }),
  usage: createRoute({
    method: "get",
    path: "/v1/keys/{id}/usage",
    operationId: "keys.usage.get",
    summary: "Returns the key's spending, by budget, period and day",
    request: { params },
    responses: { 200: describedResponse("The spending", "AccountUsage"), ...errorResponses(404) },
  }),
};

type Http = Context<AppEnv>;

/**
 * `/v1/keys`: creating, listing, changing, rotating and revoking keys. A key can be given no more than the caller's own
 * permissions (`auth.forbidden`), and is changed only by a key that could have created it.
 */
export function keyRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.create, async (c) => c.json(await create(c, c.req.valid("json")), 201));
  app.openapi(routes.list, async (c) => {
    const { limit, after } = c.req.valid("query");
    const found = await listKeys(c.env.DB, c.var.caller.org, { limit: limit + 1, after });
    const all = found.map((one) => toApiKey({ ...one, policy: readStoredPolicy(one.policy as Policy), payers: [] }));
    return c.json(toPage(all, limit), 200);
  });
  app.openapi(routes.get, async (c) => c.json(toApiKey(await found(c, c.req.valid("param").id)), 200));
  app.openapi(routes.change, async (c) =>
    c.json(toApiKey(await change(c, c.req.valid("param").id, c.req.valid("json"))), 200),
  );
  app.openapi(routes.usage, async (c) => {
    const { id } = c.req.valid("param");
    return c.json({ ...present(await stubOf(c, id).usage(c.var.caller.org)), key_id: id }, 200);
  });
  app.post("/v1/keys/:call", async (c) => {
    const [, id = "", verb] = /^([^:]+):([a-z]+)$/.exec(c.req.param("call")) ?? [];
    if (verb === "rotate") return c.json(await rotate(c, id), 200);
    if (verb === "revoke") return c.json(toApiKey(await revoke(c, id)), 200);
    throw new GatewayError("route.not_found", "there is no such route");
  });
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/v1/keys/{id}:rotate",
    operationId: "keys.rotate",
    summary: "Rotates the secret; earlier ones work until the grace period ends",
    request: { params, body: optionalJsonBody(rotation) },
    responses: { 200: jsonResponse("The key", keyWithSecret), ...errorResponses(400, 404) },
  });
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/v1/keys/{id}:revoke",
    operationId: "keys.revoke",
    summary: "Revokes a key everywhere within five seconds",
    request: { params },
    responses: { 200: jsonResponse("The key", key), ...errorResponses(404) },
  });
}

async function create(c: Http, request: z.infer<typeof newKey>): Promise<ApiKey & { secret: string }> {
  const { env } = c;
  const { caller } = c.var;
  const { ttl_s, expires_at, ...requested } = request;
  const now = Date.now();
  const expiresAt = endOf({ ttl_s, expires_at }, now);
  const input = defined({ ...requested, ...(expiresAt !== undefined && { expires_at: expiresAt }) }) as Policy;
  const policy = inheritPolicy(input, caller.policy);
  if (policy.expires_at === undefined && env.RHONE_KEY_TTL !== "optional")
    throw invalid("expires_at", "expected this member or ttl_s; keys that never expire need RHONE_KEY_TTL=optional");
  requireSubset(policy, caller.policy);
  expectRouting(policy.defaults);
  await requireKnownModels(policy.allowed_models, await loadCallerProviders(c), getIsolateRouter(env).config);
  const payers = caller.keyId === ADMIN_KEY_ID ? [] : [caller.keyId, ...(caller.payers ?? [])];
  if (payers.length > MAX_DEPTH)
    throw new GatewayError("auth.forbidden", `keys may be nested at most ${MAX_DEPTH} deep`);
  const { stub, objectId } = newKeyObject(env.KEYS);
  const secret = newSecret(objectId);
  const state = await stub.create({
    id: newId("key", now, objectId),
    org: caller.org,
    policy,
    payers,
    createdBy: caller.keyId,
    digest: digestOf(secret),
    hint: hintOf(secret),
  });
  return { ...toApiKey(state), secret };
}

async function change(c: Http, id: string, request: z.infer<typeof changedKey>): Promise<KeyState> {
  const { ttl_s, expires_at, ...changes } = request;
  const expiresAt = endOf({ ttl_s, expires_at }, Date.now());
  expectRouting(changes.defaults ?? {});
  await requireKnownModels(
    changes.allowed_models ?? undefined,
    await loadCallerProviders(c),
    getIsolateRouter(c.env).config,
  );
  const all = defined({ ...changes, ...(expiresAt !== undefined && { expires_at: expiresAt }) });
  return unwrap(present(await stubOf(c, id).change(c.var.caller.org, all, actorOf(c.var.caller))));
}

async function rotate(c: Http, id: string): Promise<ApiKey & { secret: string }> {
  const state = await found(c, id);
  const text = await c.req.text();
  const input =
    text.trim() === ""
      ? {}
      : ((): unknown => {
          try {
            return JSON.parse(text);
          } catch {
            throw invalid("body", "expected JSON");
          }
        })();
  const { grace_s } = validate(rotation, input);
  const secret = newSecret(objectIdOfKey(state.id));
  const rotated = await stubOf(c, id).rotate(
    c.var.caller.org,
    { digest: digestOf(secret), hint: hintOf(secret) },
    grace_s * 1000,
    actorOf(c.var.caller),
  );
  return { ...toApiKey(unwrap(present(rotated))), secret };
}

const revoke = async (c: Http, id: string): Promise<KeyState> =>
  unwrap(present(await stubOf(c, id).revoke(c.var.caller.org, actorOf(c.var.caller))));

const found = async (c: Http, id: string): Promise<KeyState> => present(await stubOf(c, id).describe(c.var.caller.org));

/** The stub of a key's object. Throws `object.not_found` if the id is malformed or of another deployment; whether the key exists is answered by the object. */
function stubOf(c: Http, id: string): KeyStub {
  return present(keyStubForId(c.env.KEYS, id));
}

/** The id of a key ends in the id of its object. */
const objectIdOfKey = (id: string): string => id.slice(-52);

const actorOf = ({ keyId, policy }: Caller): Actor => ({ keyId, ...(policy !== undefined && { policy }) });

/** When a key expires, in Unix milliseconds; `undefined` for a key without an end. */
function endOf(
  { ttl_s, expires_at }: { ttl_s?: number | undefined; expires_at?: string | undefined },
  now: number,
): number | undefined {
  if (ttl_s !== undefined && expires_at !== undefined) throw invalid("ttl_s", "expected this or expires_at, not both");
  if (ttl_s !== undefined) return now + ttl_s * 1000;
  if (expires_at === undefined) return undefined;
  const at = Date.parse(expires_at);
  if (at <= now) throw invalid("expires_at", "expected a time in the future");
  return at;
}

/** Validates the routing defaults of a key as a call's own routing is validated. */
function expectRouting({ routing }: Policy["defaults"]): void {
  if (routing !== undefined) validate(rhoneRequest.shape.routing, routing, ["defaults", "routing"]);
}

const defined = (members: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

function present<T>(found: T | undefined): T {
  if (found === undefined) throw new GatewayError("object.not_found", "there is no such key");
  return found;
}

type ApiKey = z.infer<typeof key>;

/** A key as the API returns it: snake_case, times in RFC 3339. */
function toApiKey(state: Omit<KeyState, "payers"> & { payers?: string[] }): ApiKey {
  const { id, org, policy, createdBy, createdAt, revokedAt, hint, graceUntil } = state;
  const { expires_at, ...rest } = policy;
  const hasEnded = expires_at !== undefined && expires_at <= Date.now();
  return {
    id,
    object: "key",
    organization: org,
    ...rest,
    status: revokedAt !== undefined ? "revoked" : hasEnded ? "expired" : "active",
    secret_hint: hint,
    created_by: createdBy,
    created_at: new Date(createdAt).toISOString(),
    expires_at: expires_at === undefined ? null : new Date(expires_at).toISOString(),
    ...(revokedAt !== undefined && { revoked_at: new Date(revokedAt).toISOString() }),
    ...(graceUntil !== undefined && { grace_until: new Date(graceUntil).toISOString() }),
  };
}
