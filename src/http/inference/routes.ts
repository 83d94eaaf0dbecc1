import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import type { PathParams } from "../../dialects/dialect.ts";
import { SURFACES, type SurfaceId } from "../../surfaces/index.ts";
import type { AppEnv } from "../request/env.ts";
import { infer } from "./infer.ts";

/** The generation routes, by the paths of each SDK. Gemini's paths end in `{model}:{method}`. */
const POSTS: Record<string, { surface: SurfaceId; summary: string }> = {
  "/v1/chat/completions": { surface: "chat", summary: "OpenAI Chat Completions" },
  "/v1/responses": { surface: "responses", summary: "OpenAI Responses" },
  "/v1/messages": { surface: "messages", summary: "Anthropic Messages" },
  "/v1/calls": { surface: "native", summary: "The gateway's own: typed blocks in, typed blocks out" },
};
const GEMINI = [
  "/v1beta/models/:call{.+}",
  "/v1/models/:call{.+}",
  "/v1/publishers/:publisher/models/:call{.+}",
  "/v1/projects/:project/locations/:location/publishers/:publisher/models/:call{.+}",
];

/** Returns `{model}:{method}`. In Vertex mode Google's SDKs send `acme/model` as `publishers/acme/models/model`. */
function modelAndMethod({ req }: Context<AppEnv>): string {
  const { call = "", publisher = "google" } = req.param() as { call?: string; publisher?: string };
  return publisher === "google" ? call : `${publisher}/${call}`;
}

/** Handlers of Gemini's methods other than generation, such as `countTokens`. */
type Methods = Record<string, (c: Context<AppEnv>, model: string) => Promise<Response>>;

export function inferenceRoutes(app: OpenAPIHono<AppEnv>, methods: Methods): void {
  for (const [path, { surface, summary }] of Object.entries(POSTS)) {
    app.post(path, (c) => {
      if (surface === "messages") requireAnthropicVersion(c.req.raw.headers);
      return inferFrom(c, surface);
    });
    document(app, path, surface, summary);
  }
  for (const path of GEMINI)
    app.post(path, (c) => {
      const call = modelAndMethod(c);
      const colon = call.lastIndexOf(":");
      const method = Object.hasOwn(methods, call.slice(colon + 1)) ? methods[call.slice(colon + 1)] : undefined;
      return method === undefined || colon < 0
        ? inferFrom(c, "gemini", pathParams(call, c.req.query("alt")))
        : method(c, call.slice(0, colon));
    });
  document(app, "/v1beta/models/{model}:generateContent", "gemini", "Gemini generateContent");
}

const inferFrom = (c: Context<AppEnv>, surface: SurfaceId, outside: PathParams = {}): Promise<Response> =>
  infer({ request: c.req.raw, surface, outside, caller: c.var.caller, env: c.env, ctx: c.executionCtx });

const document = (app: OpenAPIHono<AppEnv>, path: string, surface: SurfaceId, summary: string): void =>
  app.openAPIRegistry.registerPath({
    method: "post",
    path,
    summary: `${summary}; rhone.session_id makes it stateful`,
    request: { body: { content: { "application/json": { schema: SURFACES[surface].request } } } },
    responses: { 200: { description: "The answer, or its server-sent events" } },
  });

/** Splits `gemini-2.5-pro:streamGenerateContent`. Throws `route.not_found` for an unknown method. */
function pathParams(call: string, alt: string | undefined): PathParams {
  const colon = call.lastIndexOf(":");
  const method = call.slice(colon + 1);
  if (colon < 0 || (method !== "generateContent" && method !== "streamGenerateContent")) {
    throw new GatewayError("route.not_found", "there is no such method of a model");
  }
  const stream = method === "streamGenerateContent";
  return { model: call.slice(0, colon), stream, asList: stream && alt !== "sse" };
}

/** Requires the header that Anthropic's API requires. */
export function requireAnthropicVersion(headers: Headers): void {
  if (!headers.has("anthropic-version")) throw invalid("anthropic-version", "expected this header, as in 2023-06-01");
}
