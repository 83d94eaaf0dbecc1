import { z } from "zod";
import type { Json, JsonObject } from "../../wire/json.ts";
import { NATIVE_TOOLS, type NativeToolName } from "../tools/native-tools.ts";
import { EFFECTS, type Effect, ownPolicy } from "./policy.ts";
import { headers, secretName, type SecretUse, secretsInHeaders, targetUrl } from "./server.ts";

const name = z.string().regex(/^[A-Za-z0-9_.:-]{1,64}$/, "expected 1 to 64 of A-Z a-z 0-9 _ . : -");
const parameters = z.looseObject({}).optional().meta({ description: "JSON Schema of the arguments" });
export const toolTimeout = z.int().min(1).max(900_000);

const clientTool = z
  .strictObject({
    type: z.literal("function").default("function"),
    name,
    description: z.string().optional(),
    parameters,
    strict: z.boolean().optional(),
    effect: z.enum(EFFECTS).optional(),
    policy: ownPolicy.optional(),
    timeout_ms: z
      .int()
      .min(1)
      .max(30 * 86_400_000)
      .optional(),
    on_timeout: z
      .enum(["result", "fail"])
      .optional()
      .meta({ description: "result: the model reads that none has come; fail: the run ends. Default: result" }),
  })
  .meta({ id: "ClientTool" });

const nativeTool = z
  .strictObject({
    type: z.literal("native"),
    name: z.enum(Object.keys(NATIVE_TOOLS) as [NativeToolName]),
    hosts: z.array(z.string().min(1).max(255)).min(1).max(64).optional(),
    policy: ownPolicy.optional(),
    timeout_ms: toolTimeout.optional(),
  })
  .meta({ id: "NativeTool" });

const httpTool = z
  .strictObject({
    type: z.literal("http"),
    name,
    description: z.string().optional(),
    parameters,
    url: targetUrl,
    headers: headers.optional(),
    secret: secretName.optional().meta({ description: "The name of the secret that signs the requests" }),
    effect: z.enum(EFFECTS).optional(),
    policy: ownPolicy.optional(),
    timeout_ms: toolTimeout.optional(),
    price_micros_usd: z.int().min(0).optional(),
  })
  .meta({ id: "HttpTool" });

/** The tools of a server that the run names: all of them, or those whose own names match a pattern. */
const serverTools = z
  .strictObject({
    type: z.literal("mcp"),
    server: z.string().min(1).max(32),
    only: z.array(z.string().min(1).max(256)).min(1).max(128).optional(),
    policy: ownPolicy.optional(),
    timeout_ms: toolTimeout.optional(),
  })
  .meta({ id: "ServerTools" });

/** A tool as a run is given it: the client executes a `function`, the gateway the others. */
export const givenTool = z
  .discriminatedUnion("type", [clientTool, nativeTool, httpTool, serverTools])
  .meta({ id: "RunTool" });

export type GivenTool = z.infer<typeof givenTool>;
export type ServerTools = z.infer<typeof serverTools>;

/** A tool of a server, as that has described it when the run started. `tool`: its name there; `name`: the one for the model. */
export type McpRunTool = Pick<ServerTools, "type" | "server" | "policy" | "timeout_ms"> & {
  name: string;
  tool: string;
  description?: string;
  parameters: JsonObject;
  effect: Effect;
  /** Those of the server, where the run trusts them (`trust_annotations`). */
  annotations?: { readOnly: boolean; idempotent: boolean };
};

/** A tool of a run. `isBrought`: by a request to a run that has its other tools from a harness. */
export type RunTool = (Exclude<GivenTool, ServerTools> | McpRunTool) & { isBrought?: true };

export type WebhookTool = Extract<RunTool, { type: "http" }>;

/** A tool that the gateway executes. */
export type GatewayTool = Exclude<RunTool, { type: "function" }>;

/**
 * The names by which rules find a tool: the one that the model is shown and, of a tool of a server, `{server}__{tool}` in full, of which
 * that may be a shorter form.
 */
export const namesOf = (tool: RunTool): string[] =>
  tool.type === "mcp" ? [tool.name, `${tool.server}__${tool.tool}`] : [tool.name];

/** Whether running a tool once more changes anything. */
export const effectOf = (tool: RunTool): Effect => (tool.type === "native" ? "read_only" : (tool.effect ?? "unknown"));

/** The names of the secrets that a tool sends or signs with, and where each is named. */
export function secretsOf(tool: GivenTool): SecretUse[] {
  if (tool.type !== "http") return [];
  const inHeaders = secretsInHeaders(tool.headers, tool.url);
  return tool.secret === undefined ? inHeaders : [{ name: tool.secret, at: "secret", url: tool.url }, ...inHeaders];
}

/** A tool's schema of arguments. */
export const schemaOf = (tool: RunTool): JsonObject | undefined =>
  tool.type === "native" ? NATIVE_TOOLS[tool.name].parameters : (tool.parameters as JsonObject | undefined);

/** A tool as a model is shown it. */
export function toModelTool(tool: RunTool): Json {
  const description = tool.type === "native" ? NATIVE_TOOLS[tool.name].description : tool.description;
  const schema = schemaOf(tool);
  return {
    type: "function",
    name: tool.name,
    ...(description !== undefined && { description }),
    ...(schema !== undefined && { parameters: schema }),
    ...(tool.type === "function" && tool.strict !== undefined && { strict: tool.strict }),
  };
}
