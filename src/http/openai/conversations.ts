import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { invalid } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { replaceReferences } from "../../gateway/responses/references.ts";
import { conversationNotFound } from "../../gateway/responses/state.ts";
import { type ConversationCommand, toApiConversation } from "../../gateway/session/conversations.ts";
import { openRecords } from "../../platform/record-delivery.ts";
import { newSessionId, sessionObjectId, requireStub } from "../../platform/session-stubs.ts";
import { itemsFor } from "../../platform/stored-items.ts";
import { findSessionCreatedAt, listSessions, type SessionFilter } from "../../store/sessions.ts";
import { inputItem } from "../../surfaces/index.ts";
import { metadata } from "../../surfaces/metadata.ts";
import { idPattern, withPrefix } from "../../wire/id.ts";
import type { JsonObject } from "../../wire/json.ts";
import { describedResponse, errorResponses, jsonBody, optionalJsonBody } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { type Http, screenContent, type SessionResponse, withMutableHeaders } from "../sessions/command.ts";
import { itemPage } from "./responses.ts";

const items = z
  .array(inputItem.extend({ type: z.string().optional() }).openapi("NewItem"))
  .max(20, "expected at most 20 items");

const params = z.object({ id: z.string().openapi({ example: "conv_…" }) });
const itemParams = params.extend({ item: z.string() });
const include = { include: z.unknown().optional(), "include[]": z.unknown().optional() };
const made = z.object({ metadata: metadata.nullish(), items: items.nullish() }).openapi("NewConversation");
const changes = z.object({ metadata }).openapi("ConversationChanges");
const addition = z.object({ items: items.min(1) }).openapi("NewItems");

const routes = {
  create: createRoute({
    method: "post",
    path: "/v1/conversations",
    operationId: "conversations.create",
    summary: "Creates a conversation (session sess_x as conv_x)",
    request: { body: optionalJsonBody(made) },
    responses: { 200: describedResponse("The conversation", "Conversation"), ...errorResponses(400) },
  }),
  list: createRoute({
    method: "get",
    path: "/v1/conversations",
    operationId: "conversations.list",
    summary: "Lists the organisation's conversations, newest first; metadata.KEY=VALUE filters",
    request: { query: z.looseObject({ limit: itemPage.limit, after: itemPage.after }) },
    responses: { 200: describedResponse("A page of conversations", "ConversationPage"), ...errorResponses(400) },
  }),
  get: createRoute({
    method: "get",
    path: "/v1/conversations/{id}",
    operationId: "conversations.get",
    summary: "Returns a conversation",
    request: { params },
    responses: { 200: describedResponse("The conversation", "Conversation"), ...errorResponses(404) },
  }),
  update: createRoute({
    method: "post",
    path: "/v1/conversations/{id}",
    operationId: "conversations.update",
    summary: "Replaces the metadata",
    request: { params, body: jsonBody(changes) },
    responses: { 200: describedResponse("The conversation", "Conversation"), ...errorResponses(400, 404) },
  }),
  delete: createRoute({
    method: "delete",
    path: "/v1/conversations/{id}",
    operationId: "conversations.delete",
    summary: "Deletes the conversation and its items",
    request: { params },
    responses: { 200: describedResponse("Deleted", "DeletedConversation"), ...errorResponses(404) },
  }),
  addItems: createRoute({
    method: "post",
    path: "/v1/conversations/{id}/items",
    operationId: "conversations.items.create",
    summary: "Appends items",
    request: {
      params,
      query: z.object(include),
      body: jsonBody(addition),
    },
    responses: { 200: describedResponse("The items, with their ids", "ItemList"), ...errorResponses(400, 404) },
  }),
  items: createRoute({
    method: "get",
    path: "/v1/conversations/{id}/items",
    operationId: "conversations.items.list",
    summary: "Lists the items, of every surface",
    request: { params, query: z.object({ ...itemPage, ...include }) },
    responses: { 200: describedResponse("A page of items", "ItemList"), ...errorResponses(400, 404) },
  }),
  item: createRoute({
    method: "get",
    path: "/v1/conversations/{id}/items/{item}",
    operationId: "conversations.items.get",
    summary: "Returns an item",
    request: { params: itemParams, query: z.object(include) },
    responses: { 200: describedResponse("The item", "Item"), ...errorResponses(404) },
  }),
  deleteItem: createRoute({
    method: "delete",
    path: "/v1/conversations/{id}/items/{item}",
    operationId: "conversations.items.delete",
    summary: "Removes an item from later input; the history keeps it",
    request: { params: itemParams },
    responses: { 200: describedResponse("The conversation", "Conversation"), ...errorResponses(404) },
  }),
};

/** OpenAI's conversations. Each is a session that any surface can continue. */
export function conversationRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.create, async (c) => {
    const { metadata: pairs, items: input } = c.req.valid("json");
    const { id } = newSessionId(c.env.SESSIONS);
    const items = await replaceReferences(
      (input ?? []) as JsonObject[],
      itemsFor(c.env, c.var.caller, undefined),
      "items",
    );
    const content = { metadata: pairs ?? {}, ...(await screenContent(c, { items: [...items] })) };
    return conversing(c, withPrefix(id, "conv"), { do: "create", id, ...content });
  });
  app.openapi(routes.list, async (c) => {
    const { limit, after } = c.req.valid("query");
    const { org } = c.var.caller;
    const filter = await filterOf(c, after, c.req.query());
    const found = await listSessions(await openRecords(c.env), { org, filter, limit: limit + 1 });
    const data = found.slice(0, limit).map((one) => toApiConversation(one.id, one.createdAt, one.metadata));
    const ids = data.map(({ id }) => id as string);
    const ends = { first_id: ids[0] ?? null, last_id: ids.at(-1) ?? null };
    return c.json({ object: "list" as const, data: data as never[], ...ends, has_more: found.length > limit }, 200);
  });
  app.openapi(routes.get, (c) => conversing(c, c.req.valid("param").id, { do: "show" }));
  app.openapi(routes.update, (c) => conversing(c, c.req.valid("param").id, { do: "update", ...c.req.valid("json") }));
  app.openapi(routes.delete, (c) => conversing(c, c.req.valid("param").id, { do: "delete" }));
  app.openapi(routes.addItems, async (c) => {
    const { items: input } = c.req.valid("json");
    const find = itemsFor(c.env, c.var.caller, undefined);
    const items = await replaceReferences(input as JsonObject[], find, "items");
    return await conversing(c, c.req.valid("param").id, {
      do: "add",
      ...(await screenContent(c, { items: [...items] })),
    });
  });
  app.openapi(routes.items, (c) => {
    const { limit, order, after } = c.req.valid("query");
    return conversing(c, c.req.valid("param").id, { do: "items", limit, order, after });
  });
  app.openapi(routes.item, (c) => one(c, "item"));
  app.openapi(routes.deleteItem, (c) => one(c, "deleteItem"));
}

function one(c: Http, what: "item" | "deleteItem"): Promise<SessionResponse> {
  const { id, item: name } = c.req.param() as { id: string; item: string };
  return conversing(c, id, { do: what, item: name });
}

/** Runs a command in the conversation's session. Throws the error that its object returned. */
async function conversing(c: Http, id: string, request: ConversationCommand): Promise<SessionResponse> {
  if (!CONVERSATION.test(id)) throw conversationNotFound(id);
  const { SESSIONS } = c.env;
  const { caller } = c.var;
  const stub = requireStub(SESSIONS, sessionObjectId(SESSIONS, caller.org, withPrefix(id, "sess")));
  return withMutableHeaders(await fromRpcResponse(await stub.converse(request, id, caller)));
}

/** Ids of conversations: those of sessions with another prefix. */
const CONVERSATION = idPattern("conv");
/** Prefix of query parameters that filter by metadata. */
const METADATA = "metadata.";

async function filterOf(c: Http, after: string | undefined, query: Record<string, string>): Promise<SessionFilter> {
  const unknown = Object.keys(query).find(
    (name) => !name.startsWith(METADATA) && !["limit", "after", "order"].includes(name),
  );
  if (unknown !== undefined) throw invalid(unknown, "expected one of limit, after, metadata.KEY");
  if (query.order !== undefined && query.order !== "desc")
    throw invalid("order", "expected desc: the newest come first");
  const pairs = Object.entries(query).filter(([name]) => name.startsWith(METADATA));
  const requested = { metadata: Object.fromEntries(pairs.map(([name, text]) => [name.slice(METADATA.length), text])) };
  if (after === undefined) return requested;
  const id = withPrefix(after, "sess");
  const createdAt = after.startsWith("conv_") ? await findSessionCreatedAt(c.env.DB, c.var.caller.org, id) : undefined;
  if (createdAt === undefined) throw invalid("after", "expected the id of a conversation of this list");
  return { ...requested, after: { createdAt, id } };
}
