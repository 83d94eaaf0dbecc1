import { z } from "zod";
import { invalid } from "../../canonical/error.ts";
import { format } from "../../surfaces/native-schemas.ts";
import { rhoneRequest } from "../../surfaces/rhone.ts";
import { validate } from "../../surfaces/validate.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import { DEFAULT_LIMITS, type GivenRun, type RunLimits, runLimits, type RunParts } from "./definition.ts";
import { EFFECTS, toolRule } from "./policy.ts";
import { mcpServers } from "./server.ts";
import { stopCondition } from "./stop-condition.ts";
import { givenTool } from "./tool.ts";

/** How tools may be written shorter: `{"mcp": "crm"}` is `{"type": "mcp", "server": "crm"}`. */
const SHORT_FORMS = { native: "name", http: "name", function: "name", mcp: "server" } as const;

/** What runs have in common that are made with a harness: everything but their input. */
export const harnessSchema = z
  .strictObject({
    name: z
      .string()
      .regex(
        /^(?!.*_v\d+$)[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?$/,
        "expected 1 to 64 of a-z 0-9 _ -, without a version",
      ),
    description: z.string().max(2_048).optional(),
    model: z.string().min(1).max(256).optional(),
    routing: rhoneRequest.shape.routing,
    instructions: z.string().min(1).optional(),
    servers: mcpServers.optional(),
    tools: z.array(givenTool).max(128).optional(),
    policy: z.array(toolRule).max(256).optional(),
    effects: z.record(z.string().min(1).max(256), z.enum(EFFECTS)).optional(),
    stop: z.array(stopCondition).max(32).optional(),
    output: format.optional(),
    limits: runLimits.optional(),
    assessment: z.string().min(1).max(128).optional(),
    unattended: z
      .enum(["deny", "wait"])
      .optional()
      .meta({ description: "What becomes of a call that a person has to approve where none can be reached" }),
  })
  .meta({ id: "HarnessDefinition" });

export type Harness = z.infer<typeof harnessSchema>;

/** A version of a harness. `id`: with the version, as in `harness_support_v3`. */
export type HarnessVersion = { id: string; harness: Harness };

/** Reads a harness. Throws `request.invalid`, naming the field and what was expected. */
export function readHarness(body: Json): Harness {
  if (!isObject(body)) throw invalid("body", "expected an object, in JSON or YAML");
  const { tools } = body;
  const harness = validate(harnessSchema, { ...body, ...(Array.isArray(tools) && { tools: tools.map(toLongForm) }) });
  for (const [i, tool] of (harness.tools ?? []).entries())
    if (tool.type === "mcp" && !Object.hasOwn(harness.servers ?? {}, tool.server))
      throw invalid(`tools[${i}].server`, `expected one of servers: ${Object.keys(harness.servers ?? {}).join(", ")}`);
  return harness;
}

function toLongForm(tool: Json): Json {
  if (!isObject(tool) || "type" in tool) return tool;
  const type = (Object.keys(SHORT_FORMS) as (keyof typeof SHORT_FORMS)[]).find((one) => one in tool);
  if (type === undefined) return tool;
  const { [type]: name, ...members } = tool;
  return { type, [SHORT_FORMS[type]]: name!, ...members };
}

/**
 * What a run consists of, before its servers have listed their tools. With a harness, the request may choose another model, lower limits,
 * add instructions, and bring tools that the client executes, with rules for these. Throws `request.invalid`.
 */
export function toRunParts({ harness: _, ...given }: GivenRun, version: HarnessVersion | undefined): RunParts {
  if (version === undefined) return given;
  requireOwnTools(given);
  const { tools = [], servers = {}, policy = [], limits = {}, effects, stop, unattended } = version.harness;
  return {
    call: mergeCalls(given.call, version.harness),
    input: given.input,
    tools: [...tools, ...given.tools.map((tool) => ({ ...tool, isBrought: true as const }))],
    servers,
    policy,
    limits: lowerLimits(limits as Partial<RunLimits>, given.limits),
    harness: version.id,
    broughtPolicy: given.policy,
    ...(effects && { effects }),
    ...(stop && { stop }),
    ...(unattended && { unattended }),
  };
}

/** What the gateway executes for a run is its harness's alone. */
function requireOwnTools({ tools, servers }: Omit<GivenRun, "harness">): void {
  const foreign = tools.findIndex(({ type }) => type !== "function");
  if (foreign >= 0)
    throw invalid(`tools[${foreign}].type`, "expected function: the tools that the gateway executes are the harness's");
  if (Object.keys(servers).length > 0) throw invalid("servers", "expected none: they are the harness's");
}

/** The members of each call: a model of the request's own replaces the harness's, instructions are added to its own. */
function mergeCalls(call: JsonObject, { model, routing, instructions, output }: Harness): JsonObject {
  const { rhone } = call;
  const choosesModel = [call, rhone].some((one) => isObject(one) && ("model" in one || "routing" in one));
  const texts = [instructions, call.instructions].filter((text) => text !== undefined && text !== null);
  return {
    ...call,
    ...(!choosesModel && model !== undefined && { model }),
    ...(!choosesModel && routing !== undefined && { routing: routing as JsonObject }),
    ...(texts.length > 0 && { instructions: joinInstructions(texts) }),
    ...(output !== undefined && { format: output as JsonObject }),
  };
}

function joinInstructions(texts: readonly Json[]): Json {
  if (texts.every((text) => typeof text === "string")) return texts.join("\n\n");
  return texts.flatMap((text) => (typeof text === "string" ? [{ type: "system", text }] : text));
}

/** A number may be lowered, also one by default; the others are the request's only where the harness leaves them open. */
function lowerLimits(limits: Partial<RunLimits>, given: Partial<RunLimits>): Partial<RunLimits> {
  const lowered = Object.entries(given).map(([name, value]) => {
    const own = { ...DEFAULT_LIMITS, ...limits }[name as keyof RunLimits];
    const isLower = typeof own === "number" && typeof value === "number" && value < own;
    const isOpen = typeof own !== "number" && !(name in limits);
    return [name, isOpen || isLower ? value : own];
  });
  return { ...limits, ...Object.fromEntries(lowered) };
}
