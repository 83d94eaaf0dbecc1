import { OpenAPIHono } from "@hono/zod-openapi";
import type { HonoRequest } from "hono";
import { GatewayError } from "../canonical/error.ts";
import { admit } from "../gateway/admit.ts";
import { refusalOf } from "../gateway/checked.ts";
import { mint } from "../wire/id.ts";
import { audio } from "./audio.ts";
import { calls } from "./calls.ts";
import { completions } from "./completions.ts";
import type { AppEnv } from "./context.ts";
import { batchEmbedContents, embedContent, embeddings } from "./embeddings.ts";
import { failure, GEMINI_PATH } from "./errors.ts";
import { images } from "./images.ts";
import { models } from "./models.ts";
import { moderations } from "./moderations.ts";
import { canonicalPath } from "./path.ts";
import { sessions } from "./sessions.ts";
import { surfaces } from "./surfaces.ts";
import { countTokens, tokens } from "./tokens.ts";

/** Open to everyone; every other path, known or not, asks for a key first. */
const PUBLIC = new Set(["/healthz", "/openapi.json"]);

/** The whole of HTTP: one canonical path, one place that admits, then the route. */
export async function handle(request: Request, env: Cloudflare.Env, ctx: ExecutionContext): Promise<Response> {
  const requestId = request.headers.get("x-request-id") ?? mint("req", Date.now());
  const url = new URL(request.url);
  try {
    url.pathname = canonicalPath(url.pathname);
    const response = await app.fetch(new Request(url, request), env, ctx);
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
  if (!PUBLIC.has(c.req.path)) c.set("caller", admit(credentialOf(c.req), c.env.RHONE_ADMIN_KEY));
  await next();
});

app.get("/healthz", (c) => c.text("ok"));
surfaces(app, { embedContent, batchEmbedContents, countTokens });
completions(app);
embeddings(app);
images(app);
audio(app);
moderations(app);
tokens(app);
models(app);
sessions(app);
calls(app);

app.openAPIRegistry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
app.doc31("/openapi.json", {
  openapi: "3.1.0",
  info: { title: "Rhone Gateway", version: "1" },
  security: [{ key: [] }],
});

app.notFound(() => {
  throw new GatewayError("route.not_found", "there is no such route");
});
app.onError((thrown, c) => failure(thrown, c.req.path, c.req.header("x-request-id") ?? mint("req", Date.now())));

/** In any of the places where SDKs put it; Gemini's also into the query. */
const credentialOf = (request: HonoRequest): string | undefined =>
  request.header("authorization")?.replace(/^Bearer\s*/i, "") ??
  request.header("x-api-key") ??
  request.header("x-goog-api-key") ??
  (GEMINI_PATH.test(request.path) ? request.query("key") : undefined);
