import { z } from "@hono/zod-openapi";
import { invalid } from "../../canonical/error.ts";
import { objectIdIn } from "../../wire/id.ts";

/** Query parameters of a paged list. */
export const page = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(20).openapi({ description: "At most this many." }),
  after: z.string().optional().openapi({ description: "The `last_id` of the previous page." }),
});

/** Query parameters of a list whose entries have ids with this prefix; `after` is the last id of the previous page. */
export const pageOfIds = (prefix: string) =>
  page.extend({
    after: z
      .string()
      .refine((id) => objectIdIn(prefix, id) !== undefined, "expected the last_id of the previous page")
      .optional()
      .openapi({ description: "The `last_id` of the previous page." }),
  });

/** A list without pages, as the component `name`. */
export const listOf = <T extends z.ZodType>(item: T, name: string) =>
  z.object({ object: z.literal("list"), data: z.array(item) }).openapi(name);

/** A page of a list, as the component `name`. */
export const pageOf = <T extends z.ZodType>(item: T, name: string) =>
  z
    .object({
      object: z.literal("list"),
      data: z.array(item),
      has_more: z.boolean(),
      last_id: z.string().nullable().openapi({ description: "What to send as `after` for the next page." }),
    })
    .openapi(name);

/** Makes a page of `limit` entries from a query for `limit + 1`: the additional one shows whether there are more. */
export function toPage<T extends { id: string }>(found: readonly T[], limit: number) {
  const data = found.slice(0, limit);
  return { object: "list" as const, data, has_more: found.length > limit, last_id: data.at(-1)?.id ?? null };
}

/** Parses RFC 3339 into Unix milliseconds. Throws `request.invalid` naming the field. */
export function timeIn(text: string, param: string): number {
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw invalid(param, "expected a time as in 2026-11-21T09:30:00Z");
  return at;
}
