import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { clockStub } from "../../platform/clock.ts";
import { listAllParts, type RecordPart } from "../../store/archive/parts.ts";
import type { TaskState } from "../../store/clock.ts";
import { errorResponses, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

/** A task that starts later than this after it was due is late. Milliseconds. */
const LATE_MS = 5 * 60_000;

const time = z.string().nullable();

const task = z
  .object({
    name: z.string(),
    status: z.enum(["waiting", "running", "failed", "late"]).openapi({
      description: "failed: its last run has failed, or the process has ended in it; it is tried again at due_at",
    }),
    due_at: z.string(),
    started_at: time,
    ended_at: time,
    failures: z.int().openapi({ description: "In a row" }),
    error: z.string().nullable(),
  })
  .openapi("ClockTask");

const slice = z
  .object({
    object: z.literal("records.slice"),
    source: z.literal("calls"),
    organization: z.string(),
    start: z.string(),
    part: z.int(),
    state: z.enum(["writing", "sealed", "removed", "replaced"]).openapi({
      description:
        "writing: being written or not proven. sealed: read from its file. removed: D1 has its rows no more. replaced: to be deleted, as another part has what remains of it",
    }),
    file: z.string().openapi({ description: "Its key in R2" }),
    rows: z.int().nullable(),
    bytes: z.int().nullable(),
    sha256: z.string().nullable(),
    started_at: z.string(),
    sealed_at: time,
    removed_at: time,
  })
  .openapi("RecordSlice");

const slices = z
  .object({
    object: z.literal("records.slices"),
    database_bytes: z.int().openapi({ description: "Size of D1" }),
    tasks: z.array(task),
    data: z.array(slice).openapi({ description: "The newest first" }),
  })
  .openapi("RecordSlices");

const route = createRoute({
  method: "get",
  path: "/v1/records/slices",
  operationId: "records.slices.list",
  summary: "Returns the files of the record, of all organisations, and the state of periodic work",
  request: { query: z.object({ limit: z.coerce.number().int().min(1).max(1_000).default(100) }) },
  responses: {
    200: jsonResponse("The slices", slices),
    ...errorResponses(),
  },
});

/** `GET /v1/records/slices`: what is due, late and failed of the periodic work, and the newest files of the record. */
export function recordRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(route, async (c) => {
    const { DB } = c.env;
    const [tasks, parts, size] = await Promise.all([
      clockStub(c.env).tasks(),
      listAllParts(DB, c.req.valid("query").limit),
      DB.prepare("SELECT 1").run(),
    ]);
    const database_bytes = size.meta.size_after;
    const data = parts.map(toApiSlice);
    return c.json({ object: "records.slices" as const, database_bytes, tasks: tasks.map(toApiTask), data }, 200);
  });
}

const toTime = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

function toApiTask({ name, dueAt, startedAt, endedAt, failures, error }: TaskState): z.infer<typeof task> {
  const isRunning = startedAt !== null && startedAt > (endedAt ?? 0) && error === null && failures === 1;
  const status = isRunning ? "running" : failures > 0 ? "failed" : dueAt < Date.now() - LATE_MS ? "late" : "waiting";
  return {
    name,
    status,
    due_at: new Date(dueAt).toISOString(),
    started_at: toTime(startedAt),
    ended_at: toTime(endedAt),
    failures,
    error,
  };
}

const toApiSlice = (part: RecordPart): z.infer<typeof slice> => ({
  object: "records.slice",
  source: part.source,
  organization: part.org,
  start: new Date(part.slice).toISOString(),
  part: part.part,
  state: part.state,
  file: part.key,
  rows: part.rows,
  bytes: part.bytes,
  sha256: part.sha256,
  started_at: new Date(part.startedAt).toISOString(),
  sealed_at: toTime(part.sealedAt),
  removed_at: toTime(part.removedAt),
});
