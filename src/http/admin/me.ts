import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { isAdmin, UNBOUNDED_POLICY } from "../../keys/authenticate.ts";
import type { AccountUsage } from "../../keys/budget/usage.ts";
import type { Caller } from "../../keys/caller.ts";
import { SCOPES } from "../../keys/scopes.ts";
import { keyStubForId, organizationStub } from "../../platform/key-stubs.ts";
import { describedResponse, errorResponses } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

/** The optional parts of the gateway that this version has. Clients show what they need only where it is named. */
const FEATURES: readonly string[] = ["shield"];

/** `GET /v1/me`: who the caller is and what it may do, for every key and client token with any scopes. */
export function meRoutes(app: OpenAPIHono<AppEnv>): void {
  app.get("/v1/me", async (c) => {
    const { org } = c.var.caller;
    const [organization, budgets] = await Promise.all([organizationStub(c.env, org).describe(), listBudgets(c)]);
    const name = organization?.policy.name ?? DEFAULT_NAME;
    return c.json({ ...toApiMe(c.var.caller, { id: org, name }), ...(budgets !== undefined && { budgets }) });
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/v1/me",
    operationId: "me.get",
    summary: "Returns the caller: its key, organisation, scopes, limits and the state of its budgets",
    responses: { 200: describedResponse("The caller", "Me"), ...errorResponses() },
  });
}

/** The default organisation exists before anything is stored for it. */
const DEFAULT_NAME = "Default";

function toApiMe(caller: Caller, organization: { id: string; name: string }): object {
  const { keyId, session, policy = UNBOUNDED_POLICY, expiresAt = policy.expires_at } = caller;
  return {
    object: "me",
    type: session !== undefined ? "client_token" : isAdmin(caller) ? "bootstrap" : "key",
    key_id: keyId,
    name: policy.name,
    organization,
    ...(session !== undefined && { session_id: session }),
    scopes: isAdmin(caller) ? SCOPES : policy.scopes,
    allowed_models: policy.allowed_models ?? null,
    allowed_surfaces: policy.allowed_surfaces ?? null,
    limits: policy.limits,
    expires_at: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
    features: FEATURES,
  };
}

/** The state of the key's own budgets. A client token, which pages hold, does not see its key's money. */
async function listBudgets({ env, var: { caller } }: Context<AppEnv>): Promise<AccountUsage["budgets"] | undefined> {
  if (caller.session !== undefined) return undefined;
  const usage = await keyStubForId(env.KEYS, caller.keyId)?.usage(caller.org);
  return usage?.budgets ?? [];
}
