import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, toGatewayError } from "../../canonical/error.ts";
import { INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND } from "../../mcp/mcp-error.ts";
import type { McpAnswer } from "../../mcp/messages.ts";
import { paramHeadersOf } from "../../mcp/param-headers.ts";
import { Refusal } from "../../mcp/server/refusal.ts";
import { type ClientRequest, mismatch, readClientMessage } from "../../mcp/server/request.ts";
import { DISCOVERED, toCallResult, toInitialized, toInputRequired, toToolList } from "../../mcp/server/results.ts";
import { definingServicesFor, findDefaultHarness } from "../../platform/harnesses.ts";
import { newCallIds } from "../../platform/journal-stubs.ts";
import { getIsolateRouter } from "../../platform/router.ts";
import { stubForId } from "../../platform/session-stubs.ts";
import type { RunCommand } from "../../runs/api/run-api.ts";
import type { ToolCallOutcome } from "../../runs/api/tool-calls.ts";
import { toToolBox } from "../../runs/create-run.ts";
import { defineRun } from "../../runs/define-run.ts";
import { effectOf, type GatewayTool, toModelTool } from "../../runs/state/tool.ts";
import { readText } from "../../surfaces/body.ts";
import { newId } from "../../wire/id.ts";
import { isObject, type Json, type JsonObject, lookUp, parseJson, stringOf } from "../../wire/json.ts";
import { errorResponses, jsonBody, jsonResponse } from "../openapi/responses.ts";
import { allowedOrigin } from "../request/cors.ts";
import type { AppEnv } from "../request/env.ts";
import { answer } from "./answer.ts";

/** A request on a path of the server. */
type Http = Context<AppEnv>;

/** What one method answers. */
type Method = (c: Http, request: ClientRequest) => JsonObject | Promise<JsonObject>;

/**
 * The gateway as a server of the Model Context Protocol (Streamable HTTP, without sessions): the tools of a harness, or its own. A call is a
 * run of its own, with the harness's policy and with records as every run.
 */
export function mcpRoutes(app: OpenAPIHono<AppEnv>): void {
  app.post("/mcp", (c) => serve(c));
  app.post("/mcp/:harness", (c) => serve(c));
  const message = z.looseObject({ jsonrpc: z.literal("2.0"), method: z.string().optional() }).openapi("McpMessage");
  const answered = z.looseObject({ jsonrpc: z.literal("2.0") }).openapi("McpAnswer");
  const described = {
    method: "post",
    summary: "Serves a request of the Model Context Protocol; notifications get 202",
    responses: {
      200: jsonResponse("The answer", answered),
      ...errorResponses(400),
    },
  } as const;
  const body = jsonBody(message);
  const params = z.object({ harness: z.string() });
  const { openAPIRegistry: registry } = app;
  registry.registerPath({ ...described, path: "/mcp", operationId: "mcp.serve", request: { body } });
  registry.registerPath({
    ...described,
    path: "/mcp/{harness}",
    operationId: "mcp.serveHarness",
    request: { params, body },
  });
}

/** Answers one message. What goes wrong in it is an error of JSON-RPC; who may not come in at all gets one of HTTP. */
async function serve(c: Http): Promise<Response> {
  requireOrigin(c);
  let request: ClientRequest | undefined;
  try {
    request = readClientMessage(await readText(c.req.raw), c.req.raw.headers);
    if (request === undefined) return c.body(null, 202);
    const { id, method, isModern } = request;
    const handle = lookUp(METHODS, method);
    if (handle === undefined)
      throw new Refusal(METHOD_NOT_FOUND, `no method ${method}`, { status: isModern ? 404 : 200 });
    return Response.json({ jsonrpc: "2.0", id, result: await handle(c, request) });
  } catch (thrown) {
    if (thrown instanceof Refusal) return thrown.toResponse(thrown.id ?? request?.id);
    const { code, message } = toGatewayError(thrown);
    if (code === "internal") throw thrown;
    return new Refusal(INTERNAL_ERROR, message, { data: { code } }).toResponse(request?.id);
  }
}

/** Throws `auth.forbidden` for a page of another origin than the deployment allows (MCP 2026-07-28, "Security"). */
function requireOrigin({ req, env }: Http): void {
  const { origins } = getIsolateRouter(env).config.cors;
  if (req.header("origin") !== undefined && allowedOrigin(req.raw, origins) === undefined)
    throw new GatewayError("auth.forbidden", "this origin may not use the gateway: cors.origins lists those that may");
}

/** The methods that clients need for tools. Those of a modern server and of an older one do not get in each other's way. */
const METHODS: Record<string, Method> = {
  "server/discover": () => DISCOVERED,
  initialize: (_, { params }) => toInitialized(params.protocolVersion),
  ping: () => ({}),
  "tools/list": async (c) => toToolList((await listTools(c)).map(toOffered)),
  "tools/call": callTool,
};

/** The tools that the gateway executes for the caller. */
async function listTools(c: Http): Promise<GatewayTool[]> {
  const services = definingServicesFor(c.env, (work) => c.executionCtx.waitUntil(work));
  const { tools } = await defineRun(toToolBox(await harnessOf(c)), c.var.caller, services);
  return tools.filter((tool) => tool.type !== "function");
}

/** The harness whose tools are served; by default the one of the key. */
const harnessOf = async (c: Http): Promise<string | undefined> =>
  c.req.param("harness") ?? (await findDefaultHarness(c.env, c.var.caller, (work) => c.executionCtx.waitUntil(work)));

/** A tool as clients are shown it: what a model sees, and whether it only reads. */
function toOffered(tool: GatewayTool): Parameters<typeof toToolList>[0][number] {
  const {
    name,
    description,
    parameters = { type: "object" },
  } = toModelTool(tool) as {
    name: string;
    description?: string;
    parameters?: JsonObject;
  };
  const isReadOnly = effectOf(tool) === "read_only";
  return { name, ...(description !== undefined && { description }), inputSchema: parameters, isReadOnly };
}

/** Calls a tool. One that waits for people gets their answers through the client, if that may ask them and the key may decide. */
async function callTool(c: Http, request: ClientRequest): Promise<JsonObject> {
  const { params, asksPeople, isModern } = request;
  const name = stringOf(params.name);
  if (name === undefined) throw new Refusal(INVALID_PARAMS, "params.name: expected a text");
  if (isModern) await checkParamHeaders(c, request, name);
  const outcome = await perform(c, await toCommand(c, request, name));
  const { run, status, text, questions } = outcome;
  if (status === "unknown_tool") throw new Refusal(INVALID_PARAMS, text);
  if (status === "waiting" && isModern && asksPeople && questions.length > 0) return toInputRequired(questions, run);
  return toCallResult(text, outcome);
}

/** A new call; with answers one that goes on. */
async function toCommand(c: Http, { params, args }: ClientRequest, name: string): Promise<RunCommand & { id: string }> {
  const state = stringOf(params.requestState);
  if (state !== undefined) return { do: "answer", id: state, name, args, answers: readAnswers(params.inputResponses) };
  const createdAt = Date.now();
  const { objectId, sessionId } = newCallIds(c.env, createdAt, false);
  const address = c.req.header("cf-connecting-ip");
  const harness = await harnessOf(c);
  const id = newId("run", createdAt, objectId);
  const facts = { ...(address !== undefined && { address }), ...(harness !== undefined && { harness }) };
  return { do: "call", id, sessionId, isNew: true, name, args, ...facts };
}

/** Answers by the keys of their questions. What is no acceptance declines. */
function readAnswers(given: Json | undefined): Record<string, McpAnswer> {
  if (!isObject(given)) return {};
  const answers = Object.entries(given).map(([key, answer]): [string, McpAnswer] => {
    if (!isObject(answer) || answer.action !== "accept") return [key, { action: "decline" }];
    return [key, { action: "accept", ...(isObject(answer.content) && { content: answer.content }) }];
  });
  return Object.fromEntries(answers);
}

/** Performs a call in the object of its run. Throws `Refusal` for a state that leads nowhere. */
async function perform(c: Http, command: RunCommand & { id: string }): Promise<ToolCallOutcome> {
  const stub = stubForId(c.env.SESSIONS, "run", command.id);
  if (stub === undefined)
    throw new Refusal(INVALID_PARAMS, "params.requestState: expected the state of a call that waits");
  try {
    return await (await answer(stub, command, c)).json<ToolCallOutcome>();
  } catch (thrown) {
    const isForeign = thrown instanceof GatewayError && thrown.code === "object.not_found" && command.do === "answer";
    throw isForeign ? new Refusal(INVALID_PARAMS, `params.requestState: ${thrown.message}`) : thrown;
  }
}

/** Parameters that a tool has mirrored to headers must be the same there (MCP 2026-07-28, "Server behavior for custom headers"). */
async function checkParamHeaders(c: Http, { id, args }: ClientRequest, name: string): Promise<void> {
  const tool = (await listTools(c)).find((one) => one.name === name);
  const parsed = parseJson(args);
  if (tool === undefined || !isObject(parsed)) return;
  const expected = paramHeadersOf(toOffered(tool).inputSchema, parsed);
  const wrong = Object.keys(expected).find((header) => c.req.header(header) !== expected[header]);
  if (wrong !== undefined) throw mismatch(id, wrong);
}
