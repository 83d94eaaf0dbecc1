import { z } from "zod";
import { invalid } from "../canonical/error.ts";
import { containsRange, isRange } from "./ip-ranges.ts";
import { SCOPES } from "./scopes.ts";
import { budgets, limits, timeZone } from "./budget/account.ts";

/** What a key may do, as the API writes it and as it is stored. */

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

const some = <T extends z.ZodType>(item: T) => z.array(item).min(1, "expected at least one").max(256);

// `any`, not `unknown`: what may be anything may not cross to another object, says the platform's type.
const object = z.record(z.string(), z.any());

const members = {
  name: z.string().min(1).max(128),
  scopes: some(z.enum(SCOPES, "expected a scope of docs/keys.md")),
  /** Names as callers write them; `{provider}/*` for all of a provider's. Absent: every model. */
  allowed_models: some(z.string().min(1).max(256)).optional(),
  allowed_surfaces: some(z.enum(SURFACE_NAMES)).optional(),
  /** Addresses and ranges: `203.0.113.7`, `10.0.0.0/8`, `2001:db8::/32`. Absent: from everywhere. */
  allowed_ips: some(z.string().refine(isRange, "expected an address or a range such as 10.0.0.0/8")).optional(),
  budgets,
  limits,
  time_zone: timeZone,
  defaults: z
    .strictObject({
      context_mode: z.enum(["stateful", "stateless"]),
      routing: object,
      safety: object,
      assessment: z.union([object, z.literal(false)]),
    })
    .partial(),
  metadata: z
    .record(z.string().max(64), z.string().max(512))
    .refine((pairs) => Object.keys(pairs).length <= 16, "expected at most 16 pairs"),
};

/** What a maker says of a new key; what it leaves out is its own where that is narrower. */
export const newPolicy = z.strictObject({
  ...members,
  scopes: members.scopes.default(["inference", "sessions:read", "sessions:write"]),
  budgets: budgets.default([]),
  limits: limits.default({}),
  time_zone: timeZone.default("UTC"),
  defaults: members.defaults.default({}),
  metadata: members.metadata.default({}),
});

export const changedPolicy = z
  .strictObject({
    ...members,
    allowed_models: members.allowed_models.nullable(),
    allowed_surfaces: members.allowed_surfaces.nullable(),
    allowed_ips: members.allowed_ips.nullable(),
  })
  .partial();

export const policySchema = z.strictObject(members);
/** `expires_at`: Unix milliseconds; absent: never, where the deployment allows that. */
export type Policy = z.infer<typeof policySchema> & { expires_at?: number };

/** The policy with what a maker's is narrower in and this one leaves open. */
export function inheritPolicy(wanted: Policy, maker: Policy | undefined): Policy {
  if (maker === undefined) return wanted;
  const { allowed_models, allowed_surfaces, allowed_ips, expires_at } = maker;
  return {
    ...(allowed_models && { allowed_models }),
    ...(allowed_surfaces && { allowed_surfaces }),
    ...(allowed_ips && { allowed_ips }),
    ...(expires_at !== undefined && { expires_at }),
    ...wanted,
    limits: { ...maker.limits, ...wanted.limits },
  };
}

/**
 * A key never exceeds its maker. Throws `request.invalid` naming the first field that would. Budgets need no look: what a key
 * spends is charged to its makers as well.
 */
export function requireSubset(wanted: Policy, maker: Policy | undefined): void {
  if (maker === undefined) return;
  wanted.scopes.forEach((scope, i) => maker.scopes.includes(scope) || beyond(`scopes[${i}]`));
  if (!isWithin(wanted.allowed_models, maker.allowed_models, coversModel)) beyond("allowed_models");
  if (!isWithin(wanted.allowed_surfaces, maker.allowed_surfaces, (a, b) => a === b)) beyond("allowed_surfaces");
  if (!isWithin(wanted.allowed_ips, maker.allowed_ips, containsRange)) beyond("allowed_ips");
  if ((wanted.expires_at ?? Infinity) > (maker.expires_at ?? Infinity)) beyond("expires_at");
  for (const name of ["requests_per_minute", "tokens_per_minute", "concurrency"] as const)
    if ((wanted.limits[name] ?? Infinity) > (maker.limits[name] ?? Infinity)) beyond(`limits.${name}`);
}

function beyond(field: string): never {
  throw invalid(field, "expected no more than the key that makes it has itself");
}

function isWithin<T>(
  wanted: readonly T[] | undefined,
  maker: readonly T[] | undefined,
  covers: (wide: T, narrow: T) => boolean,
): boolean {
  if (maker === undefined) return true;
  return wanted?.every((one) => maker.some((wide) => covers(wide, one))) ?? false;
}

/** `openai/*` covers `openai/gpt-4o` and itself. Names are compared as models are: in any case. */
export function coversModel(pattern: string, name: string): boolean {
  const wide = pattern.toLowerCase();
  const narrow = name.toLowerCase();
  return wide === narrow || (wide.endsWith("/*") && narrow.startsWith(wide.slice(0, -1)));
}
