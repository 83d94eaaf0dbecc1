import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import {
  findSessionRetention,
  putSessionRetention,
  type SessionRetention,
} from "../../store/retention/session-retention.ts";
import { sessionId } from "../../surfaces/rhone.ts";
import { errorResponses, jsonBody, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { ownOrganization } from "./own-organization.ts";

const given = z
  .strictObject({
    legal_hold: z.boolean().default(false).openapi({ description: "Nothing of the session is deleted, by anyone" }),
    retention_days: z.int().min(1).max(36_500).nullable().default(null).openapi({
      description: "Days without a turn after which it is erased with its calls; null: as the organisation says",
    }),
  })
  .openapi("NewSessionRetention");

const retention = z
  .object({
    object: z.literal("session.retention"),
    session_id: z.string(),
    legal_hold: z.boolean(),
    retention_days: z.int().nullable(),
    changed_by: z.string().nullable(),
    changed_at: z.string().nullable(),
  })
  .openapi("SessionRetention");

const params = z.object({ id: z.string(), session: sessionId });
const path = "/v1/organizations/{id}/sessions/{session}/retention";
const ok = jsonResponse("How long the session stays", retention);

const routes = {
  get: createRoute({
    method: "get",
    path,
    operationId: "organizations.sessions.retention.get",
    summary: "Returns how long a session stays, and whether it is held",
    request: { params },
    responses: { 200: ok, ...errorResponses(400, 404) },
  }),
  set: createRoute({
    method: "put",
    path,
    operationId: "organizations.sessions.retention.set",
    summary: "Sets how long a session stays, and whether it is held",
    request: { params, body: jsonBody(given) },
    responses: { 200: ok, ...errorResponses(400, 404) },
  }),
};

/** Retention and legal hold of one session: of any id, also of one whose content is gone and whose calls are not. */
export function sessionRetentionRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.get, async (c) => {
    const { id, session } = c.req.valid("param");
    const found = await findSessionRetention(c.env.DB, ownOrganization(c, id), session);
    return c.json(toApi(session, found), 200);
  });
  app.openapi(routes.set, async (c) => {
    const { id, session } = c.req.valid("param");
    const { legal_hold: legalHold, retention_days: retentionDays } = c.req.valid("json");
    const changed = { changedBy: c.var.caller.keyId, changedAt: Date.now() };
    const row = { org: ownOrganization(c, id), sessionId: session, legalHold, retentionDays, ...changed };
    await putSessionRetention(c.env.DB, row);
    return c.json(toApi(session, row), 200);
  });
}

const toApi = (session: string, found: SessionRetention | undefined): z.infer<typeof retention> => ({
  object: "session.retention",
  session_id: session,
  legal_hold: found?.legalHold ?? false,
  retention_days: found?.retentionDays ?? null,
  changed_by: found?.changedBy ?? null,
  changed_at: found === undefined ? null : new Date(found.changedAt).toISOString(),
});
