import { z } from "zod";
import { tryParseJson, withoutUndefined } from "../wire/json.ts";
import { formatIssue } from "../wire/zod-issue.ts";

/** Time limits in milliseconds. */
export type Deadlines = {
  /** From sending the request to the headers of a stream. */
  headers: number;
  /** From the headers to the first content event of a stream. */
  firstContent: number;
  /** From sending the request to the first content event of a stream, while another target is left. Not for models that reason. */
  fallback: number;
  /** From sending the request to the headers of an answer that is not streamed: they come when it is complete. */
  whole: number;
  /** Between two chunks of the body. */
  idle: number;
  /** The whole call, with all attempts and the answer. */
  total: number;
};

/** `max`: retries of one call, over all of its targets. The other members are milliseconds; see `retryDelay`. */
export type Retries = { max: number; baseMs: number; maxMs: number; retryAfterMaxMs: number };
/** After `failures` in a row a target is not used for `seconds`. */
export type Cooldown = { failures: number; seconds: number };
/** How a stream ends that breaks after its start: with an error event, or continued by the next target. */
type Midstream = "error" | "continue";
const ROUTING_STRATEGIES = ["weighted", "least_latency", "least_cost"] as const;
type RoutingStrategy = (typeof ROUTING_STRATEGIES)[number];

/** How targets are chosen and tried. */
export type RoutingPolicy = { deadlines: Deadlines; retries: Retries; midstream: Midstream; strategy: RoutingStrategy };
/** The part of the policy that a request or a route sets; the rest comes from the configuration. */
export type PolicyChanges = {
  deadlines?: Partial<Deadlines>;
  retries?: Partial<Retries>;
  midstream?: Midstream;
  strategy?: RoutingStrategy;
};

type RouteTarget = { model: string; tier: number; weight: number };
type Route = { targets: readonly RouteTarget[]; changes: PolicyChanges };

/** Defaults for requests. */
type Defaults = {
  contextMode: "stateful" | "stateless";
  onDisconnect: "complete" | "cancel";
  onBusy: "queue" | "reject" | "branch";
  /** Whether a call creates the session that it names by a chosen id, if there is none. */
  createsSessions: boolean;
};

/**
 * How records leave their outboxes: applied by the outbox itself, or sent through the queue, whose consumer asks less of
 * D1 where many objects write at once.
 */
const RECORDS_VIA = ["direct", "queue"] as const;
export type RecordsVia = (typeof RECORDS_VIA)[number];

/** Origins whose pages may call the gateway from a browser. None by default. */
type Cors = { origins: ReadonlySet<string> };

/** A deployment's configuration: `RHONE_CONFIG` with defaults. Keys of the maps are lower case. */
export type Config = {
  aliases: ReadonlyMap<string, string>;
  routes: ReadonlyMap<string, Route>;
  policy: RoutingPolicy;
  cooldown: Cooldown;
  defaults: Defaults;
  cors: Cors;
  records: RecordsConfig;
  tools: ToolsConfig;
  /** The deployment's own secrets that every organisation's tools may name, by the variables that hold them. */
  toolSecrets: ReadonlyMap<string, ToolSecretConfig>;
};

/** `hosts`: to which it may be sent: names, or `*.name` for all below a name. */
type ToolSecretConfig = { hosts: readonly string[] };

/** Where tools may go. `registered`: origins also if they are private; `own`: hosts that no tool may call, as the gateway's own. */
type ToolsConfig = { registered: ReadonlySet<string>; own: ReadonlySet<string> };

/**
 * `via`: absent, it is `direct` on one machine and `queue` on Cloudflare. `sliceMs`: the time of calls that files have.
 * `hotBytes`: of D1, above which calls move to files before their time. `retentionDays`: absent, nothing is deleted for its age.
 */
export type RecordsConfig = { via?: RecordsVia; sliceMs: number; hotBytes: number; retentionDays?: number };

function toRecordsConfig({
  via,
  slice_minutes = 1_440,
  hot_megabytes = 6_000,
  retention_days: retentionDays,
}: NonNullable<ConfigInput["records"]> = {}): RecordsConfig {
  return {
    ...(via && { via }),
    sliceMs: slice_minutes * 60_000,
    hotBytes: hot_megabytes * 1_000_000,
    ...(retentionDays !== undefined && { retentionDays }),
  };
}

/** A duration of at most a day: a longer one is taken for a mistake. Milliseconds. */
const ms = z.int().min(1).max(86_400_000);

/**
 * The policy's members in the form of the configuration and of `rhone.routing`. `deadlines_ms.connect` is accepted without
 * effect: workerd's `fetch` reports no connection, only headers.
 */
export const routingPolicySchema = {
  deadlines_ms: z
    .strictObject({ connect: ms, headers: ms, first_content: ms, fallback: ms, whole: ms, idle: ms, total: ms })
    .partial()
    .meta({ id: "Deadlines" }),
  retries: z
    .strictObject({ max: z.int().min(0).max(10), base_ms: ms, max_ms: ms, retry_after_max_ms: z.int().min(0) })
    .partial()
    .meta({ id: "Retries" }),
  midstream: z.enum(["error", "continue"]),
  strategy: z.enum(ROUTING_STRATEGIES),
};

const name = z.string().min(1).max(256);
const routeTarget = z.strictObject({
  target: name,
  tier: z.int().min(0).default(0),
  weight: z.number().positive().max(1_000_000).default(1),
});
const targets = z.array(routeTarget).min(1, "expected at least one target");
/** An origin as browsers send it. `*` is refused: origins must be listed. */
const origin = z.string().refine(isOrigin, "expected an origin as in https://app.example");

/** A variable of the Worker that tools may be given: none of those from which the gateway's own permissions follow. */
const TOOL_SECRET = /^(?!RHONE_)[A-Za-z][A-Za-z0-9_]{0,63}$/i;
const host = z
  .string()
  .regex(/^(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*$/, "expected a host in lower case, or *. and one")
  .max(253);

const schema = z
  .strictObject({
    aliases: z.record(name, name),
    routes: z.record(name, z.union([targets, z.strictObject({ targets, ...makeOptional(routingPolicySchema) })])),
    ...routingPolicySchema,
    cooldown: z.strictObject({ failures: z.int().min(1), seconds: z.number().positive().max(86_400) }).partial(),
    defaults: z
      .strictObject({
        context_mode: z.enum(["stateful", "stateless"]),
        on_disconnect: z.enum(["complete", "cancel"]),
        on_busy: z.enum(["queue", "reject", "branch"]),
        create_sessions: z.boolean(),
      })
      .partial(),
    cors: z.strictObject({ origins: z.array(origin) }),
    tool_secrets: z.record(
      z.string().regex(TOOL_SECRET, "expected the name of a variable, and none of the gateway's own (RHONE_…)"),
      z.strictObject({ hosts: z.array(host).min(1).max(32) }),
    ),
    tools: z.strictObject({ origins: z.array(origin), own_hosts: z.array(z.string().min(1)) }).partial(),
    records: z
      .strictObject({
        via: z.enum(RECORDS_VIA),
        slice_minutes: z.int().min(1).max(1_440),
        hot_megabytes: z.int().min(1).max(9_000),
        retention_days: z.int().min(1).max(36_500),
      })
      .partial(),
  })
  .partial();

type ConfigInput = z.infer<typeof schema>;
type PolicyInput = Pick<ConfigInput, keyof typeof routingPolicySchema>;

/** The policy without configuration. Documented in docs/routing.md; milliseconds. */
export const DEFAULT_POLICY: RoutingPolicy = {
  deadlines: {
    headers: 60_000,
    firstContent: 60_000,
    fallback: 15_000,
    whole: 300_000,
    idle: 60_000,
    total: 900_000,
  },
  retries: { max: 2, baseMs: 250, maxMs: 8_000, retryAfterMaxMs: 30_000 },
  midstream: "error",
  strategy: "weighted",
};

/** Reads `RHONE_CONFIG`. Without a text all defaults apply. Throws `ConfigError`, which names the member and what was expected. */
export function readConfig(text: string | undefined): Config {
  const input = text === undefined || text.trim() === "" ? {} : tryParseJson(text);
  if (input === undefined) throw new ConfigError("RHONE_CONFIG: expected JSON");
  const parsed = schema.safeParse(input);
  if (!parsed.success) throw new ConfigError(formatIssue(parsed.error, "RHONE_CONFIG"));
  const { aliases = {}, routes = {}, cooldown, defaults, cors, records, tools, tool_secrets, ...policy } = parsed.data;
  const config: Config = {
    aliases: lowerCaseKeys(aliases),
    routes: new Map([...lowerCaseKeys(routes)].map(([model, route]) => [model, toRoute(route)])),
    policy: withChanges(DEFAULT_POLICY, toPolicyChanges(policy)),
    cooldown: { failures: 3, seconds: 30, ...withoutUndefined({ ...cooldown }) },
    defaults: toDefaults(defaults),
    cors: { origins: new Set(cors?.origins) },
    records: toRecordsConfig(records),
    tools: { registered: new Set(tools?.origins), own: new Set(tools?.own_hosts?.map((host) => host.toLowerCase())) },
    toolSecrets: new Map(Object.entries(tool_secrets ?? {})),
  };
  for (const alias of config.aliases.keys()) resolveAlias(alias, config.aliases);
  return config;
}

const toDefaults = (given: NonNullable<ConfigInput["defaults"]> = {}): Defaults => ({
  contextMode: given.context_mode ?? "stateful",
  onDisconnect: given.on_disconnect ?? "complete",
  onBusy: given.on_busy ?? "queue",
  createsSessions: given.create_sessions ?? false,
});

/** A configuration that cannot be used. The message is one line for its author. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/** Follows aliases until a name is none. Throws `ConfigError` if they form a loop. */
export function resolveAlias(model: string, aliases: Config["aliases"]): string {
  const path: string[] = [];
  let name = model;
  for (let next = aliases.get(name.toLowerCase()); next !== undefined; next = aliases.get(name.toLowerCase())) {
    path.push(name);
    name = next;
    const isCircle = path.some((visited) => visited.toLowerCase() === name.toLowerCase());
    if (isCircle) throw new ConfigError(`RHONE_CONFIG.aliases: a loop: ${[...path, name].join(" → ")}`);
  }
  return name;
}

/** The policy with these changes, member by member. */
export const withChanges = (policy: RoutingPolicy, { deadlines, retries, ...rest }: PolicyChanges): RoutingPolicy => ({
  ...policy,
  ...rest,
  deadlines: { ...policy.deadlines, ...deadlines },
  retries: { ...policy.retries, ...retries },
});

/** The policy's members in their configuration form → as they are used. Absent members stay absent. */
export function toPolicyChanges({ deadlines_ms, retries, midstream, strategy }: PolicyInput): PolicyChanges {
  return {
    ...(deadlines_ms && {
      deadlines: withoutUndefined({
        headers: deadlines_ms.headers,
        firstContent: deadlines_ms.first_content,
        fallback: deadlines_ms.fallback,
        whole: deadlines_ms.whole,
        idle: deadlines_ms.idle,
        total: deadlines_ms.total,
      }),
    }),
    ...(retries && {
      retries: withoutUndefined({
        max: retries.max,
        baseMs: retries.base_ms,
        maxMs: retries.max_ms,
        retryAfterMaxMs: retries.retry_after_max_ms,
      }),
    }),
    ...(midstream && { midstream }),
    ...(strategy && { strategy }),
  };
}

function toRoute(input: NonNullable<ConfigInput["routes"]>[string]): Route {
  const { targets: list, ...policy } = Array.isArray(input) ? { targets: input } : input;
  return { targets: list.map(({ target, ...rest }) => ({ model: target, ...rest })), changes: toPolicyChanges(policy) };
}

/** Scheme, host and optional port, without a path. */
function isOrigin(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.origin === text && /^https?:$/.test(url.protocol) && !text.includes("*");
}

const lowerCaseKeys = <T>(record: Record<string, T>): Map<string, T> =>
  new Map(Object.entries(record).map(([key, value]) => [key.toLowerCase(), value]));

/** The members of a zod shape, all optional. */
function makeOptional<T extends Record<string, z.ZodType>>(shape: T): { [K in keyof T]: z.ZodOptional<T[K]> } {
  const entries = Object.entries(shape).map(([key, type]) => [key, type.optional()]);
  return Object.fromEntries(entries) as { [K in keyof T]: z.ZodOptional<T[K]> };
}
