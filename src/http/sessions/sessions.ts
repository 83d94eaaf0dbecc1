import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { invalid } from "../../canonical/error.ts";
import type { MetadataPatch } from "../../gateway/session/commands.ts";
import { openRecords } from "../../platform/record-delivery.ts";
import { newSessionId } from "../../platform/session-stubs.ts";
import type { SessionInit } from "../../session/session.ts";
import { listSessions, type SessionFilter, type SessionRecord } from "../../store/sessions.ts";
import { sessionDefaults } from "../../surfaces/defaults.ts";
import { metadataValue, metadataWith } from "../../surfaces/metadata.ts";
import { sessionId } from "../../surfaces/rhone.ts";
import type { JsonObject } from "../../wire/json.ts";
import { page, toPage, pageOf, timeIn } from "../openapi/pages.ts";
import { errorResponses, jsonBody, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { screenContent, sendCommand, systemText } from "./command.ts";

export const sessionParams = z.object({ id: z.string().openapi({ example: "sess_support_123" }) });

const origin = z.object({ session_id: z.string(), turn_id: z.string().nullable() }).openapi("SessionOrigin");

const session = z
  .object({
    id: z.string(),
    object: z.literal("session"),
    status: z.enum(["active", "paused"]),
    phase: z.string().nullable(),
    head: z.string().nullable().openapi({ description: "The turn where the next call continues." }),
    turns: z.int().openapi({ description: "The number of turns in the input of the next call." }),
    instructions: z.string().nullable(),
    metadata: z.record(z.string(), z.string()),
    defaults: z.looseObject({}),
    branched_from: origin.nullable(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .openapi("Session");

const listed = session.omit({ instructions: true, defaults: true }).openapi("ListedSession");

/** A chosen id must not look like a generated one, which contains the id of its object. */
export const chosenId = sessionId.refine(
  (id) => !/^sess_[0-9a-hjkmnp-tv-z]{52}$/.test(id),
  "expected an id that does not look like a generated one",
);

const key = z.string().min(1).max(64);
const phase = z.string().min(1).max(64);

const newSession = z
  .strictObject({
    id: chosenId.optional(),
    instructions: z
      .string()
      .min(1)
      .optional()
      .openapi({ description: "The system text of calls, until a call sets another." }),
    metadata: metadataWith(key).optional(),
    defaults: sessionDefaults.optional(),
    phase: phase.optional(),
  })
  .openapi("NewSession");

const nullable = Object.fromEntries(
  Object.entries(sessionDefaults.shape).map(([name, schema]) => [name, (schema as z.ZodType).nullable()]),
);

const changes = z
  .strictObject({
    metadata: z.record(key, metadataValue.nullable()),
    defaults: z.strictObject(nullable).partial().openapi("SessionDefaultsChanges"),
  })
  .partial()
  .openapi("SessionChanges", { description: "Absent members stay; null removes one." });

type Changes = { metadata?: MetadataPatch; defaults?: JsonObject };

const filters = page.extend({
  status: z.enum(["active", "paused"]).optional(),
  created_after: z.string().optional(),
  created_before: z.string().optional(),
});

const deletedSession = z
  .object({ id: z.string(), object: z.literal("session"), deleted: z.literal(true) })
  .openapi("DeletedSession");
const ok = jsonResponse("The session", session);

const routes = {
  create: createRoute({
    method: "post",
    path: "/v1/sessions",
    operationId: "sessions.create",
    summary: "Creates a session, optionally with a chosen id",
    request: { body: jsonBody(newSession) },
    responses: {
      200: { ...ok, description: "The session exists; it is unchanged" },
      201: ok,
      ...errorResponses(400),
    },
  }),
  list: createRoute({
    method: "get",
    path: "/v1/sessions",
    operationId: "sessions.list",
    summary: "Lists the organisation's sessions, newest first; metadata.KEY=VALUE filters",
    request: { query: filters },
    responses: {
      200: jsonResponse("A page of sessions", pageOf(listed, "SessionPage")),
      ...errorResponses(400),
    },
  }),
  get: createRoute({
    method: "get",
    path: "/v1/sessions/{id}",
    operationId: "sessions.get",
    summary: "Returns a session",
    request: { params: sessionParams },
    responses: { 200: ok, ...errorResponses(404) },
  }),
  update: createRoute({
    method: "patch",
    path: "/v1/sessions/{id}",
    operationId: "sessions.update",
    summary: "Updates metadata and defaults; null removes a member",
    request: { params: sessionParams, body: jsonBody(changes) },
    responses: { 200: ok, ...errorResponses(400, 404) },
  }),
  delete: createRoute({
    method: "delete",
    path: "/v1/sessions/{id}",
    operationId: "sessions.delete",
    summary: "Deletes the session's content; call records remain",
    request: { params: sessionParams },
    responses: {
      200: jsonResponse("Deleted", deletedSession),
      ...errorResponses(404),
    },
  }),
};

/** `/v1/sessions`: creating, listing, reading, updating and deleting sessions. */
export function sessionRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.create, async (c) => {
    const { id: chosen, instructions: given, ...input } = c.req.valid("json");
    const id = chosen ?? newSessionId(c.env.SESSIONS).id;
    const system = given === undefined ? {} : { instructions: systemText((await screenContent(c, { given })).given) };
    return await sendCommand(c, id, { do: "create", id, given: { ...input, ...system } as SessionInit });
  });
  app.openapi(routes.list, async (c) => {
    const { limit, after, ...input } = c.req.valid("query");
    const filter = filterOf(input, after, c.req.query());
    const found = await listSessions(await openRecords(c.env), { org: c.var.caller.org, filter, limit: limit + 1 });
    const { data, ...rest } = toPage(found, limit);
    const last = data.at(-1);
    return c.json(
      { ...rest, data: data.map(toApiListedSession), last_id: last === undefined ? null : cursorOf(last) },
      200,
    );
  });
  app.openapi(routes.get, (c) => sendCommand(c, c.req.valid("param").id, { do: "show" }));
  app.openapi(routes.update, async (c) => {
    return await sendCommand(c, c.req.valid("param").id, { do: "update", ...(c.req.valid("json") as Changes) });
  });
  app.openapi(routes.delete, (c) => sendCommand(c, c.req.valid("param").id, { do: "delete" }));
}

const toApiListedSession = (record: SessionRecord): z.infer<typeof listed> => ({
  id: record.id,
  object: "session",
  status: record.status as "active" | "paused",
  phase: record.phase ?? null,
  head: record.head ?? null,
  turns: record.turns,
  metadata: record.metadata,
  branched_from:
    record.origin === undefined ? null : { session_id: record.origin.session, turn_id: record.origin.turn },
  created_at: new Date(record.createdAt).toISOString(),
  updated_at: new Date(record.updatedAt).toISOString(),
});

type Filters = Omit<z.infer<typeof filters>, "limit" | "after">;

/** The filter of a list. `query`: all parameters, for the `metadata[key]` pairs. */
function filterOf(
  { status, created_after: from, created_before: before }: Filters,
  after: string | undefined,
  query: Record<string, string>,
): SessionFilter {
  const pairs = Object.entries(query).filter(([name]) => name.startsWith(METADATA));
  const unknown = Object.keys(query).find((name) => !name.startsWith(METADATA) && !(name in filters.shape));
  if (unknown !== undefined)
    throw invalid(unknown, `expected one of ${Object.keys(filters.shape).join(", ")}, metadata.KEY`);
  return {
    metadata: Object.fromEntries(pairs.map(([name, text]) => [name.slice(METADATA.length), text])),
    ...(status !== undefined && { status }),
    ...(from !== undefined && { createdFrom: timeIn(from, "created_after") }),
    ...(before !== undefined && { createdBefore: timeIn(before, "created_before") }),
    ...(after !== undefined && { after: parseCursor(after) }),
  };
}

const METADATA = "metadata.";

/** The position after a session in the list: newest first, then by id, since two may be created in the same millisecond. */
const cursorOf = ({ createdAt, id }: SessionRecord): string => `${createdAt}.${id}`;

function parseCursor(cursor: string): { createdAt: number; id: string } {
  const found = /^(\d{1,16})\.(sess_.+)$/.exec(cursor);
  if (found === null) throw invalid("after", "expected the last_id of the previous page");
  return { createdAt: Number(found[1]), id: found[2]! };
}
