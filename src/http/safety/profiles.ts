import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import type { StoredProfile } from "../../keys/organization.ts";
import { organizationStub } from "../../platform/key-stubs.ts";
import { clearSafetyCache } from "../../platform/safety.ts";
import { profileIdSchema } from "../../shield/policy.ts";
import {
  compileProfile,
  DEFAULT_PROFILE,
  DEFAULT_PROFILE_ID,
  type Profile,
  profileSchema,
} from "../../shield/profile.ts";
import { listOf } from "../openapi/pages.ts";
import { errorResponses, jsonBody, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

const given = profileSchema.openapi("NewSafetyProfile");

const profile = z
  .object({
    id: z.string(),
    object: z.literal("safety.profile"),
    version: z.int().openapi({ description: "0: the gateway's own" }),
    ...profileSchema.shape,
    created_at: z.string().nullable(),
  })
  .openapi("SafetyProfile");

const named = z
  .object({ id: z.string(), object: z.literal("safety.profile"), version: z.int() })
  .openapi("SafetyProfileName");

const params = z.object({ id: profileIdSchema });
const ok = jsonResponse("The profile", profile);

const routes = {
  list: createRoute({
    method: "get",
    path: "/v1/safety/profiles",
    operationId: "safety.profiles.list",
    summary: "Lists the safety profiles, each with its newest version",
    responses: { 200: jsonResponse("The profiles", listOf(named, "SafetyProfileList")), ...errorResponses() },
  }),
  get: createRoute({
    method: "get",
    path: "/v1/safety/profiles/{id}",
    operationId: "safety.profiles.get",
    summary: "Returns a version of a safety profile, the newest by default",
    request: { params, query: z.object({ version: z.coerce.number().int().min(0).optional() }) },
    responses: { 200: ok, ...errorResponses(400, 404) },
  }),
  set: createRoute({
    method: "put",
    path: "/v1/safety/profiles/{id}",
    operationId: "safety.profiles.set",
    summary: "Stores a new version of a safety profile; those before it stay",
    request: { params, body: jsonBody(given) },
    responses: { 200: ok, ...errorResponses(400) },
  }),
};

/** `/v1/safety/profiles`: what may not pass, by name and version. A version never changes. */
export function safetyProfileRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.list, async (c) => {
    const { versions } = await stubOf(c).safety();
    const all = { [DEFAULT_PROFILE_ID]: 0, ...versions };
    const data = Object.entries(all).map(([id, version]) => ({ id, object: "safety.profile" as const, version }));
    return c.json({ object: "list" as const, data }, 200);
  });
  app.openapi(routes.get, async (c) => {
    const { id } = c.req.valid("param");
    const { version } = c.req.valid("query");
    const stored = version === 0 ? undefined : await stubOf(c).safetyProfile(id, version);
    if (stored !== undefined) return c.json(toApiProfile(stored), 200);
    if (id === DEFAULT_PROFILE_ID && (version ?? 0) === 0) return c.json(OWN, 200);
    throw new GatewayError("object.not_found", "there is no such safety profile");
  });
  app.openapi(routes.set, async (c) => {
    const { id } = c.req.valid("param");
    const body = c.req.valid("json");
    await requireCompilable(body);
    const { org, keyId } = c.var.caller;
    const stored = await stubOf(c).addSafetyProfile(org, id, JSON.stringify(body), keyId);
    if (stored === undefined)
      throw invalid("id", "expected one of the profiles that the organisation has: it may not have more");
    clearSafetyCache(org);
    return c.json(toApiProfile(stored), 200);
  });
}

const stubOf = (c: Context<AppEnv>): ReturnType<typeof organizationStub> => organizationStub(c.env, c.var.caller.org);

/** Throws `request.invalid` for a pattern that RE2 does not know. */
async function requireCompilable(body: Profile): Promise<void> {
  try {
    await compileProfile(body);
  } catch (cause) {
    if (cause instanceof SyntaxError) throw invalid("patterns", `expected RE2's syntax: ${cause.message}`);
    throw cause;
  }
}

const OWN = {
  id: DEFAULT_PROFILE_ID,
  object: "safety.profile" as const,
  version: 0,
  ...DEFAULT_PROFILE,
  created_at: null,
};

const toApiProfile = ({ id, version, body, createdAt }: StoredProfile): z.infer<typeof profile> => ({
  id,
  object: "safety.profile",
  version,
  ...profileSchema.parse(JSON.parse(body)),
  created_at: new Date(createdAt).toISOString(),
});
