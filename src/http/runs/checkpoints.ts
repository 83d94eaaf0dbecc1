import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError } from "../../canonical/error.ts";
import { type SessionStub, stubForId } from "../../platform/session-stubs.ts";
import { resolveRequest } from "../../runs/api/requests.ts";
import { readText } from "../../surfaces/body.ts";
import { describedResponse, errorResponses, jsonBody } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { answer } from "./answer.ts";

/** The id of a checkpoint. */
const params = z.object({ id: z.string() });

/** Where runs wait for a decision. */
export function checkpointRoutes(app: OpenAPIHono<AppEnv>): void {
  app.get("/v1/checkpoints/:id", async (c) => {
    const id = c.req.param("id");
    return await answer(stubOf(c, id), { do: "checkpoint", id }, c);
  });
  app.post("/v1/checkpoints/:call{.+:resolve}", async (c) => {
    const id = c.req.param("call").slice(0, -":resolve".length);
    return await answer(stubOf(c, id), { do: "resolve", id, body: await readText(c.req.raw) }, c);
  });
  const registry = app.openAPIRegistry;
  registry.registerPath({
    method: "get",
    path: "/v1/checkpoints/{id}",
    operationId: "checkpoints.get",
    summary: "Returns a checkpoint",
    request: { params },
    responses: { 200: describedResponse("The checkpoint", "Checkpoint"), ...errorResponses(404) },
  });
  registry.registerPath({
    method: "post",
    path: "/v1/checkpoints/{id}:resolve",
    operationId: "checkpoints.resolve",
    summary: "Sets what is decided at a checkpoint, once",
    request: { params, body: jsonBody(resolveRequest) },
    responses: { 200: describedResponse("The checkpoint", "Checkpoint"), ...errorResponses(400, 403, 404, 409) },
  });
}

/** The session's object with a checkpoint. Throws `object.not_found` for an id that leads nowhere. */
function stubOf(c: Context<AppEnv>, id: string): SessionStub {
  const stub = stubForId(c.env.SESSIONS, "ckpt", id);
  if (stub === undefined) throw new GatewayError("object.not_found", "there is no such checkpoint");
  return stub;
}
