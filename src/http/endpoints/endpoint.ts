import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context as HttpContext } from "hono";
import type { z } from "zod";
import { invalid } from "../../canonical/error.ts";
import { DIALECTS } from "../../dialects/index.ts";
import { callEndpoint, type EndpointHost } from "../../endpoints/call-endpoint.ts";
import { type Endpoint, requireOpenai, type JsonRequest } from "../../endpoints/endpoint.ts";
import { readForm } from "../../endpoints/form.ts";
import { CallLog } from "../../gateway/call/call-log.ts";
import { type Call } from "../../gateway/call/call.ts";
import { strictModeError } from "../../gateway/dispatch.ts";
import { requireModel, requireSurface } from "../../keys/permissions.ts";
import { newCallIds, enterInJournal } from "../../platform/journal-stubs.ts";
import { createBudgets } from "../../platform/key-stubs.ts";
import { sessionObjectId, requireStub } from "../../platform/session-stubs.ts";
import { locate, type Target } from "../../routing/locate.ts";
import { sessionNotFound } from "../../session/session.ts";
import { readText } from "../../surfaces/body.ts";
import type { Surface } from "../../surfaces/index.ts";
import { type ParsedRequest, parseJsonField, readMembers } from "../../surfaces/request.ts";
import { validate } from "../../surfaces/validate.ts";
import { newId } from "../../wire/id.ts";
import { isObject, stringOf } from "../../wire/json.ts";
import { loadCallerProviders } from "../admission/providers.ts";
import { ref } from "../openapi/json-schema.ts";
import { type Content, errorResponses, type Reference } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

type Http = HttpContext<AppEnv>;

/** Handles a JSON request of a non-generation endpoint. `named`: the model, where it is in the path. Throws the first error of the request. */
export async function callJson(c: Http, endpoint: Endpoint, named?: string): Promise<Response> {
  return await callRead(c, endpoint, await readJson(c, endpoint, named));
}

export async function callRead(c: Http, endpoint: Endpoint, request: JsonRequest): Promise<Response> {
  const { model, rhone, body } = request;
  const target = await targetOf(c, model, endpoint.surface);
  const { path, text, losses = [], translate } = endpoint.prepare(request, target);
  if (rhone.strict && losses.length > 0) throw strictModeError(losses[0]!.at);
  const { call, log, host } = await startEndpointCall(c, {
    surface: endpoint,
    model,
    rhone,
    stream: body.stream === true || body.stream_format === "sse",
  });
  log.target = target;
  log.losses.push(...losses);
  const providerDialect = DIALECTS[target.dialect];
  const endpointCall = { call, log, target, surface: endpoint.surface, providerDialect, path, body: { text } };
  return await callEndpoint({ ...endpointCall, ...(translate && { translate }) }, host);
}

/** Handles a multipart form, streamed to the provider of its `model` field. */
export async function callForm(c: Http, { id, surface }: Endpoint, path: string): Promise<Response> {
  const headers = c.req.raw.headers;
  const { rhone } = readMembers("{}", headers);
  const form = await readForm(c.req.raw, headers.get("x-rhone-model") ?? c.req.query("model"));
  try {
    const target = await targetOf(c, form.model, surface);
    requireOpenai(target, path);
    const { call, log, host } = await startEndpointCall(c, {
      surface: { id },
      model: form.model,
      rhone,
      stream: false,
    });
    log.target = target;
    const providerDialect = DIALECTS[target.dialect];
    return await callEndpoint(
      { call, log, target, surface, providerDialect, path, body: form.send(target.model) },
      host,
    );
  } finally {
    form.release();
  }
}

/** Whether the body is a multipart form. */
export const isForm = (c: Http): boolean => /^\s*multipart\//i.test(c.req.header("content-type") ?? "");

/** The validated body and its model; `rhone.routing.model` overrides the body's own. */
export async function readJson(
  c: Http,
  { request, defaultModel }: Pick<Endpoint, "request" | "defaultModel">,
  named?: string,
): Promise<JsonRequest> {
  const text = await readText(c.req.raw);
  const opened = readMembers(text, c.req.raw.headers);
  const whole = parseJsonField(text, "body");
  if (!isObject(whole)) throw invalid("body", "expected a JSON object");
  validate(request, whole, []);
  const { rhone: _, ...body } = whole;
  const model = opened.rhone.routing?.model ?? named ?? stringOf(body.model) ?? defaultModel ?? "";
  if (model === "") throw invalid("model", "expected the name of a model");
  return { ...opened, body, model };
}

export async function targetOf(c: Http, model: string, surface: Pick<Surface, "dialect">): Promise<Target> {
  const target = await locate(model, surface.dialect.id, await loadCallerProviders(c));
  requireModel(c.var.caller, model, target);
  return target;
}

type StartedEndpointCall = { call: Call; log: CallLog; host: EndpointHost };

/** Starts a call under a session, as for a stateless call. It is recorded after the client has its answer. */
export async function startEndpointCall(
  c: Http,
  request: Pick<ParsedRequest, "model" | "stream" | "rhone"> & { surface: { id: string } },
): Promise<StartedEndpointCall> {
  const createdAt = Date.now();
  const { env, executionCtx: ctx } = c;
  const { caller } = c.var;
  requireSurface(caller, request.surface.id);
  const waitUntil = (work: Promise<unknown>): void => ctx.waitUntil(work);
  const budgets = createBudgets(env, waitUntil);
  const known = request.rhone.session_id;
  const isNew = known === undefined;
  const at = isNew ? undefined : { sessionId: known, objectId: sessionObjectId(env.SESSIONS, caller.org, known) };
  const { objectId, ...named } =
    at === undefined ? newCallIds(env, createdAt, true) : { ...at, id: newId("call", createdAt, at.objectId) };
  const stub = requireStub(env.SESSIONS, objectId);
  if (!isNew && !(await stub.has(caller.org))) throw sessionNotFound();
  const { headers } = c.req.raw;
  const call = { ...named, caller, headers, annotate: false, createdAt };
  const host: EndpointHost = {
    now: Date.now,
    reserve: (requested) => budgets.reserve(call.id, caller, request.rhone.tags ?? [], requested),
    waitUntil,
    // A failure to store the record is logged and does not concern the client.
    record: async (record) => {
      budgets.settle(record);
      if (isNew && enterInJournal({ record }, undefined, { journals: env.JOURNALS, waitUntil })) return;
      await stub
        .record(JSON.stringify({ record, isNew }))
        .catch((cause: unknown) => console.error("call record not stored", call.id, cause));
    },
  };
  return { call, host, log: new CallLog(call, request, { contextMode: "stateless", now: Date.now }) };
}

type RouteDescription = {
  operationId: string;
  path: string;
  summary: string;
  json?: z.ZodType<object>;
  form?: boolean;
  parameters?: Reference[];
  description?: string;
  content: Content;
};

/** Describes the route in `/openapi.json`. Fields of a form other than its model are the provider's own. */
export function documentRoute(
  app: OpenAPIHono<AppEnv>,
  { operationId, path, summary, json, form, parameters, description, content }: RouteDescription,
): void {
  const accepted = {
    ...(json !== undefined && { "application/json": { schema: json } }),
    ...(form === true && { "multipart/form-data": { schema: ref("ModelForm") } }),
  };
  app.openAPIRegistry.registerPath({
    method: "post",
    path,
    operationId,
    summary,
    ...(parameters !== undefined && { parameters }),
    request: { body: { required: true, content: accepted } },
    responses: {
      200: { description: description ?? "The provider's response", content },
      ...errorResponses(400, 404, 409, 429),
    },
  });
}
