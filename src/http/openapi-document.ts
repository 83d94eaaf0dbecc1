import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { CLIENT_FRAMES } from "../gateway/sockets/frames.ts";
import { accountSchemas } from "./openapi/components/accounts.ts";
import { anthropicSchemas } from "./openapi/components/anthropic.ts";
import { type ErrorFormat, errorResponseComponents, errorSchemas } from "./openapi/components/errors.ts";
import { frameSchemas } from "./openapi/components/frames.ts";
import { geminiSchemas } from "./openapi/components/gemini.ts";
import { nativeSchemas } from "./openapi/components/native.ts";
import { openaiSchemas } from "./openapi/components/openai.ts";
import { parameterComponents } from "./openapi/components/parameters.ts";
import { relayedSchemas } from "./openapi/components/relayed.ts";
import { runSchemas } from "./openapi/components/runs.ts";
import { sessionSchemas } from "./openapi/components/sessions.ts";
import { ERROR_RESPONSES } from "./openapi/responses.ts";
import { type AppEnv, GEMINI_PATH } from "./request/env.ts";
import { errorSurfaceOf } from "./request/errors.ts";

/** An operation as the generator of the document makes it. */
type Operation = {
  operationId?: string;
  tags?: string[];
  parameters?: object[];
  responses: Record<string, { $ref?: string }>;
  security?: object[];
};

/** Serves `/openapi.json`. The document is built by the first request for it and then stored for the isolate. */
export function documentRoutes(app: OpenAPIHono<AppEnv>): void {
  let document: string | undefined;
  app.get("/openapi.json", (c) => {
    document ??= JSON.stringify(buildDocument(app));
    return c.body(document, 200, { "content-type": "application/json" });
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/openapi.json",
    operationId: "gateway.describe",
    summary: "Returns this document",
    security: [],
    responses: { 200: { description: "OpenAPI 3.1", content: { "application/json": { schema: { type: "object" } } } } },
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/healthz",
    operationId: "gateway.checkHealth",
    summary: "Checks whether the gateway runs",
    security: [],
    responses: { 200: { description: "Running", content: { "text/plain": { schema: { type: "string" } } } } },
  });
}

/** The routes' own descriptions, completed by what follows from an operation's id, method and path. */
function buildDocument(app: OpenAPIHono<AppEnv>): object {
  const frames = Object.values(CLIENT_FRAMES) as unknown as Parameters<typeof z.discriminatedUnion>[1];
  app.openAPIRegistry.register("SocketClientFrame", z.discriminatedUnion("type", frames));
  const generated = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "Rhone Gateway", version: "1" },
    security: DEFAULT_SCHEMES.map((name) => ({ [name]: [] })),
  });
  const operations = Object.entries(generated.paths ?? {}).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = (item as Record<string, Operation | undefined>)[method];
      return operation === undefined ? [] : [{ path, method, operation }];
    }),
  );
  for (const { path, method, operation } of operations) completeOperation(operation, method, path);
  const used = new Set(operations.flatMap(({ operation }) => operation.tags ?? []));
  return {
    ...generated,
    tags: Object.entries(TAGS).flatMap(([name, description]) => (used.has(name) ? [{ name, description }] : [])),
    components: {
      ...generated.components,
      schemas: {
        ...generated.components?.schemas,
        ...errorSchemas(),
        ...nativeSchemas(),
        ...openaiSchemas(),
        ...anthropicSchemas(),
        ...geminiSchemas(),
        ...relayedSchemas(),
        ...sessionSchemas(),
        ...runSchemas(),
        ...accountSchemas(),
        ...frameSchemas(),
      },
      responses: errorResponseComponents(),
      parameters: parameterComponents(),
      securitySchemes: SCHEMES,
    },
  };
}

const METHODS = ["get", "post", "put", "patch", "delete"] as const;

/** Adds the tag, the headers of every operation, the error format of the path, and the credentials that only it takes. */
function completeOperation(operation: Operation, method: (typeof METHODS)[number], path: string): void {
  operation.tags = [operation.operationId!.split(".")[0]!];
  const isPublic = operation.security?.length === 0;
  if (isPublic) return;
  const headers = [...(method === "post" ? ["IdempotencyKey"] : []), "Organization"];
  const shared = headers.map((name) => ({ $ref: `#/components/parameters/${name}` }));
  operation.parameters = [...(operation.parameters ?? []), ...shared];
  const format = errorFormatOf(path);
  for (const response of Object.values(operation.responses)) {
    const name = response.$ref?.split("/").at(-1);
    if (name !== undefined && ERROR_NAMES.has(name)) response.$ref = `#/components/responses/${format}${name}`;
  }
  const own = GEMINI_PATH.test(path) ? "geminiQuery" : path === "/v1/ws" ? "socketToken" : undefined;
  if (own !== undefined) operation.security = [...DEFAULT_SCHEMES, own].map((name) => ({ [name]: [] }));
}

const ERROR_NAMES = new Set<string>(Object.values(ERROR_RESPONSES));

/** In whose format the errors of a path are, as `request/errors.ts` decides it. */
function errorFormatOf(path: string): ErrorFormat {
  switch (errorSurfaceOf(path)) {
    case "gemini":
      return "Gemini";
    case "messages":
      return "Anthropic";
    case "chat":
    case "responses":
      return "OpenAI";
    default:
      return "";
  }
}

/** Where each SDK puts the key. One of them suffices. */
const SCHEMES = {
  bearer: { type: "http", scheme: "bearer", description: "A key, or a client token" },
  anthropic: { type: "apiKey", in: "header", name: "x-api-key" },
  azure: { type: "apiKey", in: "header", name: "api-key" },
  gemini: { type: "apiKey", in: "header", name: "x-goog-api-key" },
  geminiQuery: { type: "apiKey", in: "query", name: "key", description: "On Gemini's paths" },
  socketToken: {
    type: "apiKey",
    in: "header",
    name: "sec-websocket-protocol",
    description: "On the WebSocket of browsers: `rhone.token.` and a client token as a second subprotocol",
  },
} as const;
const DEFAULT_SCHEMES = ["bearer", "anthropic", "azure", "gemini"] as const;

/** The resource that an operation's id starts with. */
const TAGS: Record<string, string> = {
  calls: "The gateway's own surface, and the records of calls",
  chat: "OpenAI Chat Completions",
  responses: "OpenAI Responses",
  messages: "Anthropic Messages",
  gemini: "Gemini",
  completions: "OpenAI's legacy completions",
  embeddings: "OpenAI embeddings",
  images: "OpenAI images",
  audio: "OpenAI audio",
  moderations: "OpenAI moderations",
  models: "Models of the configured providers",
  safety: "The shield: what may not pass, and what it has decided",
  sessions: "Sessions: stored context and its history",
  runs: "Runs: a model and its tools in a loop, which survives restarts",
  checkpoints: "Where runs wait for a decision",
  mcp: "The gateway as a server of the Model Context Protocol",
  harnesses: "What runs have in common, by name and version",
  conversations: "OpenAI conversations; each is a session",
  me: "The caller",
  keys: "Keys, their budgets and limits",
  organizations: "Organisations",
  credentials: "An organisation's own credentials of providers",
  secrets: "Secrets of an organisation's tools",
  webhooks: "Where messages about an organisation's runs are sent",
  routing: "The state of targets",
  records: "The record, where it is stored",
  gateway: "The gateway itself",
};
