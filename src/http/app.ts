import { OpenAPIHono } from "@hono/zod-openapi";
import type { HonoRequest } from "hono";
import { GatewayError } from "../canonical/error.ts";
import { admitBearer } from "../gateway/bearer.ts";
import type { Caller } from "../gateway/call.ts";
import { refusalOf } from "../gateway/checked.ts";
import { mint } from "../wire/id.ts";
import { accessOf, actingIn, expectAccess, gateOf } from "./access.ts";
import { audio } from "./audio.ts";
import { calls } from "./calls.ts";
import { compaction } from "./compact.ts";
import { conversations } from "./conversations.ts";
import { completions } from "./completions.ts";
import type { AppEnv } from "./context.ts";
import { credentials } from "./credentials.ts";
import { batchEmbedContents, embedContent, embeddings } from "./embeddings.ts";
import { failure, GEMINI_PATH } from "./errors.ts";
import { answerOnce } from "./idempotency.ts";
import { images } from "./images.ts";
import { keys } from "./keys.ts";
import { models } from "./models.ts";
import { expectOwnSession } from "./own-session.ts";
import { moderations } from "./moderations.ts";
import { organizations } from "./organizations.ts";
import { canonicalPath } from "./path.ts";
import { settleRouter } from "./router.ts";
import { routing } from "./routing.ts";
import { sessionVerbs } from "./session-verbs.ts";
import { sessionViews } from "./session-views.ts";
import { responses } from "./responses.ts";
import { responsesSocket } from "./responses-socket.ts";
import { sessions } from "./sessions.ts";
import { streams } from "./streams.ts";
import { surfaces } from "./surfaces.ts";
import { countTokens, tokens } from "./tokens.ts";
import { tokenAmong, ws } from "./ws.ts";

/** The whole of HTTP: one canonical path, one place that admits, then the route. */
export async function handle(
  request: Request,
  env: Cloudflare.Env,
  ctx: Pick<ExecutionContext, "waitUntil">,
): Promise<Response> {
  const requestId = request.headers.get("x-request-id") ?? mint("req", Date.now());
  const url = new URL(request.url);
  try {
    await settleRouter(env, (work) => ctx.waitUntil(work));
    url.pathname = canonicalPath(url.pathname);
    // No route asks more of it than to wait.
    const response = await app.fetch(new Request(url, request), env, ctx as ExecutionContext);
    if (!response.headers.has("x-request-id")) response.headers.set("x-request-id", requestId);
    return response;
  } catch (thrown) {
    return failure(thrown, url.pathname, requestId);
  }
}

const app = new OpenAPIHono<AppEnv>({
  defaultHook: (result) => {
    if (!result.success) throw refusalOf(result.error);
  },
});

app.use("*", async (c, next) => {
  const access = accessOf(c);
  if (access !== "public") {
    const admitted = async (): Promise<Caller> => {
      const caller = await actingIn(c, await admitBearer(credentialOf(c.req), gateOf(c), Date.now()));
      expectAccess(c, caller, access);
      return caller;
    };
    c.set("admitted", admitted);
    c.set("caller", await admitted());
    expectOwnSession(c);
  }
  await next();
});

app.use("*", async (c, next) => {
  const key = c.req.method === "POST" ? c.req.header("idempotency-key") : undefined;
  return key === undefined ? await next() : await answerOnce(c, key);
});

app.get("/healthz", (c) => c.text("ok"));
surfaces(app, { embedContent, batchEmbedContents, countTokens });
completions(app);
embeddings(app);
images(app);
audio(app);
moderations(app);
tokens(app);
compaction(app);
models(app);
responses(app);
conversations(app);
responsesSocket(app);
sessions(app);
routing(app);
sessionViews(app);
sessionVerbs(app);
streams(app);
calls(app);
ws(app);
keys(app);
organizations(app);
credentials(app);

/** Each SDK has its own place for a key; one of them is enough. */
const SCHEMES = {
  bearer: { type: "http", scheme: "bearer" },
  anthropic: { type: "apiKey", in: "header", name: "x-api-key" },
  gemini: { type: "apiKey", in: "header", name: "x-goog-api-key" },
  geminiQuery: { type: "apiKey", in: "query", name: "key", description: "On Gemini's paths" },
} as const;
for (const [name, scheme] of Object.entries(SCHEMES))
  app.openAPIRegistry.registerComponent("securitySchemes", name, scheme);
app.doc31("/openapi.json", {
  openapi: "3.1.0",
  info: { title: "Rhone Gateway", version: "1" },
  security: Object.keys(SCHEMES).map((name) => ({ [name]: [] })),
});

app.notFound(() => {
  throw new GatewayError("route.not_found", "there is no such route");
});
app.onError((thrown, c) => failure(thrown, c.req.path, c.req.header("x-request-id") ?? mint("req", Date.now())));

/** Every route that there is: the test of who may come in where goes through them. */
export const routes = (): { method: string; path: string }[] =>
  app.routes.map(({ method, path }) => ({ method, path }));

/** In any of the places where SDKs put it; Gemini's also into the query. */
const credentialOf = (request: HonoRequest): string | undefined =>
  request.header("authorization")?.replace(/^Bearer\s*/i, "") ??
  request.header("x-api-key") ??
  request.header("x-goog-api-key") ??
  (request.path === "/v1/ws" ? tokenAmong(request.header("sec-websocket-protocol")) : undefined) ??
  (GEMINI_PATH.test(request.path) ? request.query("key") : undefined);
