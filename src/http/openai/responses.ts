import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalid } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { responseNotFound } from "../../gateway/responses/state.ts";
import type { ResponseQuery } from "../../gateway/session/response-queries.ts";
import { responseIndexFor, findResponseLocation } from "../../platform/response-index.ts";
import { stubFor } from "../../platform/session-stubs.ts";
import { describedResponse, errorResponses } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

const params = z.object({ id: z.string().openapi({ example: "resp_…" }) });
/** Query of OpenAI's lists of items: at most 100, newest first (OpenAI API reference, Conversations: list items). */
export const itemPage = {
  limit: z.coerce.number().int().min(1).max(100).default(20),
  order: z.enum(["asc", "desc"]).default("desc"),
  after: z.string().optional(),
};
/** Accepted and ignored: a stored response is always returned with all its parts. */
const include = { include: z.union([z.string(), z.array(z.string())]).optional(), "include[]": z.unknown().optional() };

const retrieval = z.object({
  ...include,
  stream: z.enum(["true", "false"]).default("false"),
  starting_after: z.coerce.number().int().min(0).optional().openapi({
    description: "The sequence number of the last event that the client has; with stream=true only.",
  }),
  include_obfuscation: z.string().optional(),
});

const routes = {
  get: createRoute({
    method: "get",
    path: "/v1/responses/{id}",
    operationId: "responses.get",
    summary: "Returns a stored response; stream=true: its events",
    request: { params, query: retrieval },
    responses: {
      200: describedResponse("The response, or with stream=true its events", "Response", "ResponseStreamEvent"),
      ...errorResponses(400, 404),
    },
  }),
  delete: createRoute({
    method: "delete",
    path: "/v1/responses/{id}",
    operationId: "responses.delete",
    summary: "Deletes a stored response; its turn stays in the session",
    request: { params },
    responses: { 200: describedResponse("Deleted", "DeletedResponse"), ...errorResponses(404) },
  }),
  inputItems: createRoute({
    method: "get",
    path: "/v1/responses/{id}/input_items",
    operationId: "responses.inputItems.list",
    summary: "Lists the input items",
    request: { params, query: z.object({ ...itemPage, ...include }) },
    responses: { 200: describedResponse("A page of items", "ItemList"), ...errorResponses(400, 404) },
  }),
  cancel: createRoute({
    method: "post",
    path: "/v1/responses/{id}/cancel",
    operationId: "responses.cancel",
    summary: "Cancels a background response",
    request: { params },
    responses: { 200: describedResponse("The response", "Response"), ...errorResponses(400, 404) },
  }),
};

/** OpenAI's stored responses. A response is a turn in its session's tree, stored in the session's object. */
export function responseRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.get, (c) => {
    const { stream, starting_after: after } = c.req.valid("query");
    if (after !== undefined && stream !== "true") throw invalid("starting_after", "requires stream=true");
    // Sequence numbers start at 0, so -1 means from the first event.
    return recall(c, stream === "true" ? { do: "stream", after: after ?? -1 } : { do: "show" });
  });
  app.openapi(routes.delete, async (c) => {
    const response = await recall(c, { do: "forget" });
    const { id } = c.req.valid("param");
    await responseIndexFor(c.env.DIRECTORY, c.var.caller.org, id).remove(id);
    return response;
  });
  app.openapi(routes.inputItems, (c) => recall(c, { do: "inputItems", ...c.req.valid("query") }));
  app.openapi(routes.cancel, (c) => recall(c, { do: "cancel" }));
}

/** Returns the response of the session's object unchanged: its body may be a stream. */
async function recall(c: Http, what: ResponseLookup): Promise<never> {
  const id = c.req.param("id")!;
  const { caller } = c.var;
  const found = await findResponseLocation(c.env.DIRECTORY, caller.org, id);
  const stub = found && stubFor(c.env.SESSIONS, found.place);
  if (found === undefined || stub === undefined) throw responseNotFound(id);
  const answered = await fromRpcResponse(await stub.recall({ id, call: found.call, ...what }, caller));
  return new Response(answered.body, answered) as never;
}

type Http = Context<AppEnv>;
type ResponseLookup = DistributedOmit<ResponseQuery, "id" | "call">;
type DistributedOmit<T, K extends keyof T> = T extends unknown ? Omit<T, K> : never;
