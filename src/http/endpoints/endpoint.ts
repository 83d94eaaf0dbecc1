import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context as HttpContext } from "hono";
import type { z } from "zod";
import { invalid } from "../../canonical/error.ts";
import { callEndpoint, type EndpointCall } from "../../endpoints/call-endpoint.ts";
import { type Endpoint, requireOpenai, type JsonRequest } from "../../endpoints/endpoint.ts";
import { readForm } from "../../endpoints/form.ts";
import type { Call } from "../../gateway/call/call.ts";
import { toRoutingRequest } from "../../gateway/route.ts";
import type { CallShield } from "../../gateway/shield/call-shield.ts";
import { screenText } from "../../gateway/shield/screen-text.ts";
import { requireSurface } from "../../keys/permissions.ts";
import { newCallIds } from "../../platform/journal-stubs.ts";
import { getIsolateRouter } from "../../platform/router.ts";
import { shieldFor } from "../../platform/safety.ts";
import { requireStub, sessionObjectId, type SessionStub } from "../../platform/session-stubs.ts";
import { findCandidates } from "../../routing/candidates.ts";
import type { Target } from "../../routing/locate.ts";
import { sessionNotFound } from "../../session/session.ts";
import { readText } from "../../surfaces/body.ts";
import { parseJsonField, readMembers, type RequestText } from "../../surfaces/request.ts";
import { validate } from "../../surfaces/validate.ts";
import { newId } from "../../wire/id.ts";
import { isObject, type JsonObject, stringOf } from "../../wire/json.ts";
import { loadCallerProviders } from "../admission/providers.ts";
import { queryFor } from "../inference/infer.ts";
import { createStatelessHost } from "../inference/stateless.ts";
import { requireStorable } from "../inference/storable.ts";
import { ref } from "../openapi/json-schema.ts";
import { type Content, errorResponses, type Reference } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

type Http = HttpContext<AppEnv>;

/** Handles a JSON request of a non-generation endpoint. `named`: the model, where it is in the path. Throws the first error of the request. */
export async function callJson(c: Http, endpoint: Endpoint, named?: string): Promise<Response> {
  return await callRead(c, endpoint, await readJson(c, endpoint, named));
}

export async function callRead(
  c: Http,
  { id, surface, prepare, isEarly = false }: Endpoint,
  request: JsonRequest,
): Promise<Response> {
  const shield = await shieldOf(c, request.rhone);
  const screened = screenText(request, shield);
  const shown = screened === request ? request : { ...screened, ...readBody(screened.text) };
  const { model, rhone, body } = shown;
  const stream = body.stream === true || body.stream_format === "sse";
  return await startEndpointCall(c, {
    id,
    request: { surface, model, rhone, stream },
    shield,
    isEarly,
    prepare: (target) => {
      const { text, losses = [], ...prepared } = prepare(shown, target);
      return { ...prepared, target, body: { text }, losses };
    },
  });
}

/** Handles a multipart form with the model of its `model` field. */
export async function callForm(c: Http, { id, surface }: Endpoint, path: string): Promise<Response> {
  const headers = c.req.raw.headers;
  const { rhone } = readMembers("{}", headers);
  const shield = await shieldOf(c, rhone);
  shield?.addUnscannedBody();
  const form = await readForm(c.req.raw, headers.get("x-rhone-model") ?? c.req.query("model"));
  try {
    return await startEndpointCall(c, {
      id,
      request: { surface, model: form.model, rhone, stream: false },
      shield,
      prepare: (target) => {
        requireOpenai(target, path);
        const body = { contentType: form.contentType, open: () => form.open(target.model) };
        return { target, path, body, losses: [] };
      },
      canRepeat: form.canRepeat,
    });
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
  const opened = readMembers(await readText(c.req.raw), c.req.raw.headers);
  const whole = parseJsonField(opened.text, "body");
  if (!isObject(whole)) throw invalid("body", "expected a JSON object");
  validate(request, whole, []);
  const { body } = readBody(opened.text);
  const model = opened.rhone.routing?.model ?? named ?? stringOf(body.model) ?? defaultModel ?? "";
  if (model === "") throw invalid("model", "expected the name of a model");
  return { ...opened, body, model };
}

/** The request's JSON without `rhone`. */
function readBody(text: string): Pick<JsonRequest, "body"> {
  const { rhone: _, ...body } = parseJsonField(text, "body") as JsonObject;
  return { body };
}

/** What may not pass in a call of an endpoint. */
export const shieldOf = (c: Http, { safety: requested }: RequestText["rhone"]): Promise<CallShield | undefined> =>
  shieldFor(
    c.env,
    { caller: c.var.caller, requested, query: queryFor({ caller: c.var.caller, env: c.env, ctx: c.executionCtx }) },
    (work) => c.executionCtx.waitUntil(work),
  );

/** The target that a request prefers. Throws `model.not_found`. */
export async function targetOf(
  c: Http,
  request: Pick<EndpointCall["request"], "model" | "rhone" | "surface">,
): Promise<Target> {
  const { config } = getIsolateRouter(c.env);
  const providers = await loadCallerProviders(c);
  const { all } = await findCandidates(toRoutingRequest(request), request.surface.dialect.id, { config, providers });
  return all[0].target;
}

/** Handles a call under a session, as a stateless call. It is recorded after the client has its answer. */
export async function startEndpointCall(
  c: Http,
  { shield, ...endpoint }: Omit<EndpointCall, "call"> & { shield: CallShield | undefined },
): Promise<Response> {
  const createdAt = Date.now();
  const { env, executionCtx: ctx } = c;
  const { caller } = c.var;
  requireSurface(caller, endpoint.id);
  const known = endpoint.request.rhone.session_id;
  const isNew = known === undefined;
  const { rhone } = endpoint.request;
  requireStorable(rhone, { needsSession: !isNew, ctx });
  const at = isNew ? undefined : { sessionId: known, objectId: sessionObjectId(env.SESSIONS, caller.org, known) };
  const { objectId, ...ids } =
    at === undefined ? newCallIds(env, createdAt, true) : { ...at, id: newId("call", createdAt, at.objectId) };
  const stub = (): SessionStub => requireStub(env.SESSIONS, objectId);
  if (!isNew && !(await stub().has(caller.org))) throw sessionNotFound();
  const { headers, signal: clientLeft } = c.req.raw;
  const call: Call = { ...ids, caller, headers, annotate: false, createdAt, contextMode: "stateless" };
  const providers = await loadCallerProviders(c);
  const host = createStatelessHost({
    org: caller.org,
    stub,
    isNew,
    isJournaled: isNew,
    env,
    ctx,
    providers,
    shield,
    clientLeft,
    rhone,
  });
  return await callEndpoint({ ...endpoint, call }, host);
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
