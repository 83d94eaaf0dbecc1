import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { GatewayError } from "../../canonical/error.ts";
import { clockStub, ERASE_TASK } from "../../platform/clock.ts";
import { isHeld, requireNoHold } from "../../platform/holds.ts";
import { type Erasure, findErasure, requestErasure, WHOLE_ORGANIZATION } from "../../store/retention/erasures.ts";
import { sessionId } from "../../surfaces/rhone.ts";
import { newId } from "../../wire/id.ts";
import { errorResponses, jsonBody, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { ownOrganization } from "./own-organization.ts";

const made = z
  .strictObject({
    session_id: sessionId.optional().openapi({ description: "One session, with its calls" }),
    all: z
      .literal(true)
      .optional()
      .openapi({ description: "All sessions and calls of the organisation from before the request" }),
  })
  .refine(({ session_id, all }) => (session_id === undefined) !== (all === undefined), {
    path: ["session_id"],
    message: "expected either session_id or all",
  })
  .openapi("NewErasure");

const erasure = z
  .object({
    id: z.string(),
    object: z.literal("erasure"),
    organization: z.string(),
    session_id: z.string().nullable().openapi({ description: "Null: of the whole organisation" }),
    status: z.enum(["requested", "held", "done"]).openapi({ description: "`held`: a legal hold was set since" }),
    requested_by: z.string(),
    requested_at: z.string(),
    done_at: z.string().nullable(),
    removed: z
      .object({
        calls: z.int().openapi({ description: "Records of calls, in the database and in files" }),
        files: z.int().openapi({ description: "Files that were written anew without them" }),
      })
      .openapi("ErasureCounts"),
    remains: z.array(z.string()).openapi({ description: "What is not erased, and why" }),
  })
  .openapi("Erasure");

const params = z.object({ id: z.string() });

const routes = {
  create: createRoute({
    method: "post",
    path: "/v1/organizations/{id}/erasures",
    operationId: "organizations.erasures.create",
    summary: "Erases a session, or all of them: content at once, the records of calls soon",
    request: { params, body: jsonBody(made) },
    responses: { 202: jsonResponse("The erasure", erasure), ...errorResponses(400, 404, 409) },
  }),
  get: createRoute({
    method: "get",
    path: "/v1/organizations/{id}/erasures/{erasure}",
    operationId: "organizations.erasures.get",
    summary: "Returns how far an erasure has come, and what remains",
    request: { params: params.extend({ erasure: z.string() }) },
    responses: { 200: jsonResponse("The erasure", erasure), ...errorResponses(404) },
  }),
};

/** `/v1/organizations/{id}/erasures`. From the request on, nothing more of the session is stored, and nothing read from files. */
export function erasureRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.create, async (c) => {
    const org = ownOrganization(c, c.req.valid("param").id);
    const { session_id: session = WHOLE_ORGANIZATION } = c.req.valid("json");
    await requireNoHold(c.env, org, session);
    const requested = await requestErasure(c.env.DB, {
      org,
      sessionId: session,
      id: newId("ers", Date.now()),
      requestedBy: c.var.caller.keyId,
      requestedAt: Date.now(),
    });
    await clockStub(c.env).wake(ERASE_TASK);
    return c.json(toApiErasure(requested, false), 202);
  });
  app.openapi(routes.get, async (c) => {
    const { id, erasure: name } = c.req.valid("param");
    const found = await findErasure(c.env.DB, ownOrganization(c, id), name);
    if (found === undefined) throw new GatewayError("object.not_found", "there is no such erasure");
    return c.json(toApiErasure(found, await isHeld(c.env, found.org, found.sessionId)), 200);
  });
}

const REMAINS = [
  "this erasure, so that nothing of it is stored that comes late",
  "what the calls have cost, in the budgets of keys and of the organisation",
  "D1's point-in-time recovery, for thirty days",
];

const toApiErasure = (found: Erasure, isUnderHold: boolean): z.infer<typeof erasure> => ({
  id: found.id,
  object: "erasure",
  organization: found.org,
  session_id: found.sessionId === WHOLE_ORGANIZATION ? null : found.sessionId,
  status: found.state === "requested" && isUnderHold ? "held" : found.state,
  requested_by: found.requestedBy,
  requested_at: new Date(found.requestedAt).toISOString(),
  done_at: found.doneAt === null ? null : new Date(found.doneAt).toISOString(),
  removed: { calls: found.calls, files: found.files },
  remains: REMAINS,
});
