import { OpenAPIHono } from "@hono/zod-openapi";
import { GatewayError } from "../canonical/error.ts";
import { getIsolateRouter, loadRouter } from "../platform/router.ts";
import { withPlainBody } from "../surfaces/body.ts";
import { toValidationError } from "../surfaces/validate.ts";
import { credentialRoutes } from "./admin/credentials.ts";
import { erasureRoutes } from "./admin/erasures.ts";
import { healthRoutes } from "./admin/health.ts";
import { keyRoutes } from "./admin/keys.ts";
import { meRoutes } from "./admin/me.ts";
import { organizationRoutes } from "./admin/organizations.ts";
import { recordRoutes } from "./admin/records.ts";
import { secretRoutes } from "./admin/secrets.ts";
import { sessionRetentionRoutes } from "./admin/session-retention.ts";
import { webhookRoutes } from "./admin/webhooks.ts";
import { ACCESS, accessOf } from "./admission/access.ts";
import { admit, authenticate } from "./admission/admit.ts";
import { completionRoutes } from "./endpoints/completions.ts";
import { countTokens, tokenCountRoutes } from "./endpoints/count-tokens.ts";
import { modelRoutes } from "./endpoints/models.ts";
import { batchEmbedContents, embedContent, relayedRoutes } from "./endpoints/relayed.ts";
import { infer } from "./inference/infer.ts";
import { GENERATION_PATHS, inferenceRoutes, requireAnthropicVersion } from "./inference/routes.ts";
import { storedCompletionRoutes } from "./openai/chat-completions.ts";
import { compactionRoutes } from "./openai/compact.ts";
import { conversationRoutes } from "./openai/conversations.ts";
import { responseRoutes } from "./openai/responses.ts";
import { responsesSocketRoutes } from "./openai/websocket.ts";
import { documentRoutes } from "./openapi-document.ts";
import { canonicalRequest } from "./request/canonical-path.ts";
import { isPreflight, allowedOrigin, preflightResponse, allowOrigin } from "./request/cors.ts";
import type { AppEnv, CallContext } from "./request/env.ts";
import { requestIdFor, toErrorResponse } from "./request/errors.ts";
import { runOnce } from "./request/idempotency.ts";
import { CachedRouter } from "./request/route-cache.ts";
import { checkpointRoutes } from "./runs/checkpoints.ts";
import { harnessRoutes } from "./runs/harnesses.ts";
import { runListRoutes } from "./runs/lists.ts";
import { mcpRoutes } from "./runs/mcp.ts";
import { runRoutes } from "./runs/runs.ts";
import { safetyDecisionRoutes } from "./safety/decisions.ts";
import { safetyProfileRoutes } from "./safety/profiles.ts";
import { callRoutes } from "./sessions/calls.ts";
import { sessionRoutes } from "./sessions/sessions.ts";
import { streamRoutes } from "./sessions/streams.ts";
import { sessionVerbRoutes } from "./sessions/verbs.ts";
import { sessionViewRoutes } from "./sessions/views.ts";
import { websocketRoutes } from "./sessions/websocket.ts";

/**
 * Handles every HTTP request: the path is made canonical, the caller is authenticated and authorised in one place, then
 * the route runs. Errors become responses in the shape of the route's clients; every response has an `x-request-id`.
 */
export async function handle(request: Request, env: Cloudflare.Env, ctx: CallContext): Promise<Response> {
  const response = await respond(request, env, ctx);
  if (!response.headers.has("x-request-id")) response.headers.set("x-request-id", requestIdFor(request));
  const origin = corsOrigin(request, env);
  if (origin !== undefined) allowOrigin(origin, response);
  return response;
}

async function respond(request: Request, env: Cloudflare.Env, ctx: CallContext): Promise<Response> {
  try {
    await loadRouter(env, (work) => ctx.waitUntil(work));
    const canonical = canonicalRequest(request);
    const generation = await generateDirectly(canonical, env, ctx);
    if (generation !== undefined) return generation;
    // Routes use nothing of the context but `waitUntil`.
    return respondToPreflight(canonical, env) ?? (await app.fetch(canonical, env, ctx as ExecutionContext));
  } catch (thrown) {
    return toErrorResponse(thrown, { path: new URL(request.url).pathname, request });
  }
}

/**
 * Handles the routes that nearly all calls take, without the router: the same functions in the same order. `undefined` for
 * every other request. A call with an idempotency key runs in the object of the key, which calls this entry again.
 */
async function generateDirectly(
  request: Request,
  env: Cloudflare.Env,
  ctx: CallContext,
): Promise<Response | undefined> {
  const path = request.method === "POST" ? pathOf(request.url) : "";
  const surface = GENERATION_PATHS.get(path);
  if (surface === undefined || request.headers.has("idempotency-key")) return undefined;
  try {
    const caller = await admit({ request, path, env, ctx }, ACCESS[`POST ${path}`]);
    if (surface === "messages") requireAnthropicVersion(request.headers);
    return await infer({ request, surface, caller, env, ctx });
  } catch (thrown) {
    // In the shape of the canonical path, which the client may have written in another way.
    return toErrorResponse(thrown, { path, request });
  }
}

/** The path in a URL that has a host. */
const pathOf = (url: string): string => /^[^:]+:\/\/[^/?#]*([^?#]*)/.exec(url)?.[1] ?? "";

/** The response to a CORS preflight from a configured origin; `undefined` for every other request. */
function respondToPreflight(request: Request, env: Cloudflare.Env): Response | undefined {
  if (!isPreflight(request) || corsOrigin(request, env) === undefined) return undefined;
  const methods = methodsAt(new URL(request.url).pathname);
  return methods.length === 0 ? undefined : preflightResponse(request, methods);
}

const corsOrigin = (request: Request, env: Cloudflare.Env): string | undefined =>
  allowedOrigin(request, getIsolateRouter(env).config.cors.origins);

const app = new OpenAPIHono<AppEnv>({
  router: new CachedRouter(),
  defaultHook: (result) => {
    if (!result.success) throw toValidationError(result.error);
  },
});

app.use("*", async (c, next) => {
  const access = accessOf(c);
  const arrival = { request: c.req.raw, path: c.req.path, env: c.env, ctx: c.executionCtx };
  if (access !== "public") {
    c.set("reauthenticate", () => authenticate(arrival, access));
    c.set("caller", await admit(arrival, access));
  }
  // Routes that call models read their bodies themselves, as far as there is capacity; those of others are read by Hono.
  if (access !== "inference") c.req.raw = await withPlainBody(c.req.raw);
  const key = c.req.method === "POST" ? c.req.header("idempotency-key") : undefined;
  return key === undefined ? await next() : await runOnce(c, key);
});

app.get("/healthz", (c) => c.text("ok"));
inferenceRoutes(app, { embedContent, batchEmbedContents, countTokens });
completionRoutes(app);
relayedRoutes(app);
tokenCountRoutes(app);
compactionRoutes(app);
modelRoutes(app);
responseRoutes(app);
storedCompletionRoutes(app);
conversationRoutes(app);
responsesSocketRoutes(app);
sessionRoutes(app);
healthRoutes(app);
recordRoutes(app);
sessionViewRoutes(app);
sessionVerbRoutes(app);
streamRoutes(app);
callRoutes(app);
runRoutes(app);
runListRoutes(app);
checkpointRoutes(app);
mcpRoutes(app);
harnessRoutes(app);
websocketRoutes(app);
keyRoutes(app);
organizationRoutes(app);
erasureRoutes(app);
sessionRetentionRoutes(app);
credentialRoutes(app);
secretRoutes(app);
webhookRoutes(app);
safetyProfileRoutes(app);
safetyDecisionRoutes(app);
meRoutes(app);
documentRoutes(app);

app.notFound((c) => {
  const methods = methodsAt(c.req.path);
  if (methods.length === 0) throw new GatewayError("route.not_found", "there is no such route");
  const error = new GatewayError("request.invalid", `method: expected ${methods.join(" or ")}`, {
    param: "method",
    status: 405,
  });
  const response = toErrorResponse(error, { path: c.req.path, request: c.req.raw });
  response.headers.set("allow", methods.join(", "));
  return response;
});
app.onError((thrown, c) => toErrorResponse(thrown, { path: c.req.path, request: c.req.raw }));

/** The methods that have a route at this path. Middleware matches every method and path and is left out. */
const methodsAt = (path: string): string[] =>
  ["GET", "POST", "PATCH", "PUT", "DELETE"].filter((method) => findRoute(method, path) !== undefined);

/** The pattern of the route that handles this method at this path. */
export const findRoute = (method: string, path: string): string | undefined =>
  app.router.match(method, path)[0].find(([[, route]]) => route.method === method)?.[0][1].path;

/** All routes, for the tests that each has an entry in the access table and in `/openapi.json`. */
export const routes = (): { method: string; path: string }[] =>
  app.routes.map(({ method, path }) => ({ method, path }));
