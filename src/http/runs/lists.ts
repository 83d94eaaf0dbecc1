import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { invalid } from "../../canonical/error.ts";
import { CHECKPOINT_STATUSES, RUN_STATUSES } from "../../runs/state/run.ts";
import { listRunRecords } from "../../store/run-list.ts";
import { listCheckpoints } from "../../store/run-records.ts";
import { withoutUndefined } from "../../wire/json.ts";
import { pageOfIds, timeIn, toPage } from "../openapi/pages.ts";
import { describedResponse, errorResponses } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { toListedRun } from "../sessions/run-views.ts";

/** Prefix of query parameters that filter by metadata. */
const METADATA = "metadata.";

/** Which runs are listed; all that is given must hold. */
const runFilters = pageOfIds("run").extend({
  status: z.enum(RUN_STATUSES).optional(),
  session_id: z.string().optional(),
  key_id: z.string().optional(),
  created_after: z.string().optional(),
  created_before: z.string().optional(),
});

/** And which checkpoints. */
const checkpointFilters = pageOfIds("ckpt").extend({
  status: z.enum(CHECKPOINT_STATUSES).optional(),
});

const routes = {
  runs: createRoute({
    method: "get",
    path: "/v1/runs",
    operationId: "runs.list",
    summary:
      "Lists the organisation's runs, newest first; a plain call is a run of one call; metadata.KEY=VALUE filters",
    request: { query: runFilters },
    responses: { 200: describedResponse("A page of runs", "RunPage"), ...errorResponses(400) },
  }),
  checkpoints: createRoute({
    method: "get",
    path: "/v1/checkpoints",
    operationId: "checkpoints.list",
    summary: "Lists the organisation's checkpoints, newest first",
    request: { query: checkpointFilters },
    responses: { 200: describedResponse("A page of checkpoints", "ListedCheckpointPage"), ...errorResponses(400) },
  }),
};

/** Lists over all sessions of an organisation, from their records: they follow a change within moments. */
export function runListRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.runs, async (c) => {
    const { limit, after, status, session_id, key_id, created_after, created_before } = c.req.valid("query");
    const found = await listRunRecords(c.env.DB, {
      org: c.var.caller.org,
      limit: limit + 1,
      before: after,
      status,
      sessionId: session_id,
      keyId: key_id,
      metadata: metadataIn(c.req.query()),
      from: created_after === undefined ? undefined : timeIn(created_after, "created_after"),
      to: created_before === undefined ? undefined : timeIn(created_before, "created_before"),
    });
    return c.json(toPage(found.map(toListedRun), limit) as never, 200);
  });
  app.openapi(routes.checkpoints, async (c) => {
    const { limit, after, status } = c.req.valid("query");
    const { org } = c.var.caller;
    const found = await listCheckpoints(c.env.DB, { org, limit: limit + 1, before: after, status });
    return c.json(toPage(found.map(toListedCheckpoint), limit) as never, 200);
  });
}

/** The pairs of `metadata.KEY=VALUE`. Throws `request.invalid` for a filter that does not exist. */
function metadataIn(query: Record<string, string>): Record<string, string> {
  const others = Object.keys(query).filter((name) => !(name in runFilters.shape));
  const unknown = others.find((name) => !name.startsWith(METADATA));
  if (unknown !== undefined)
    throw invalid(unknown, `expected one of ${Object.keys(runFilters.shape).join(", ")}, metadata.KEY`);
  return Object.fromEntries(others.map((name) => [name.slice(METADATA.length), query[name]!]));
}

const toTime = (at: number): string => new Date(at).toISOString();

/** A checkpoint as lists show it: without the arguments. */
const toListedCheckpoint = (checkpoint: Awaited<ReturnType<typeof listCheckpoints>>[number]): { id: string } =>
  withoutUndefined({
    id: checkpoint.id,
    object: "checkpoint",
    run_id: checkpoint.runId,
    session_id: checkpoint.sessionId,
    kind: checkpoint.kind,
    status: checkpoint.status,
    tool: checkpoint.tool ?? undefined,
    approver: checkpoint.approver,
    created_at: toTime(checkpoint.createdAt),
    expires_at: toTime(checkpoint.expiresAt),
  });
