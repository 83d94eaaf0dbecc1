import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError } from "../../canonical/error.ts";
import type { Credential } from "../../keys/organization.ts";
import { hintOf } from "../../keys/secret.ts";
import { encrypt } from "../../keys/vault.ts";
import { organizationStub } from "../../platform/key-stubs.ts";
import { clearProviderCache, credentialContext, requireVaultKeys } from "../../platform/org-providers.ts";
import { providersOf } from "../../providers/registry.ts";
import { listOf } from "../openapi/pages.ts";
import { errorResponses, jsonBody, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

const input = z.strictObject({ api_key: z.string().min(8).max(16_384) }).openapi("NewCredential");
const credential = z
  .object({
    object: z.literal("credential"),
    provider: z.string(),
    hint: z
      .string()
      .openapi({ description: "The last four characters of the credential. The rest is never returned." }),
    set_at: z.string(),
  })
  .openapi("Credential");

const params = z.object({ provider: z.string().openapi({ example: "openai" }) });

const routes = {
  list: createRoute({
    method: "get",
    path: "/v1/credentials",
    operationId: "credentials.list",
    summary: "Lists the organisation's provider credentials",
    responses: {
      200: jsonResponse("The credentials, without their secrets", listOf(credential, "CredentialList")),
      ...errorResponses(),
    },
  }),
  get: createRoute({
    method: "get",
    path: "/v1/credentials/{provider}",
    operationId: "credentials.get",
    summary: "Returns whether a credential exists and when it was stored",
    request: { params },
    responses: { 200: jsonResponse("The credential, without its secret", credential), ...errorResponses(404) },
  }),
  put: createRoute({
    method: "put",
    path: "/v1/credentials/{provider}",
    operationId: "credentials.set",
    summary: "Stores the organisation's credential for a provider; used instead of the deployment's",
    request: { params, body: jsonBody(input) },
    responses: { 200: jsonResponse("The credential, without its secret", credential), ...errorResponses(400, 404) },
  }),
  remove: createRoute({
    method: "delete",
    path: "/v1/credentials/{provider}",
    operationId: "credentials.delete",
    summary: "Deletes the credential; the deployment's is used again",
    request: { params },
    responses: { 204: { description: "Deleted" }, ...errorResponses(404) },
  }),
};

/**
 * `/v1/credentials`: the organisation's own provider credentials. They are encrypted before they are stored and never
 * returned; routes throw `object.not_found` for an unknown provider or a credential that is not set.
 */
export function credentialRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.list, async (c) => {
    const data = (await organizationStub(c.env, c.var.caller.org).credentials()).map(toApiCredential);
    return c.json({ object: "list" as const, data }, 200);
  });
  app.openapi(routes.get, async (c) => c.json(toApiCredential(await found(c, c.req.valid("param").provider)), 200));
  app.openapi(routes.put, async (c) => {
    const { org, keyId } = c.var.caller;
    const { provider } = c.req.valid("param");
    const { api_key } = c.req.valid("json");
    if (!providersOf(c.env).has(provider)) throw noProvider();
    const sealed = encrypt(api_key, credentialContext(org, provider), requireVaultKeys(c.env, "credentials"));
    await organizationStub(c.env, org).setCredential(org, { provider, sealed, hint: hintOf(api_key) }, keyId);
    clearProviderCache(org);
    return c.json(toApiCredential(await found(c, provider)), 200);
  });
  app.openapi(routes.remove, async (c) => {
    const { org, keyId } = c.var.caller;
    if (!(await organizationStub(c.env, org).removeCredential(org, c.req.valid("param").provider, keyId))) throw none();
    clearProviderCache(org);
    return c.body(null, 204);
  });
}

async function found(c: Context<AppEnv>, provider: string): Promise<Credential> {
  const all = await organizationStub(c.env, c.var.caller.org).credentials();
  const known = all.find((one) => one.provider === provider);
  if (known === undefined) throw none();
  return known;
}

const none = (): GatewayError => new GatewayError("object.not_found", "there is no such credential");
const noProvider = (): GatewayError => new GatewayError("object.not_found", "there is no such provider");

const toApiCredential = ({ provider, hint, setAt }: Credential): z.infer<typeof credential> => ({
  object: "credential",
  provider,
  hint,
  set_at: new Date(setAt).toISOString(),
});
