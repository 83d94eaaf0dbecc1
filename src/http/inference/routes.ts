import type { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import type { PathParams } from "../../dialects/dialect.ts";
import { SURFACES, type SurfaceId } from "../../surfaces/index.ts";
import { arrayOf, ref } from "../openapi/json-schema.ts";
import {
  type Content,
  describedResponse,
  errorResponses,
  jsonBody,
  parameter,
  type Reference,
} from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { infer } from "./infer.ts";

/** The generation routes, by the paths of each SDK. Gemini's paths end in `{model}:{method}`. */
const POSTS: Record<string, GenerationRoute> = {
  "/v1/chat/completions": {
    surface: "chat",
    operationId: "chat.completions.create",
    summary: "Creates a chat completion",
    answer: "ChatCompletion",
    event: "ChatCompletionChunk",
  },
  "/v1/responses": {
    surface: "responses",
    operationId: "responses.create",
    summary: "Creates a response",
    answer: "Response",
    event: "ResponseStreamEvent",
  },
  "/v1/messages": {
    surface: "messages",
    operationId: "messages.create",
    summary: "Creates a message",
    answer: "Message",
    event: "MessageStreamEvent",
  },
  "/v1/calls": {
    surface: "native",
    operationId: "calls.create",
    summary: "Creates a call, with typed blocks as input and output",
    answer: "CallResponse",
    event: "CallStreamEvent",
  },
};

/** The surfaces by the paths of their generation routes. Gemini's have the model in them. */
export const GENERATION_PATHS: ReadonlyMap<string, SurfaceId> = new Map(
  Object.entries(POSTS).map(([path, { surface }]) => [path, surface]),
);

/** `answer` and `event`: the components that describe a whole answer and the data of each server-sent event. */
type GenerationRoute = {
  surface: SurfaceId;
  operationId: string;
  summary: string;
  answer: string;
  event: string;
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
  for (const [path, route] of Object.entries(POSTS)) {
    const { surface } = route;
    app.post(path, (c) => {
      if (surface === "messages") requireAnthropicVersion(c.req.raw.headers);
      return inferFrom(c, surface);
    });
    documentGeneration(app, path, route);
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
  documentGeminiMethod(app, {
    method: "generateContent",
    summary: "Generates content; rhone.session_id makes it stateful",
    request: SURFACES.gemini.request,
    content: { "application/json": { schema: ref("GenerateContentResponse") } },
  });
  documentGeminiMethod(app, {
    method: "streamGenerateContent",
    summary: "Generates content as a JSON list of responses, or with alt=sse as server-sent events",
    request: SURFACES.gemini.request,
    content: {
      "application/json": { schema: arrayOf(ref("GenerateContentResponse")) },
      "text/event-stream": { schema: ref("GenerateContentResponse") },
    },
    parameters: [parameter("Alt")],
  });
}

const inferFrom = (c: Context<AppEnv>, surface: SurfaceId, outside: PathParams = {}): Promise<Response> =>
  infer({ request: c.req.raw, surface, outside, caller: c.var.caller, env: c.env, ctx: c.executionCtx });

const documentGeneration = (
  app: OpenAPIHono<AppEnv>,
  path: string,
  { surface, operationId, summary, answer, event }: GenerationRoute,
): void =>
  app.openAPIRegistry.registerPath({
    method: "post",
    path,
    operationId,
    summary: `${summary}; rhone.session_id makes it stateful`,
    ...(surface === "messages" && { parameters: [parameter("AnthropicVersion")] }),
    request: { body: jsonBody(SURFACES[surface].request) },
    responses: {
      200: describedResponse("The response, or with stream: true its server-sent events", answer, event),
      ...errorResponses(400, 404, 409, 429),
    },
  });

type GeminiMethod = {
  method: string;
  summary: string;
  request: z.ZodType<object>;
  content: Content;
  parameters?: Reference[];
};

/** Describes a method of Gemini's models under the path of Google's SDKs, with the other paths that lead to it. */
export const documentGeminiMethod = (
  app: OpenAPIHono<AppEnv>,
  { method, summary, request, content, parameters = [] }: GeminiMethod,
): void =>
  app.openAPIRegistry.registerPath({
    method: "post",
    path: `/v1beta/models/{model}:${method}`,
    operationId: `gemini.models.${method}`,
    summary,
    parameters: [parameter("Model"), ...parameters],
    request: { body: jsonBody(request) },
    responses: { 200: { description: "The response", content }, ...errorResponses(400, 404, 409, 429) },
    "x-rhone-aliases": GEMINI.slice(1).map((path) =>
      path.replace(":call{.+}", `{model}:${method}`).replaceAll(/:(\w+)(?=\/)/g, "{$1}"),
    ),
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
