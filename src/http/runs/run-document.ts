import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { interruptRequest, replayRunRequest, resumeRequest } from "../../runs/api/requests.ts";
import { runRequest } from "../../runs/state/definition.ts";
import { openObject } from "../openapi/json-schema.ts";
import { describedResponse, errorResponses, jsonBody, optionalJsonBody, parameter } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

/** The id of a run. */
const params = z.object({ id: z.string() });

/** What can be read of a run, by the last part of its path. */
export const PARTS = {
  steps: { do: "steps", of: "RunStep", summary: "Lists the steps of a run" },
  events: { do: "events", of: "RunEntry", summary: "Lists what has happened in a run" },
  checkpoints: { do: "checkpoints", of: "Checkpoint", summary: "Lists the checkpoints of a run" },
  "tool-executions": { do: "executions", of: "ToolExecution", summary: "Lists the executions of a run's tools" },
} as const;

/** What can be done with a run: `POST /v1/runs/{id}:{verb}`. */
const VERBS = {
  resume: { request: resumeRequest, summary: "Resumes a run, with results of the client's tools" },
  interrupt: { request: interruptRequest, summary: "Pauses a run, or gives it another message" },
  replay: {
    request: replayRunRequest,
    summary: "Replays a run in a branch of its session, perhaps with another model",
  },
  cancel: { request: z.strictObject({}).openapi("CancelRunRequest"), summary: "Cancels a run" },
} as const;

/** The events of docs/runs.md. */
const STREAM = { description: "Server-sent events", content: { "text/event-stream": { schema: openObject } } };

/** Describes the routes of runs whose paths no schema can. */
export function documentRuns(registry: OpenAPIHono<AppEnv>["openAPIRegistry"]): void {
  const create = { request: { body: jsonBody(runRequest) } };
  registry.registerPath({
    method: "post",
    path: "/v1/runs",
    operationId: "runs.create",
    summary: "Creates a run and returns it when it has ended or waits",
    ...create,
    responses: { 200: describedResponse("The run", "Run"), ...errorResponses(400, 404, 409) },
  });
  registry.registerPath({
    method: "post",
    path: "/v1/runs:stream",
    operationId: "runs.createStream",
    summary: "Creates a run and streams its events",
    ...create,
    responses: { 200: STREAM, ...errorResponses(400, 404, 409) },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/runs/{id}:stream",
    operationId: "runs.stream",
    summary: "Resumes the stream of a run; that of a plain call is in the call's own format",
    parameters: [parameter("RunId"), parameter("After"), parameter("LastEventId")],
    responses: { 200: STREAM, ...errorResponses(400, 404) },
  });
  for (const [verb, { request, summary }] of Object.entries(VERBS))
    registry.registerPath({
      method: "post",
      path: `/v1/runs/{id}:${verb}`,
      operationId: `runs.${verb}`,
      summary,
      request: { params, body: optionalJsonBody(request) },
      responses: { 200: describedResponse("The run", "Run"), ...errorResponses(400, 404, 409) },
    });
  for (const [part, { of, summary }] of Object.entries(PARTS))
    registry.registerPath({
      method: "get",
      path: `/v1/runs/{id}/${part}`,
      operationId: `runs.${part.replace(/-(.)/, (_, letter: string) => letter.toUpperCase())}.list`,
      summary,
      request: { params },
      responses: { 200: describedResponse("The list", `${of}Page`), ...errorResponses(404) },
    });
  registry.registerPath({
    method: "get",
    path: "/v1/runs/{id}/tool-executions/{execution}",
    operationId: "runs.toolExecutions.get",
    summary: "Returns an execution of a tool with its result in full",
    request: { params: params.extend({ execution: z.string() }) },
    responses: { 200: describedResponse("The execution", "ToolExecution"), ...errorResponses(404) },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/runs/{id}/effective-request",
    operationId: "runs.effectiveRequest",
    summary: "Returns what a run goes on with, or what a plain call has sent: its call, tools, policy and limits",
    request: { params },
    responses: { 200: describedResponse("The request", "EffectiveRequest"), ...errorResponses(404) },
  });
}
