import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { BLOCK_FORMATS } from "../../session/history/views.ts";
import type { CallState } from "../../session/calls.ts";
import { withPrefix } from "../../wire/id.ts";
import { call, run, runOf, toApiCall } from "./calls.ts";
import { sendCommand } from "./command.ts";
import type { AppEnv } from "../request/env.ts";
import { listOf, toPage, pageOf, pageOfIds } from "../openapi/pages.ts";
import { errorResponses } from "../openapi/schemas.ts";
import { sessionParams as params } from "./sessions.ts";

const block = z.looseObject({}).openapi("Block");
const entry = z.looseObject({ id: z.string(), type: z.string(), created_at: z.string() }).openapi("TimelineEntry", {
  description: "A turn, a call that became none (with its status and what came of it), or a change of the session.",
});
const lineage = z
  .looseObject({
    object: z.literal("lineage"),
    session_id: z.string(),
    head: z.string().nullable(),
    turns: z.array(z.looseObject({ id: z.string(), parent_id: z.string().nullable(), in_head: z.boolean() })),
  })
  .openapi("Lineage");
const snapshot = z.looseObject({ object: z.literal("snapshot"), name: z.string(), turn_id: z.string().nullable() });

const read = <T extends z.ZodType>(description: string, schema: T) => ({
  200: { description, content: { "application/json": { schema } } },
  ...errorResponses(400, 404),
});

const routes = {
  blocks: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/blocks",
    summary: "The continuity head: what the model sees next",
    request: { params, query: z.object({ format: z.enum(BLOCK_FORMATS).default("native") }) },
    responses: read(
      "Blocks, or the messages of a wire; beside them its member for the system text, where it has one",
      listOf(block).extend({ system: z.unknown().optional(), systemInstruction: z.unknown().optional() }),
    ),
  }),
  timeline: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/timeline",
    summary: "Everything that happened in a session",
    request: {
      params,
      query: z.object({
        limit: z.coerce.number().int().min(1).max(10_000).optional(),
        after: z.string().optional().openapi({ description: "The id of the last entry that is known." }),
      }),
    },
    responses: read(
      "Turns, calls and changes in order",
      z.object({ object: z.literal("list"), data: z.array(entry), has_more: z.boolean() }),
    ),
  }),
  lineage: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/lineage",
    summary: "Where a session comes from, all its turns, and what branched off",
    request: { params },
    responses: read("Lineage", lineage),
  }),
  snapshots: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/snapshots",
    summary: "The places of a session that have a name",
    request: { params },
    responses: read("Snapshots", listOf(snapshot)),
  }),
  calls: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/calls",
    summary: "The calls of a session, the oldest first",
    request: { params, query: pageOfIds("call") },
    responses: read("A page of calls", pageOf(call)),
  }),
  runs: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/runs",
    summary: "The runs of a session, the oldest first; a plain call is a run of one call",
    request: { params, query: pageOfIds("run") },
    responses: read("A page of runs", pageOf(run)),
  }),
};

export function sessionViewRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.blocks, (c) =>
    sendCommand(c, c.req.valid("param").id, { do: "blocks", format: c.req.valid("query").format }),
  );
  app.openapi(routes.timeline, (c) =>
    sendCommand(c, c.req.valid("param").id, { do: "timeline", ...c.req.valid("query") }),
  );
  app.openapi(routes.lineage, (c) => sendCommand(c, c.req.valid("param").id, { do: "lineage" }));
  app.openapi(routes.snapshots, (c) => sendCommand(c, c.req.valid("param").id, { do: "snapshots" }));
  app.openapi(routes.calls, async (c) => {
    const { limit, after } = c.req.valid("query");
    const states = await (
      await sendCommand(c, c.req.valid("param").id, { do: "calls", after, limit: limit + 1 })
    ).json<CallState[]>();
    return c.json(toPage(states.map(toApiCall), limit), 200);
  });
  app.openapi(routes.runs, async (c) => {
    const { limit, after } = c.req.valid("query");
    const known = after === undefined ? undefined : withPrefix(after, "call");
    const states = await (
      await sendCommand(c, c.req.valid("param").id, { do: "calls", after: known, limit: limit + 1 })
    ).json<CallState[]>();
    return c.json(toPage(states.map(toApiCall).map(runOf), limit), 200);
  });
}
