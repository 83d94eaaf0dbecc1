import { z } from "zod";
import { invalid } from "../canonical/error.ts";
import { type SafetyPolicy, safetyPolicySchema } from "../shield/policy.ts";
import { budgetsSchema, limitsSchema, timeZoneSchema } from "./budget/account.ts";
import { harnessIdSchema } from "./harness-id.ts";
import { containsRange, isRange } from "./ip-ranges.ts";
import { SCOPES } from "./scopes.ts";

/** Policies of keys, in the form of the API, which is also the stored one. */

/** Names of surfaces that a key can be limited to. `images` and `audio` include all their endpoints. */
export const SURFACE_NAMES = [
  "chat",
  "responses",
  "messages",
  "gemini",
  "native",
  "completions",
  "embeddings",
  "images",
  "audio",
  "moderations",
  "count_tokens",
] as const;
export type SurfaceName = (typeof SURFACE_NAMES)[number];

/** An empty list would allow nothing, which is more likely a mistake; revoking a key says so. */
const nonEmptyList = <T extends z.ZodType>(item: T) => z.array(item).min(1, "expected at least one").max(256);

// `any`, not `unknown`: the platform's types for RPC reject members of type `unknown`.
const jsonObject = z.record(z.string(), z.any());

const members = {
  name: z.string().min(1).max(128),
  scopes: nonEmptyList(z.enum(SCOPES, "expected a scope of docs/keys.md")),
  /** Model names in requests; `{provider}/*` for all of a provider. Absent: every model. */
  allowed_models: nonEmptyList(z.string().min(1).max(256)).optional(),
  allowed_surfaces: nonEmptyList(z.enum(SURFACE_NAMES)).optional(),
  /** Addresses and ranges: `203.0.113.7`, `10.0.0.0/8`, `2001:db8::/32`. Absent: every address. */
  allowed_ips: nonEmptyList(z.string().refine(isRange, "expected an address or a range such as 10.0.0.0/8")).optional(),
  budgets: budgetsSchema,
  limits: limitsSchema,
  time_zone: timeZoneSchema,
  defaults: z
    .strictObject({
      context_mode: z.enum(["stateful", "stateless"]),
      /** A call that names no session and no conversation is recognised by its transcript. */
      conversation: z.enum(["transcript"]),
      routing: jsonObject,
      /** What may not pass. A call may ask for more, never for less. */
      safety: safetyPolicySchema,
      /** The harness of runs that name none. */
      harness: harnessIdSchema,
    })
    .partial()
    .meta({ id: "KeyDefaults" }),
  metadata: z
    .record(z.string().max(64), z.string().max(512))
    .refine((pairs) => Object.keys(pairs).length <= 16, "expected at most 16 pairs"),
};

/** A request for a new key. Absent limits are inherited from the parent key (`inheritPolicy`). */
export const newPolicySchema = z.strictObject({
  ...members,
  scopes: members.scopes.default(["inference", "runs:read", "runs:write", "sessions:read", "sessions:write"]),
  budgets: budgetsSchema.default([]),
  limits: limitsSchema.default({}),
  time_zone: timeZoneSchema.default("UTC"),
  defaults: members.defaults.default({}),
  metadata: members.metadata.default({}),
});

/** A change of a key's policy: absent members stay, null removes one. */
export const policyChangesSchema = z
  .strictObject({
    ...members,
    allowed_models: members.allowed_models.nullable(),
    allowed_surfaces: members.allowed_surfaces.nullable(),
    allowed_ips: members.allowed_ips.nullable(),
  })
  .partial();

export const policySchema = z.strictObject(members);
/** `expires_at`: Unix milliseconds; absent: never, if the deployment allows that. */
export type Policy = z.infer<typeof policySchema> & { expires_at?: number };

/** Adds the parent key's restrictions for members that the requested policy leaves open. */
export function inheritPolicy(requested: Policy, parent: Policy | undefined): Policy {
  if (parent === undefined) return requested;
  const { allowed_models, allowed_surfaces, allowed_ips, expires_at } = parent;
  const safety = requested.defaults.safety ?? parent.defaults.safety;
  const harness = requested.defaults.harness ?? parent.defaults.harness;
  return {
    ...(allowed_models && { allowed_models }),
    ...(allowed_surfaces && { allowed_surfaces }),
    ...(allowed_ips && { allowed_ips }),
    ...(expires_at !== undefined && { expires_at }),
    ...requested,
    defaults: { ...requested.defaults, ...(safety && { safety }), ...(harness !== undefined && { harness }) },
    limits: { ...parent.limits, ...requested.limits },
  };
}

/**
 * A key never exceeds its parent key. Throws `request.invalid` naming the first field that would. Budgets are not compared:
 * what a key spends is charged to its parents as well.
 */
export function requireSubset(requested: Policy, parent: Policy | undefined): void {
  if (parent === undefined) return;
  requested.scopes.forEach((scope, i) => parent.scopes.includes(scope) || rejectField(`scopes[${i}]`));
  if (!isWithin(requested.allowed_models, parent.allowed_models, coversModel)) rejectField("allowed_models");
  if (!isWithin(requested.allowed_surfaces, parent.allowed_surfaces, (a, b) => a === b))
    rejectField("allowed_surfaces");
  if (!isWithin(requested.allowed_ips, parent.allowed_ips, containsRange)) rejectField("allowed_ips");
  if (!isAsSafe(requested.defaults.safety, parent.defaults.safety)) rejectField("defaults.safety");
  if ((parent.defaults.harness ?? requested.defaults.harness) !== requested.defaults.harness)
    rejectField("defaults.harness");
  if ((requested.expires_at ?? Infinity) > (parent.expires_at ?? Infinity)) rejectField("expires_at");
  for (const name of ["requests_per_minute", "tokens_per_minute", "concurrency"] as const)
    if ((requested.limits[name] ?? Infinity) > (parent.limits[name] ?? Infinity)) rejectField(`limits.${name}`);
}

/** Profiles cannot be compared here: it must be the same one, and no milder mode. */
function isAsSafe(requested: SafetyPolicy | undefined, parent: SafetyPolicy | undefined): boolean {
  if (parent === undefined) return true;
  const isSame = requested?.profile === parent.profile;
  return isSame && (requested?.mode === parent.mode || requested?.mode === "enforce");
}

function rejectField(field: string): never {
  throw invalid(field, "expected no more than the parent key allows");
}

/** An absent list allows everything, so it is within the parent's only if that is absent too. */
function isWithin<T>(
  requested: readonly T[] | undefined,
  parent: readonly T[] | undefined,
  covers: (wide: T, narrow: T) => boolean,
): boolean {
  if (parent === undefined) return true;
  return requested?.every((one) => parent.some((wide) => covers(wide, one))) ?? false;
}

/** Whether a pattern covers a model name or a narrower pattern: `openai/*` covers `openai/gpt-4o` and itself. Case is ignored, as for models. */
export function coversModel(pattern: string, name: string): boolean {
  const wide = pattern.toLowerCase();
  const narrow = name.toLowerCase();
  return wide === narrow || (wide.endsWith("/*") && narrow.startsWith(wide.slice(0, -1)));
}
