import { SURFACE_NAMES } from "../../../keys/policy.ts";
import { SCOPES } from "../../../keys/scopes.ts";
import {
  arrayOf,
  type Components,
  describe,
  flag,
  integer,
  literal,
  nullable,
  object,
  oneOf,
  ref,
  text,
  time,
} from "../json-schema.ts";

/** Spending of keys and organisations, and the caller's own description. Money is micro-dollars. */
export const accountSchemas = (): Components => ({
  // The state of an account (keys/budget/usage.ts). `key_id` is absent for organisations and tags.
  AccountUsage: object({
    object: literal("usage"),
    "key_id?": text,
    time_zone: text,
    budgets: arrayOf(ref("BudgetUsage")),
    periods: arrayOf(ref("PeriodUsage")),
    days: arrayOf(ref("DayUsage")),
  }),
  BudgetUsage: object({
    period: text,
    hard: describe(flag, "false: the budget is counted and refuses nothing."),
    limit_micros_usd: integer,
    spent_micros_usd: integer,
    reserved_micros_usd: describe(integer, "Reserved for running calls."),
    remaining_micros_usd: integer,
    resets_at: nullable(time),
  }),
  // Spending by period, also where no budget limits it.
  PeriodUsage: object({ period: text, spent_micros_usd: integer, reserved_micros_usd: integer }),
  // The last days on which calls were charged, in the time zone of the account.
  DayUsage: object({ day: text, calls: integer, tokens: integer, cost_micros_usd: integer }),
  // The caller of `GET /v1/me`.
  Me: object({
    object: literal("me"),
    type: describe(oneOf("bootstrap", "key", "client_token"), "The kind of credential."),
    key_id: describe(text, "The key; of a client token the key that issued it."),
    name: text,
    organization: ref("OrganizationName"),
    "session_id?": describe(text, "Of a client token: the only session that it opens."),
    scopes: arrayOf(oneOf(...SCOPES)),
    allowed_models: describe(nullable(arrayOf(text)), "null: every model."),
    allowed_surfaces: describe(nullable(arrayOf(oneOf(...SURFACE_NAMES))), "null: every surface."),
    limits: ref("Limits"),
    "budgets?": describe(arrayOf(ref("BudgetUsage")), "Absent for a client token, which does not see its key's money."),
    expires_at: describe(nullable(time), "null: it does not expire."),
    features: describe(arrayOf(text), "The optional parts that this gateway has."),
  }),
  OrganizationName: object({ id: text, name: text }),
});
