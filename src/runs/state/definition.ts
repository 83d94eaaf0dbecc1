import { z } from "zod";
import { invalid } from "../../canonical/error.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { parseJsonField } from "../../surfaces/request.ts";
import { validate } from "../../surfaces/validate.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import { NATIVE_TOOLS, type NativeToolName } from "../tools/native-tools.ts";
import { EFFECTS, type Effect, ownPolicy, toolRule } from "./policy.ts";

const name = z.string().regex(/^[A-Za-z0-9_.:-]{1,64}$/, "expected 1 to 64 of A-Z a-z 0-9 _ . : -");
const parameters = z.looseObject({}).optional().meta({ description: "JSON Schema of the arguments" });
const timeout = z.int().min(1).max(900_000);

const secretName = z.string().min(1).max(64);

/** A header of a webhook: a text, or a secret of the organisation, by its name. */
const headerValue = z.union([
  z.string().max(4_096),
  z.strictObject({ secret: secretName, prefix: z.string().max(64).optional() }).meta({ id: "SecretHeader" }),
]);

/** A tool of a run: the client executes a `function`, the gateway the others. */
export const runTool = z
  .discriminatedUnion("type", [
    z
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
      .meta({ id: "ClientTool" }),
    z
      .strictObject({
        type: z.literal("native"),
        name: z.enum(Object.keys(NATIVE_TOOLS) as [NativeToolName]),
        hosts: z.array(z.string().min(1).max(255)).min(1).max(64).optional(),
        policy: ownPolicy.optional(),
        timeout_ms: timeout.optional(),
      })
      .meta({ id: "NativeTool" }),
    z
      .strictObject({
        type: z.literal("http"),
        name,
        description: z.string().optional(),
        parameters,
        url: z.string().min(1).max(2_048),
        headers: z.record(z.string().regex(/^[A-Za-z0-9-]{1,64}$/), headerValue).optional(),
        secret: secretName.optional().meta({ description: "The name of the secret that signs the requests" }),
        effect: z.enum(EFFECTS).optional(),
        policy: ownPolicy.optional(),
        timeout_ms: timeout.optional(),
        price_micros_usd: z.int().min(0).optional(),
      })
      .meta({ id: "HttpTool" }),
  ])
  .meta({ id: "RunTool" });

export type RunTool = z.infer<typeof runTool>;

/** What a run may use at most. Times are of running, not of waiting. */
const limits = {
  max_turns: z.int().min(1).max(64),
  max_tool_calls: z.int().min(1).max(256),
  max_cost_micros_usd: z.int().min(1),
  timeout_ms: z.int().min(1).max(86_400_000),
  tool_timeout_ms: timeout,
  parallel_tools: z.boolean(),
  on_limit: z.enum(["answer", "checkpoint"]),
};

export const runLimits = z.strictObject(limits).partial().meta({ id: "RunLimits" });

/** `max_cost_micros_usd`: absent where nothing but the key's budgets limits it. */
export type RunLimits = {
  max_turns: number;
  max_tool_calls: number;
  max_cost_micros_usd?: number;
  timeout_ms: number;
  tool_timeout_ms: number;
  parallel_tools: boolean;
  on_limit: "answer" | "checkpoint";
};

const DEFAULT_LIMITS: RunLimits = {
  max_turns: 8,
  max_tool_calls: 20,
  timeout_ms: 300_000,
  tool_timeout_ms: 30_000,
  parallel_tools: true,
  on_limit: "answer",
};

const LIMITS = Object.keys(limits) as (keyof RunLimits)[];

/** Members of a run that no call has. */
const own = {
  tools: z.array(runTool).max(128).optional(),
  policy: z.array(toolRule).max(256).optional(),
  limits: runLimits.optional(),
  hosted_harness_id: z.string().optional(),
  harness: z.string().optional(),
};
const OWN = new Set([...Object.keys(own), ...LIMITS, "stream", "input", "blocks"]);

/** What `POST /v1/runs` takes: the members of a call, with tools that the gateway may execute, and limits, also on the top level. */
export const runRequest = z
  .strictObject({ ...SURFACES.native.request.shape, ...runLimits.shape, ...own })
  .meta({ id: "RunRequest" });

/** What a run goes on with, unchanged by what changes around it. `call`: the members of each of its calls. */
export type RunDefinition = {
  call: JsonObject;
  input: Json;
  tools: RunTool[];
  policy: z.infer<typeof toolRule>[];
  limits: RunLimits;
};

/** Reads the body of `POST /v1/runs`. Throws `request.invalid`, naming the field and what was expected. */
export function readRunRequest(text: string): RunDefinition {
  const body = parseJsonField(text, "body");
  if (!isObject(body)) throw invalid("body", "expected a JSON object");
  const request = validate(runRequest, body);
  if (request.hosted_harness_id !== undefined || request.harness !== undefined)
    throw invalid(request.harness === undefined ? "hosted_harness_id" : "harness", "there is no such harness");
  const { input, blocks, tools = [], policy = [] } = request;
  if ((input === undefined) === (blocks === undefined))
    throw invalid("input", "expected a text, a block or a list of them, as input or as blocks");
  requireStored(request);
  requireDistinct(tools);
  const given = Object.fromEntries(LIMITS.flatMap((one) => (request[one] === undefined ? [] : [[one, request[one]]])));
  return {
    call: Object.fromEntries(Object.entries(body).filter(([member]) => !OWN.has(member))),
    input: (body.input ?? body.blocks)!,
    tools,
    policy,
    limits: { ...DEFAULT_LIMITS, ...given, ...(request.limits as Partial<RunLimits>) },
  };
}

/** A run is what its session stores of it, and goes on where that ends. */
function requireStored({ context_mode, store, rhone }: z.infer<typeof runRequest>): void {
  if (rhone?.parent !== undefined)
    throw invalid("rhone.parent", "expected none: a run goes on from its session's head; a branch starts elsewhere");
  if ((rhone?.context_mode ?? context_mode ?? "stateful") !== "stateful")
    throw invalid("context_mode", "expected stateful: a run is one of its session");
  if ((rhone?.store ?? store ?? "full") !== "full")
    throw invalid("store", "expected full: a run goes on from what is stored of it");
}

function requireDistinct(tools: readonly RunTool[]): void {
  for (const [i, tool] of tools.entries())
    if (tools.findIndex((other) => other.name === tool.name) !== i)
      throw invalid(`tools[${i}].name`, "expected a name that no other tool has");
}

/** Whether running a tool once more changes anything. */
export const effectOf = (tool: RunTool): Effect => (tool.type === "native" ? "read_only" : (tool.effect ?? "unknown"));

/** The names of the secrets that a tool sends or signs with, and where each is named. */
export function secretsOf(tool: RunTool): { name: string; at: string }[] {
  if (tool.type !== "http") return [];
  const inHeaders = Object.entries(tool.headers ?? {}).flatMap(([header, value]) =>
    typeof value === "string" ? [] : [{ name: value.secret, at: `headers.${header}.secret` }],
  );
  return tool.secret === undefined ? inHeaders : [{ name: tool.secret, at: "secret" }, ...inHeaders];
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
