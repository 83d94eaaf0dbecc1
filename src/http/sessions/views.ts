import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { stubForId } from "../../platform/session-stubs.ts";
import type { CallState } from "../../session/calls.ts";
import { BLOCK_FORMATS } from "../../session/history/views.ts";
import { runIdOf } from "../../store/records.ts";
import { withPrefix } from "../../wire/id.ts";
import { toPage, pageOfIds } from "../openapi/pages.ts";
import { describedResponse, errorResponses } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { type KnownCall, toApiCall, toKnownCall } from "./calls.ts";
import { sendCommand } from "./command.ts";
import { showPlainRun } from "./run-views.ts";
import { sessionParams as params } from "./sessions.ts";

/** The session's object makes these responses; components describe them. */
const read = (description: string, component: string) => ({
  200: describedResponse(description, component),
  ...errorResponses(400, 404),
});

const routes = {
  blocks: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/blocks",
    operationId: "sessions.blocks.list",
    summary: "Lists the input of the next call",
    request: { params, query: z.object({ format: z.enum(BLOCK_FORMATS).default("native") }) },
    responses: read("Blocks, or the messages of another API; system text in that API's own member", "BlockList"),
  }),
  timeline: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/timeline",
    operationId: "sessions.timeline.list",
    summary: "Lists the turns, calls and changes of the session, in order",
    request: {
      params,
      query: z.object({
        limit: z.coerce.number().int().min(1).max(10_000).optional(),
        after: z.string().optional().openapi({ description: "The id of the last entry that the client has." }),
      }),
    },
    responses: read("A page of the timeline", "TimelinePage"),
  }),
  lineage: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/lineage",
    operationId: "sessions.lineage.get",
    summary: "Returns the session's origin, turns and branches",
    request: { params },
    responses: read("The lineage", "Lineage"),
  }),
  snapshots: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/snapshots",
    operationId: "sessions.snapshots.list",
    summary: "Lists snapshots",
    request: { params },
    responses: read("The snapshots", "SnapshotList"),
  }),
  calls: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/calls",
    operationId: "sessions.calls.list",
    summary: "Lists the calls of the session, oldest first",
    request: { params, query: pageOfIds("call") },
    responses: read("A page of calls", "CallPage"),
  }),
  runs: createRoute({
    method: "get",
    path: "/v1/sessions/{id}/runs",
    operationId: "sessions.runs.list",
    summary: "Lists the runs of the session, oldest first; a plain call is a run of one call",
    request: { params, query: pageOfIds("run") },
    responses: read("A page of runs", "RunPage"),
  }),
};

/** Read-only views of a session: its next input, timeline, lineage and snapshots. */
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
    const { data, has_more } = toPage(states.map(toKnownCall), limit);
    const last = data.at(-1);
    const last_id = last === undefined ? null : withPrefix(last.id, "run");
    return c.json({ object: "list" as const, data: await toRuns(c, data), has_more, last_id }, 200);
  });
}

/** The runs of these calls: of a call that is a step, the run that the gateway drives, once. */
async function toRuns(c: Context<AppEnv>, calls: readonly KnownCall[]): Promise<object[]> {
  const own = Map.groupBy(calls, runIdOf);
  const shown = [...own].map(async ([id, [first]]) => {
    if (first!.runId === undefined) return showPlainRun(first!);
    const answered = await stubForId(c.env.SESSIONS, "run", id)?.run({ do: "show", id }, c.var.caller);
    return answered?.ok === true ? await answered.json<object>() : showPlainRun(first!);
  });
  return await Promise.all(shown);
}
