import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError } from "../../canonical/error.ts";
import { stubForId } from "../../platform/session-stubs.ts";
import { DISPOSITIONS, STAGES } from "../../shield/profile.ts";
import type { CallRecord } from "../../store/records.ts";
import { runIdOf } from "../../store/records.ts";
import { withPrefix } from "../../wire/id.ts";
import { withoutUndefined } from "../../wire/json.ts";
import { listOf } from "../openapi/pages.ts";
import { errorResponses, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { findKnownCall } from "../sessions/calls.ts";

const counts = z.record(z.string(), z.int()).optional();

const decision = z
  .object({
    id: z.string(),
    object: z.literal("safety.decision"),
    call_id: z.string(),
    run_id: z.string(),
    session_id: z.string(),
    tool_execution_id: z.string().optional().openapi({ description: "The tool whose result it is about" }),
    profile: z.string(),
    version: z.int().openapi({ description: "Of the profile; 0: the gateway's own" }),
    mode: z.enum(["observe", "enforce"]),
    stage: z.enum(STAGES),
    disposition: z.enum(DISPOSITIONS),
    values: counts.openapi({ description: "How many values of each kind were found; never a value" }),
    unscanned: counts.openapi({
      description: "How much could not be read: media, references, sealed items, whole bodies",
    }),
    signs: z.array(z.string()).optional().openapi({ description: "Signs of injected instructions" }),
    score: z.number().optional().openapi({ description: "All signs together, from 0 to 1" }),
    judgement: z
      .enum(["allow", "deny", "failed"])
      .optional()
      .openapi({ description: "What the profile's judge decided" }),
    created_at: z.string(),
  })
  .openapi("SafetyDecision");

const params = z.object({ id: z.string() });
const list = jsonResponse("The decisions", listOf(decision, "SafetyDecisionList"));

const routes = {
  get: createRoute({
    method: "get",
    path: "/v1/safety/decisions/{id}",
    operationId: "safety.decisions.get",
    summary: "Returns what the shield has decided at one stage of a call",
    request: { params },
    responses: { 200: jsonResponse("The decision", decision), ...errorResponses(404) },
  }),
  ofCall: createRoute({
    method: "get",
    path: "/v1/calls/{id}/safety-decisions",
    operationId: "calls.safetyDecisions.list",
    summary: "Lists what the shield has decided in a call",
    request: { params },
    responses: { 200: list, ...errorResponses(404) },
  }),
  ofRun: createRoute({
    method: "get",
    path: "/v1/runs/{id}/safety-decisions",
    operationId: "runs.safetyDecisions.list",
    summary: "Lists what the shield has decided in a run",
    request: { params },
    responses: { 200: list, ...errorResponses(404) },
  }),
};

/** What the shield has decided: one for each stage of a call in which something was found. Part of the call's record, which never changes. */
export function safetyDecisionRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(routes.get, async (c) => {
    const { id } = c.req.valid("param");
    const [, call, stage] = /^sdec_(.+)-([a-z_]+)$/.exec(id) ?? [];
    const all = call === undefined ? [] : await decisionsOf(c.env, c.var.caller.org, `call_${call}`, "call");
    const found = all.find((one) => one.stage === stage);
    if (found === undefined) throw new GatewayError("object.not_found", "there is no such safety decision");
    return c.json(found, 200);
  });
  app.openapi(routes.ofCall, async (c) => {
    const data = await decisionsOf(c.env, c.var.caller.org, c.req.valid("param").id, "call");
    return c.json({ object: "list" as const, data }, 200);
  });
  app.openapi(routes.ofRun, async (c) => {
    const { id } = c.req.valid("param");
    const { org } = c.var.caller;
    const data = (await decisionsOfRun(c, id)) ?? (await decisionsOf(c.env, org, id, "run"));
    return c.json({ object: "list" as const, data }, 200);
  });
}

/** What was decided in the steps of a run that the gateway has driven, and about results of its tools; undefined for a plain call. */
async function decisionsOfRun(c: Context<AppEnv>, id: string): Promise<ApiDecision[] | undefined> {
  const { caller } = c.var;
  const stub = stubForId(c.env.SESSIONS, "run", id);
  const read = async <T>(what: "show" | "steps" | "executions"): Promise<T | undefined> => {
    const answered = await stub?.run({ do: what, id }, caller);
    return answered?.ok === true ? await answered.json<T>() : undefined;
  };
  const run = await read<{ session_id: string }>("show");
  if (run === undefined) return undefined;
  const { data: steps = [] } = (await read<{ data: { step: number; call_id?: string }[] }>("steps")) ?? {};
  const calls = new Map(
    steps.flatMap(({ step, call_id: call }) => (call === undefined ? [] : [[step, call] as const])),
  );
  const known = await Promise.all([...calls.values()].map((call) => decisionsOf(c.env, caller.org, call, "call")));
  const { data: executions = [] } = (await read<{ data: ScreenedExecution[] }>("executions")) ?? {};
  const found = executions.flatMap(({ safety, step, id: execution, ended_at: endedAt = "" }) => {
    const at = {
      call: calls.get(step)!,
      run: id,
      sessionId: run.session_id,
      endedAt: Date.parse(endedAt),
    };
    return (safety?.decisions ?? []).map((one) => ({
      ...toApiDecision(one, { safety: safety!, ...at }),
      tool_execution_id: execution,
    }));
  });
  return [...known.flat(), ...found];
}

type ScreenedExecution = { id: string; step: number; safety?: Decided["safety"]; ended_at?: string };

type ApiDecision = z.infer<typeof decision>;

/** Throws `object.not_found` for an unknown call or run. */
async function decisionsOf(
  env: Cloudflare.Env,
  org: string,
  id: string,
  prefix: "call" | "run",
): Promise<ApiDecision[]> {
  const { safety, sessionId, endedAt = 0, ...call } = await findKnownCall(env, org, id, prefix);
  const at = { call: call.id, run: runIdOf(call), sessionId, endedAt };
  return (safety?.decisions ?? []).map((one) => toApiDecision(one, { safety: safety!, ...at }));
}

type Decided = {
  safety: NonNullable<CallRecord["safety"]>;
  call: string;
  run: string;
  sessionId: string;
  endedAt: number;
};

const toApiDecision = (
  { stage, disposition, ...found }: Decided["safety"]["decisions"][number],
  { safety: { profile, version, mode }, call, run, sessionId, endedAt }: Decided,
): ApiDecision =>
  withoutUndefined<ApiDecision>({
    id: `${withPrefix(call, "sdec")}-${stage}`,
    object: "safety.decision",
    call_id: call,
    run_id: run,
    session_id: sessionId,
    profile,
    version,
    mode,
    stage: stage as ApiDecision["stage"],
    disposition: disposition as ApiDecision["disposition"],
    ...found,
    created_at: new Date(endedAt).toISOString(),
  });
