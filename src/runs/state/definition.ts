import { z } from "zod";
import { invalid } from "../../canonical/error.ts";
import type { PathParams } from "../../dialects/dialect.ts";
import { type SurfaceId, SURFACES } from "../../surfaces/index.ts";
import { parseJsonField } from "../../surfaces/request.ts";
import { validate } from "../../surfaces/validate.ts";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";
import { type Effect, toolRule, type ToolRule } from "./policy.ts";
import { type McpServer, mcpServers } from "./server.ts";
import type { StopCondition } from "./stop-condition.ts";
import { type GivenTool, givenTool, type RunTool, toolTimeout } from "./tool.ts";

/** What a run may use at most. Times are of running, not of waiting. */
const limits = {
  max_turns: z.int().min(1).max(64),
  max_tool_calls: z.int().min(1).max(256),
  max_cost_micros_usd: z.int().min(1),
  timeout_ms: z.int().min(1).max(86_400_000),
  tool_timeout_ms: toolTimeout,
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

export const DEFAULT_LIMITS: RunLimits = {
  max_turns: 8,
  max_tool_calls: 20,
  timeout_ms: 300_000,
  tool_timeout_ms: 30_000,
  parallel_tools: true,
  on_limit: "answer",
};

const LIMITS = Object.keys(limits) as (keyof RunLimits)[];

export const givenTools = z.array(givenTool).max(128);

/** Members of a run that no call has. */
const own = {
  tools: givenTools.optional(),
  servers: mcpServers.optional(),
  policy: z.array(toolRule).max(256).optional(),
  limits: runLimits.optional(),
  hosted_harness_id: z.string().optional(),
  harness: z.string().optional(),
};
const OWN = new Set([...Object.keys(own), ...LIMITS, "stream", "input", "blocks"]);

/** What `POST /v1/runs` takes: the members of a call, with tools that the gateway may execute, and limits, also on the top level. */
export const runRequest = z
  .strictObject({ ...SURFACES.native.request.shape, ...runLimits.shape, ...own })
  .partial({ model: true })
  .meta({ id: "RunRequest" });

/** A run as a client asks for it. `harness`: the id of one, and the member in which it stands. */
export type GivenRun = {
  call: JsonObject;
  input: Json;
  tools: GivenTool[];
  servers: Record<string, McpServer>;
  policy: ToolRule[];
  limits: Partial<RunLimits>;
  harness?: { id: string; at: string };
};

/** What a harness adds. `broughtPolicy`: rules for the tools that the request has brought, to which the harness's do not apply. */
type HarnessMembers = {
  harness?: string;
  broughtPolicy?: ToolRule[];
  stop?: StopCondition[];
  unattended?: "deny" | "wait";
};

/** What a run consists of, before its servers have listed their tools. `effects`: by patterns of names, in place of the tools' own. */
export type RunParts = Omit<GivenRun, "harness" | "tools"> & {
  tools: (GivenTool & { isBrought?: true })[];
  effects?: Record<string, Effect>;
} & HarnessMembers;

/**
 * The request of the call that a run answers. `text`: behind the shield, without its messages; `systems`: the leading system messages,
 * each as JSON text. `hasTools`: it has tools that its client executes. `named`: the servers that it names as tools; `listed`: those of them
 * whose tools the answer lists; `approves`: those about whose calls the client may decide; `showsCalls`: it shows calls of servers' tools. `isChained`: as in `TurnInput`.
 * `isStored`: on Responses, the answer can be retrieved later.
 */
export type AnsweredRequest = {
  surface: SurfaceId;
  outside: PathParams;
  headers: [string, string][];
  text: string;
  systems: string[];
  hasTools: boolean;
  named?: string[];
  listed?: string[];
  approves?: string[];
  showsCalls?: true;
  isChained?: true;
  isStored?: true;
};

/**
 * What a run goes on with, unchanged by what changes around it. `call`: the members of each of its calls. `servers`: absent in runs of
 * earlier versions.
 */
export type RunDefinition = {
  call: JsonObject;
  input: Json;
  tools: RunTool[];
  servers?: Record<string, McpServer>;
  policy: ToolRule[];
  limits: RunLimits;
  /** It has no model: it ends with the results of its one step. */
  isToolCall?: true;
  /** It answers a call. */
  client?: AnsweredRequest;
} & HarnessMembers;

/** Reads the body of `POST /v1/runs`. Throws `request.invalid`, naming the field and what was expected. */
export function readRunRequest(text: string): GivenRun {
  const body = parseJsonField(text, "body");
  if (!isObject(body)) throw invalid("body", "expected a JSON object");
  const request = validate(runRequest, body);
  const { input, blocks, tools = [], servers = {}, policy = [] } = request;
  if ((input === undefined) === (blocks === undefined))
    throw invalid("input", "expected a text, a block or a list of them, as input or as blocks");
  requireStored(request);
  const given = Object.fromEntries(LIMITS.flatMap((one) => (request[one] === undefined ? [] : [[one, request[one]]])));
  const at = request.harness === undefined ? "hosted_harness_id" : "harness";
  const id = request[at];
  return {
    call: Object.fromEntries(Object.entries(body).filter(([member]) => !OWN.has(member))),
    input: (body.input ?? body.blocks)!,
    tools,
    servers,
    policy,
    limits: { ...given, ...(request.limits as Partial<RunLimits>) },
    ...(id !== undefined && { harness: { id, at } }),
  };
}

/** A run is what its session stores of it, and goes on where that ends. */
function requireStored({ context_mode, store, rhone }: z.infer<typeof runRequest>): void {
  for (const member of ["harness", "tools", "servers", "unattended"] as const)
    if (rhone?.[member] !== undefined)
      throw invalid(`rhone.${member}`, "expected none: a run has its tools on the top level of its request");
  if (rhone?.parent !== undefined)
    throw invalid("rhone.parent", "expected none: a run goes on from its session's head; a branch starts elsewhere");
  if ((rhone?.context_mode ?? context_mode ?? "stateful") !== "stateful")
    throw invalid("context_mode", "expected stateful: a run is one of its session");
  if ((rhone?.store ?? store ?? "full") !== "full")
    throw invalid("store", "expected full: a run goes on from what is stored of it");
}
