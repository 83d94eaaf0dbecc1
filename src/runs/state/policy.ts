import { z } from "zod";
import { isObject, type Json, type JsonObject } from "../../wire/json.ts";

/** Whether running a tool changes anything, and whether running it twice changes more. `unknown` counts as the worst. */
export const EFFECTS = ["read_only", "idempotent", "non_idempotent", "unknown"] as const;
export type Effect = (typeof EFFECTS)[number];

/** What happens to a call of a tool: it runs, it is refused, or a person decides. */
const TOOL_VERDICTS = ["allow", "deny", "ask"] as const;
type CallVerdict = (typeof TOOL_VERDICTS)[number];

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);

/** Milliseconds and seconds that an approval may take. */
const MIN_EXPIRY_S = 60;
const MAX_EXPIRY_S = 30 * 86_400;

/** A condition on the arguments of a call. `field`: a path with dots. A field that is missing, or of another type, matches nothing. */
const condition = z.discriminatedUnion("op", [
  z
    .strictObject({ field: z.string().min(1), op: z.enum(["eq", "neq"]), value: scalar })
    .meta({ id: "EqualityCondition" }),
  z
    .strictObject({
      field: z.string().min(1),
      op: z.enum(["gt", "gte", "lt", "lte"]),
      value: z.union([z.number(), z.string()]),
    })
    .meta({ id: "OrderCondition" }),
  z
    .strictObject({ field: z.string().min(1), op: z.enum(["in", "nin"]), value: z.array(scalar).max(256) })
    .meta({ id: "MembershipCondition" }),
  z
    .strictObject({ field: z.string().min(1), op: z.enum(["contains", "starts_with"]), value: z.string() })
    .meta({ id: "TextCondition" }),
  z
    .strictObject({
      field: z.string().min(1),
      op: z.literal("between"),
      value: z.tuple([z.union([z.number(), z.string()]), z.union([z.number(), z.string()])]),
    })
    .meta({ id: "RangeCondition" }),
  z
    .strictObject({ field: z.string().min(1), op: z.literal("exists"), value: z.boolean() })
    .meta({ id: "PresenceCondition" }),
]);

type Condition = z.infer<typeof condition>;

const decision = {
  when: condition.optional(),
  do: z.enum(TOOL_VERDICTS),
  expires_s: z.int().min(MIN_EXPIRY_S).max(MAX_EXPIRY_S).optional(),
  approver: z.enum(["any", "other"]).optional().meta({ description: "other: not the key that has started the run" }),
};

/** A rule for the tools whose names match `tool`, in which `*` stands for any characters. */
export const toolRule = z.strictObject({ tool: z.string().min(1).max(256), ...decision }).meta({ id: "ToolRule" });
export type ToolRule = z.infer<typeof toolRule>;

/** The policy that a tool brings with it: a verdict, or rules without names. */
export const ownPolicy = z
  .union([
    z.enum(TOOL_VERDICTS),
    z
      .array(z.strictObject(decision).meta({ id: "OwnToolRule" }))
      .min(1)
      .max(64),
  ])
  .meta({ id: "ToolPolicy" });

type Rule = Omit<ToolRule, "tool">;

/** A decision about a call, with how long an approval may take and who may give it. */
export type ToolVerdict = { do: CallVerdict; expiresSeconds: number; approver: "any" | "other" };

/** How long an approval may take by default. Seconds. */
const DEFAULT_EXPIRY_S = 86_400;

/** A tool as policy sees it. `names`: that for the model, and in full. `own`: its own policy. */
type JudgedTool = {
  names: readonly string[];
  kind: "function" | "native" | "http" | "mcp";
  effect: Effect;
  own: z.infer<typeof ownPolicy> | undefined;
};

/**
 * Decides about a call: the first rule that matches, of the run's and then of the tool's own. Without one, what only reads, what may be
 * repeated and what the client executes itself is allowed, and a person decides about the rest.
 */
export function judgeCall(
  { names, kind, effect, own }: JudgedTool,
  args: JsonObject,
  rules: readonly ToolRule[],
): ToolVerdict {
  const ownRules: readonly Rule[] = typeof own === "string" ? [{ do: own }] : (own ?? []);
  const named = rules.filter(({ tool }) => matchesAny(tool, names));
  const rule = [...named, ...ownRules].find(({ when }) => when === undefined || matches(when, args));
  const isHarmless = kind === "function" || effect === "read_only" || effect === "idempotent";
  return {
    do: rule?.do ?? (isHarmless ? "allow" : "ask"),
    expiresSeconds: rule?.expires_s ?? DEFAULT_EXPIRY_S,
    approver: rule?.approver ?? "any",
  };
}

/** Whether one of a tool's names matches a pattern. */
export const matchesAny = (pattern: string, names: readonly string[]): boolean =>
  names.some((name) => matchesPattern(pattern, name));

/** Whether a name matches a pattern in which `*` stands for any characters. Linear: each part is looked for once. */
export function matchesPattern(pattern: string, name: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (rest.length === 0) return pattern === name;
  const last = rest.pop()!;
  if (!name.startsWith(first) || name.length < first.length + last.length || !name.endsWith(last)) return false;
  let at = first.length;
  const end = name.length - last.length;
  return rest.every((part) => {
    const found = name.indexOf(part, at);
    at = found + part.length;
    return found >= 0 && at <= end;
  });
}

const matches = (when: Condition, args: JsonObject): boolean => {
  const value = findField(args, when.field);
  if (when.op === "exists") return (value !== undefined) === when.value;
  return value !== undefined && COMPARISONS[when.op](value, when.value as never);
};

/** How a field that is there compares with the value of a condition. */
const COMPARISONS: { [Op in Exclude<Condition["op"], "exists">]: (field: Json, value: ValueOf<Op>) => boolean } = {
  eq: (field, value) => field === value,
  neq: (field, value) => typeof field === typeof value && field !== value,
  gt: (field, value) => isOrdered(value, field) && field !== value,
  gte: (field, value) => isOrdered(value, field),
  lt: (field, value) => isOrdered(field, value) && field !== value,
  lte: (field, value) => isOrdered(field, value),
  in: (field, value) => value.some((one) => one === field),
  nin: (field, value) => isScalar(field) && value.every((one) => one !== field),
  contains: (field, value) => (typeof field === "string" || Array.isArray(field)) && field.includes(value),
  starts_with: (field, value) => typeof field === "string" && field.startsWith(value),
  between: (field, [low, high]) => isOrdered(low, field) && isOrdered(field, high),
};

type ValueOf<Op, One = Condition> = One extends { op: infer Own; value: infer Value }
  ? Op extends Own
    ? Value
    : never
  : never;

const isScalar = (value: Json): boolean => value === null || typeof value !== "object";

/** Whether two values of one type stand in this order, or are the same. */
function isOrdered(low: Json, high: Json): boolean {
  if (typeof low === "number" && typeof high === "number") return low <= high;
  return typeof low === "string" && typeof high === "string" && low <= high;
}

/** The value at a path with dots; a name with a dot in it is found as well. */
function findField(args: JsonObject, path: string): Json | undefined {
  if (Object.hasOwn(args, path)) return args[path];
  let value: Json | undefined = args;
  for (const name of path.split(".")) {
    if (Array.isArray(value)) value = value[Number(name)];
    else value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  }
  return value;
}
