import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { GatewayError, invalid } from "../../canonical/error.ts";
import type { ToolSecret } from "../../keys/tool-secrets.ts";
import { encrypt } from "../../keys/vault.ts";
import { organizationStub } from "../../platform/key-stubs.ts";
import { requireVaultKeys } from "../../platform/org-providers.ts";
import { clearToolSecrets, secretContext } from "../../platform/org-secrets.ts";
import { listOf } from "../openapi/pages.ts";
import { errorResponses, jsonBody, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

/** A host to which a secret may be sent, or all hosts below one. */
const host = z
  .string()
  .regex(/^(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*$/, "expected a host in lower case, or *. and one")
  .max(253);
const input = z
  .strictObject({ value: z.string().min(1).max(16_384), hosts: z.array(host).min(1).max(32) })
  .openapi("NewSecret");
const secret = z
  .object({
    object: z.literal("secret"),
    name: z.string(),
    hosts: z.array(z.string()).openapi({ description: "To which it may be sent" }),
    set_at: z.string(),
  })
  .openapi("Secret", { description: "Its value is never returned." });

const params = z.object({
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, "expected a letter and up to 63 of A-Z a-z 0-9 _ -"),
});

const routes = {
  list: createRoute({
    method: "get",
    path: "/v1/secrets",
    operationId: "secrets.list",
    summary: "Lists the secrets of the organisation's tools, without their values",
    responses: { 200: jsonResponse("The secrets", listOf(secret, "SecretList")), ...errorResponses() },
  }),
  put: createRoute({
    method: "put",
    path: "/v1/secrets/{name}",
    operationId: "secrets.set",
    summary: "Stores a secret for tools, and the hosts to which it may be sent",
    request: { params, body: jsonBody(input) },
    responses: { 200: jsonResponse("The secret, without its value", secret), ...errorResponses(400) },
  }),
  remove: createRoute({
    method: "delete",
    path: "/v1/secrets/{name}",
    operationId: "secrets.delete",
    summary: "Deletes a secret",
    request: { params },
    responses: { 204: { description: "Deleted" }, ...errorResponses(404) },
  }),
};

/** `/v1/secrets`: what an organisation's tools need to identify themselves. Encrypted before it is stored, and never returned. */
export function secretRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.list, async (c) => {
    const data = (await organizationStub(c.env, c.var.caller.org).secrets()).map(toApiSecret);
    return c.json({ object: "list" as const, data }, 200);
  });
  app.openapi(routes.put, async (c) => {
    const { org, keyId } = c.var.caller;
    const { name } = c.req.valid("param");
    const { value, hosts } = c.req.valid("json");
    const keys = requireVaultKeys(c.env, "secrets");
    const sealed = encrypt(value, secretContext(org, name), keys);
    if (!(await organizationStub(c.env, org).setSecret(org, { name, sealed, hosts }, keyId)))
      throw invalid("name", "expected at most 100 secrets: delete one");
    clearToolSecrets(org);
    return c.json(toApiSecret({ name, sealed, hosts, setAt: Date.now() }), 200);
  });
  app.openapi(routes.remove, async (c) => {
    const { org, keyId } = c.var.caller;
    if (!(await organizationStub(c.env, org).removeSecret(org, c.req.valid("param").name, keyId)))
      throw new GatewayError("object.not_found", "there is no such secret");
    clearToolSecrets(org);
    return c.body(null, 204);
  });
}

/** A secret as the API shows it. Its value is not even decrypted for that. */
const toApiSecret = ({ name, hosts, setAt }: ToolSecret): z.infer<typeof secret> => ({
  object: "secret",
  name,
  hosts,
  set_at: new Date(setAt).toISOString(),
});
