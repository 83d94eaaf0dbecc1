import { z } from "zod";
import { isTimeZone, PERIODS } from "./periods.ts";

/** Budgets and limits of an account, in the form of the API, which is also the stored one. Money is whole micro-dollars. */

const countSchema = z.int("expected a whole number").min(1, "expected at least 1").max(1_000_000_000);

const budgetSchema = z
  .strictObject({
    period: z.enum(PERIODS),
    limit_micros_usd: z
      .int("expected whole micro-dollars")
      .min(0, "expected no less than 0")
      .max(Number.MAX_SAFE_INTEGER, "expected whole micro-dollars"),
    /** A soft budget is only counted and shown; a hard one refuses calls. */
    hard: z.boolean().default(true),
  })
  .meta({ id: "Budget" });

export type Budget = z.infer<typeof budgetSchema>;

/** At most a hard and a soft budget for each of the four periods. */
export const budgetsSchema = z
  .array(budgetSchema)
  .max(8)
  .refine((all) => new Set(all.map(({ period, hard }) => `${period} ${hard}`)).size === all.length, {
    message: "expected at most one hard and one soft budget for each period",
  });

/** Requests and tokens in any 60 seconds, and calls that run at the same time. Absent: unlimited. */
export const limitsSchema = z
  .strictObject({
    requests_per_minute: countSchema,
    tokens_per_minute: countSchema,
    concurrency: countSchema,
  })
  .partial()
  .meta({ id: "Limits" });

type Limits = z.infer<typeof limitsSchema>;

/** The time zone in which days, weeks (from Monday) and months start. An IANA name. */
export const timeZoneSchema = z.string().refine(isTimeZone, "expected a time zone's name, as in Europe/Zurich");

/** The limits that a ledger enforces: of a key, an organisation or a tag. */
export type Account = { budgets: Budget[]; limits: Limits; time_zone: string };
