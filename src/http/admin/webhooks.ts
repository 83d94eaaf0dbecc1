import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { encrypt } from "../../keys/vault.ts";
import type { Webhook, WebhookChanges } from "../../keys/webhooks.ts";
import { requirePublic, UrlRefusal } from "../../outbound/public-url.ts";
import { newSigningSecret } from "../../outbound/signature.ts";
import { organizationStub } from "../../platform/key-stubs.ts";
import { requireVaultKeys } from "../../platform/org-providers.ts";
import { clearWebhooks, webhookContext } from "../../platform/org-secrets.ts";
import { outboundNetworkFor } from "../../platform/outbound-network.ts";
import { NOTIFICATION_TYPES } from "../../runs/state/notification.ts";
import { newId } from "../../wire/id.ts";
import { withoutUndefined } from "../../wire/json.ts";
import { listOf } from "../openapi/pages.ts";
import { errorResponses, jsonBody, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

/** For how long the secret before signs as well. Milliseconds. */
const ROTATION_MS = 24 * 3_600_000;

/** What `POST` and `PATCH` take. */
const url = z.string().max(2_048);
const events = z.array(z.enum(NOTIFICATION_TYPES)).min(1).max(NOTIFICATION_TYPES.length);
const created = z.strictObject({ url, events: events.default([...NOTIFICATION_TYPES]) }).openapi("NewWebhook");
const changed = z
  .strictObject({ url: url.optional(), events: events.optional(), status: z.enum(["enabled", "disabled"]).optional() })
  .openapi("WebhookChange");
const webhook = z
  .object({
    id: z.string(),
    object: z.literal("webhook"),
    url: z.string(),
    events: z.array(z.enum(NOTIFICATION_TYPES)),
    status: z
      .enum(["enabled", "disabled"])
      .openapi({ description: "disabled: also after a receiver has answered 410" }),
    created_at: z.string(),
  })
  .openapi("Webhook");
/** With its secret, when that is made. Not `webhook.extend`: see `keyWithSecret`. */
const withSecret = z
  .object({ ...webhook.shape, secret: z.string().openapi({ description: "Signs the messages. Returned this once" }) })
  .openapi("WebhookWithSecret");

const params = z.object({ id: z.string() });

const routes = {
  list: createRoute({
    method: "get",
    path: "/v1/webhooks",
    operationId: "webhooks.list",
    summary: "Lists where messages about the organisation's runs are sent",
    responses: { 200: jsonResponse("The webhooks", listOf(webhook, "WebhookList")), ...errorResponses() },
  }),
  create: createRoute({
    method: "post",
    path: "/v1/webhooks",
    operationId: "webhooks.create",
    summary: "Creates a webhook, with the secret that signs its messages",
    request: { body: jsonBody(created) },
    responses: { 201: jsonResponse("The webhook with its secret", withSecret), ...errorResponses(400) },
  }),
  change: createRoute({
    method: "patch",
    path: "/v1/webhooks/{id}",
    operationId: "webhooks.update",
    summary: "Updates a webhook's URL, events or status",
    request: { params, body: jsonBody(changed) },
    responses: { 200: jsonResponse("The webhook", webhook), ...errorResponses(400, 404) },
  }),
  remove: createRoute({
    method: "delete",
    path: "/v1/webhooks/{id}",
    operationId: "webhooks.delete",
    summary: "Deletes a webhook, and the messages that wait for it",
    request: { params },
    responses: { 204: { description: "Deleted" }, ...errorResponses(404) },
  }),
};

/** `/v1/webhooks`: where messages about an organisation's runs are sent (runs/notifier.ts). Secrets are encrypted before they are stored. */
export function webhookRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.list, async (c) => {
    const all = await organizationStub(c.env, c.var.caller.org).webhooks();
    return c.json({ object: "list" as const, data: all.map(toApiWebhook) }, 200);
  });
  app.openapi(routes.create, async (c) => {
    const { org, keyId } = c.var.caller;
    const { url: target, events: subscribed } = c.req.valid("json");
    requireTarget(target, c.env);
    const id = newId("whk", Date.now());
    const secret = newSigningSecret();
    const sealed = seal(secret, { id, org, env: c.env });
    const added: Webhook = { id, url: target, events: subscribed, status: "enabled", sealed, createdAt: Date.now() };
    if (!(await organizationStub(c.env, org).addWebhook(org, added, keyId)))
      throw invalid("url", "expected at most 20 webhooks: delete one");
    clearWebhooks(org);
    return c.json({ ...toApiWebhook(added), secret }, 201);
  });
  app.openapi(routes.change, async (c) => {
    const changes = c.req.valid("json");
    if (changes.url !== undefined) requireTarget(changes.url, c.env);
    return c.json(
      toApiWebhook(await change(c, c.req.valid("param").id, withoutUndefined<WebhookChanges>(changes))),
      200,
    );
  });
  app.post("/v1/webhooks/:call{.+:rotate}", async (c) => {
    const id = c.req.param("call").slice(0, -":rotate".length);
    const secret = newSigningSecret();
    const sealed = seal(secret, { id, org: c.var.caller.org, env: c.env });
    const next = await change(c, id, { rotated: { sealed, until: Date.now() + ROTATION_MS } });
    return c.json({ ...toApiWebhook(next), secret }, 200);
  });
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/v1/webhooks/{id}:rotate",
    operationId: "webhooks.rotate",
    summary: "Rotates a webhook's secret; the one before signs as well for 24 hours",
    request: { params },
    responses: { 200: jsonResponse("The webhook with its new secret", withSecret), ...errorResponses(404) },
  });
  app.openapi(routes.remove, async (c) => {
    const { org, keyId } = c.var.caller;
    if (!(await organizationStub(c.env, org).removeWebhook(org, c.req.valid("param").id, keyId))) throw notFound();
    clearWebhooks(org);
    return c.body(null, 204);
  });
}

const notFound = (): GatewayError => new GatewayError("object.not_found", "there is no such webhook");

/** Changes the caller's webhook. Throws `object.not_found`. */
async function change(c: Context<AppEnv>, id: string, changes: WebhookChanges): Promise<Webhook> {
  const { org, keyId } = c.var.caller;
  const changed = await organizationStub(c.env, org).changeWebhook(org, id, changes, keyId);
  if (changed === undefined) throw notFound();
  clearWebhooks(org);
  return changed;
}

/** Throws `request.invalid` for a URL that the gateway does not send to. */
function requireTarget(target: string, env: Cloudflare.Env): void {
  try {
    requirePublic(target, outboundNetworkFor(env).reach);
  } catch (thrown) {
    if (thrown instanceof UrlRefusal) throw invalid("url", thrown.message);
    throw thrown;
  }
}

/** Encrypts a webhook's secret. Throws `request.invalid` if the deployment has no key for that. */
const seal = (secret: string, { id, org, env }: { id: string; org: string; env: Cloudflare.Env }): string =>
  encrypt(secret, webhookContext(org, id), requireVaultKeys(env, "secrets"));

/** A webhook as the API shows it, without its secret. */
const toApiWebhook = ({
  id,
  url: target,
  events: subscribed,
  status,
  createdAt,
}: Webhook): z.infer<typeof webhook> => ({
  id,
  object: "webhook",
  url: target,
  events: subscribed as z.infer<typeof webhook>["events"],
  status,
  created_at: new Date(createdAt).toISOString(),
});
