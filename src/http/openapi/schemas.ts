import { z } from "@hono/zod-openapi";
import { ERROR_STATUS, type ErrorCode } from "../../canonical/error.ts";

const codes = Object.keys(ERROR_STATUS) as [ErrorCode, ...ErrorCode[]];

/** SPEC 18, on the native routes. */
const error = z
  .object({
    error: z.object({
      code: z.enum(codes),
      message: z.string(),
      retryable: z.boolean(),
      details: z.record(z.string(), z.unknown()),
      request_id: z.string(),
    }),
  })
  .openapi("Error");

/** A route's JSON body, and its JSON answer, for the documentation and the check. */
export const body = <T extends z.ZodType>(schema: T) => ({
  required: true,
  content: { "application/json": { schema } },
});
export const answer = <T extends z.ZodType>(description: string, schema: T) => ({
  description,
  content: { "application/json": { schema } },
});

const MEANING: Record<number, string> = {
  400: "A field is wrong; the message names it",
  401: "No valid key",
  404: "Not there, or another organisation's",
};

type Failure = { description: string; content: { "application/json": { schema: typeof error } } };

/** The answers that are none, for a route's documentation. 401 goes without saying. */
export function errorResponses(...statuses: number[]): Record<number, Failure> {
  const all = [401, ...statuses].map((status) => [
    status,
    { description: MEANING[status]!, content: { "application/json": { schema: error } } },
  ]);
  return Object.fromEntries(all) as Record<number, Failure>;
}
