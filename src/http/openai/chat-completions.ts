import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { completionNotFound, type CompletionQuery } from "../../gateway/session/completions.ts";
import { openRecords } from "../../platform/record-delivery.ts";
import { findResponseLocation } from "../../platform/response-index.ts";
import { stubFor } from "../../platform/session-stubs.ts";
import { awaitStoring } from "../../platform/stored-items.ts";
import type { ResponseLocation } from "../../session/directory/response-index.ts";
import { listCompletions } from "../../store/completions.ts";
import { metadata } from "../../surfaces/metadata.ts";
import { createdAtOf, objectIdIn } from "../../wire/id.ts";
import type { JsonObject } from "../../wire/json.ts";
import { describedResponse, errorResponses, jsonBody } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { itemPage } from "./responses.ts";

const params = z.object({ id: z.string().openapi({ example: "chatcmpl-…" }) });
const page = { ...itemPage, order: z.enum(["asc", "desc"]).default("asc") };

const routes = {
  list: createRoute({
    method: "get",
    path: "/v1/chat/completions",
    operationId: "chat.completions.list",
    summary: "Lists the completions that were made with store: true; metadata[KEY]=VALUE filters",
    request: { query: z.looseObject({ ...page, model: z.string().optional() }) },
    responses: { 200: describedResponse("A page of completions", "ChatCompletionPage"), ...errorResponses(400) },
  }),
  get: createRoute({
    method: "get",
    path: "/v1/chat/completions/{id}",
    operationId: "chat.completions.get",
    summary: "Returns a stored completion",
    request: { params },
    responses: { 200: describedResponse("The completion", "ChatCompletion"), ...errorResponses(404) },
  }),
  update: createRoute({
    method: "post",
    path: "/v1/chat/completions/{id}",
    operationId: "chat.completions.update",
    summary: "Replaces the metadata",
    request: { params, body: jsonBody(z.object({ metadata }).openapi("ChatCompletionChanges")) },
    responses: { 200: describedResponse("The completion", "ChatCompletion"), ...errorResponses(400, 404) },
  }),
  delete: createRoute({
    method: "delete",
    path: "/v1/chat/completions/{id}",
    operationId: "chat.completions.delete",
    summary: "Deletes a stored completion; its turn stays in the session",
    request: { params },
    responses: { 200: describedResponse("Deleted", "DeletedResponse"), ...errorResponses(404) },
  }),
  messages: createRoute({
    method: "get",
    path: "/v1/chat/completions/{id}/messages",
    operationId: "chat.completions.messages.list",
    summary: "Lists the messages that the model received",
    request: { params, query: z.object(page) },
    responses: { 200: describedResponse("A page of messages", "StoredMessagePage"), ...errorResponses(400, 404) },
  }),
};

/** OpenAI's stored chat completions. A completion is a turn in its session's tree, stored in the session's object. */
export function storedCompletionRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.list, async (c) => c.json(await list(c, c.req.valid("query")), 200));
  app.openapi(routes.get, (c) => recall(c, { do: "show" }));
  app.openapi(routes.update, (c) => recall(c, { do: "update", ...c.req.valid("json") }));
  app.openapi(routes.delete, (c) => recall(c, { do: "delete" }));
  app.openapi(routes.messages, (c) => recall(c, { do: "messages", ...c.req.valid("query") }));
}

type Http = Context<AppEnv>;
type Lookup = DistributedOmit<CompletionQuery, "id" | "call">;
type DistributedOmit<T, K extends keyof T> = T extends unknown ? Omit<T, K> : never;

/** The response of the session's object. A completion of a stateless call is stored after its answer. */
async function recall(c: Http, what: Lookup): Promise<never> {
  const id = c.req.param("id")!;
  await awaitStoring(c.var.caller.org);
  const at = await locate(c, id);
  const answered = at && (await askObject(c, id, at, what));
  if (answered === undefined) throw completionNotFound(id);
  return new Response(answered.body, answered) as never;
}

const locate = (c: Http, id: string): Promise<ResponseLocation | undefined> =>
  findResponseLocation(c.env.DIRECTORY, c.var.caller.org, id);

/** `undefined` if the completion is not there. */
async function askObject(
  { env, var: { caller } }: Http,
  id: string,
  { place, call }: ResponseLocation,
  what: Lookup,
): Promise<Response | undefined> {
  const answered = await stubFor(env.SESSIONS, place)?.completion({ id, call, ...what }, caller);
  try {
    return answered && (await fromRpcResponse(answered));
  } catch (thrown) {
    if (thrown instanceof GatewayError && thrown.code === "object.not_found") return undefined;
    throw thrown;
  }
}

type ListQuery = { limit: number; order: "asc" | "desc"; after?: string | undefined; model?: string | undefined };

/** A page of completions; each comes from its session's object. */
async function list(c: Http, { limit, order, after, model, ...filters }: ListQuery): Promise<never> {
  const { org } = c.var.caller;
  await awaitStoring(org);
  const behind = after === undefined ? undefined : await findPlace(c, after);
  const found = await listCompletions(await openRecords(c.env), {
    org,
    metadata: readMetadata(filters),
    order,
    limit: limit + 1,
    ...(model !== undefined && { model }),
    ...(behind && { after: behind }),
  });
  const bodies = await Promise.all(
    found.slice(0, limit).map(async ({ id, call }): Promise<JsonObject[]> => {
      const place = objectIdIn("call", call);
      const answered = place && (await askObject(c, id, { place, call }, { do: "show" }));
      // One that is missing was deleted since the list was written.
      return answered ? [await answered.json<JsonObject>()] : [];
    }),
  );
  const data = bodies.flat();
  const ends = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
  return { object: "list", data, ...ends, has_more: found.length > limit } as never;
}

/** The place in the order of the list. Throws `request.invalid` for an id that is not stored. */
async function findPlace(c: Http, id: string): Promise<{ createdAt: number; call: string }> {
  const at = await locate(c, id);
  if (at === undefined) throw invalid("after", "expected the id of a completion of this list");
  return { call: at.call, createdAt: createdAtOf(at.call) };
}

/** OpenAI's SDKs write `metadata[key]=value`. Throws `request.invalid` for any other parameter. */
function readMetadata(filters: Record<string, unknown>): Record<string, string> {
  const pairs = Object.entries(filters).map(([name, value]) => {
    const key = /^metadata\[(.+)\]$/s.exec(name)?.[1];
    if (key === undefined) throw invalid(name, "expected one of limit, order, after, model, metadata[KEY]");
    return [key, String(value)] as const;
  });
  return Object.fromEntries(pairs);
}
