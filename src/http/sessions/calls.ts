import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { GatewayError } from "../../canonical/error.ts";
import { encodeUsage } from "../../dialects/native/usage.ts";
import { discardedCostMicros } from "../../gateway/call/attempt-cost.ts";
import { stubForId } from "../../platform/session-stubs.ts";
import type { CallState } from "../../session/calls.ts";
import { findCall } from "../../store/record-store.ts";
import { type Attempt, type CallRecord, runIdOf, stopReasonOf } from "../../store/records.ts";
import { withPrefix } from "../../wire/id.ts";
import { withoutUndefined } from "../../wire/json.ts";
import { describedResponse, errorResponses } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

/** A call as the API returns it. The component `Call` describes the members. */
type ApiCall = { id: string; session_id: string; run_id: string; status: string; created_at: string } & Members;

type Members = Record<string, unknown>;

const params = z.object({ id: z.string() });

const routes = {
  call: createRoute({
    method: "get",
    path: "/v1/calls/{id}",
    operationId: "calls.get",
    summary: "Returns a call and its result",
    request: { params },
    responses: {
      200: describedResponse("The call", "Call"),
      ...errorResponses(404),
    },
  }),
};

/** Calls and runs of a session, newest first, and single ones by id, also of sessions that were deleted. */
export function callRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.call, async (c) =>
    c.json(await find(c.env, c.var.caller.org, c.req.valid("param").id, "call"), 200),
  );
}

export const toApiCall = (state: CallState): ApiCall => toApiRecord(toKnownCall(state));

/** What is known of a call in its session's object. */
export const toKnownCall = ({ record, started, status }: CallState): KnownCall =>
  record ?? ({ ...started, status } as KnownCall);

const find = async (...at: Parameters<typeof findKnownCall>): Promise<ApiCall> =>
  toApiRecord(await findKnownCall(...at));

/**
 * Looks the call up in its session, which knows it at once, then in D1, which still knows calls of deleted sessions. Throws
 * `object.not_found`.
 */
export async function findKnownCall(
  env: Cloudflare.Env,
  org: string,
  id: string,
  prefix: "call" | "run",
): Promise<KnownCall> {
  const callId = withPrefix(id, "call");
  const known = await stubForId(env.SESSIONS, prefix, id)?.findCall(org, callId);
  if (known !== undefined) return toKnownCall(JSON.parse(known) as CallState);
  const record = id.startsWith(`${prefix}_`)
    ? await findCall({ d1: env.DB, bucket: env.BLOBS }, org, callId)
    : undefined;
  if (record === undefined) throw new GatewayError("object.not_found", `there is no such ${prefix}`);
  return record;
}

/** The record of an ended call, or the state of one that is running. */
export type KnownCall = Partial<CallRecord> &
  Pick<CallRecord, "id" | "sessionId" | "keyId" | "surface" | "modelAsked" | "createdAt">;

/** As the API returns it: snake_case, times in RFC 3339, unknown members absent. */
export function toApiRecord(record: KnownCall): ApiCall {
  const { usage, latency, attempts } = record;
  return withoutUndefined<ApiCall>({
    id: record.id,
    object: "call",
    run_id: runIdOf(record),
    session_id: record.sessionId,
    turn_id: record.turnId,
    key_id: record.keyId,
    surface: record.surface,
    stream: record.stream,
    context_mode: record.contextMode,
    status: record.status ?? "running",
    stop_reason: record.endedAt === undefined ? undefined : stopReasonOf(record as CallRecord),
    finish_reason: record.finishReason,
    model_asked: record.modelAsked,
    model: record.model,
    provider: record.provider,
    usage: usage && encodeUsage(usage),
    cost_micros_usd: record.costMicrosUsd,
    latency_ms: latency && {
      gateway: latency.gateway,
      upstream_first_byte: latency.firstByte,
      total: latency.total,
    },
    wasted_cost_micros_usd: attempts && discardedCostMicros(attempts),
    attempts: attempts?.map(toApiAttempt),
    losses: record.losses,
    error: record.error,
    metadata: record.metadata,
    created_at: toTime(record.createdAt),
    ended_at: record.endedAt === undefined ? undefined : toTime(record.endedAt),
  });
}

const toApiAttempt = ({ startedAt, usage, costMicrosUsd, ...made }: Attempt): object =>
  withoutUndefined({
    ...made,
    started_at: toTime(startedAt),
    usage: usage && encodeUsage(usage),
    cost_micros_usd: costMicrosUsd,
  });

const toTime = (at: number): string => new Date(at).toISOString();
