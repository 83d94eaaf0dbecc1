import { and, asc, desc, eq, gt, lt, or, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { completions } from "./schema.ts";
import { upsertInto } from "./upsert.ts";

/**
 * A stored chat completion as lists find it; its content is in its session's object. Of two records of one call the one
 * with the higher `revision` is newer.
 */
export type CompletionRecord = {
  object: "completion";
  org: string;
  call: string;
  /** The id that the client received: that of the provider. */
  id: string;
  /** `deleted`: a tombstone, so that an older record that arrives later does not restore it. */
  status: "stored" | "deleted";
  model: string;
  metadata: Record<string, string>;
  revision: number;
  createdAt: number;
};

/** `after`: the last one of the previous page. */
export type CompletionPage = {
  org: string;
  model?: string;
  metadata: Record<string, string>;
  order: "asc" | "desc";
  after?: Pick<CompletionRecord, "createdAt" | "call">;
  limit: number;
};

/** A page of an organisation's stored completions, in the order of their creation. */
export async function listCompletions(
  d1: D1Database,
  { org, model, metadata, order, after, limit }: CompletionPage,
): Promise<CompletionRecord[]> {
  const { createdAt, call } = completions;
  const [isBehind, inOrder] = order === "asc" ? [gt, asc] : [lt, desc];
  const conditions: (SQL | undefined)[] = [
    eq(completions.org, org),
    eq(completions.status, "stored"),
    model === undefined ? undefined : eq(completions.model, model),
    after && or(isBehind(createdAt, after.createdAt), and(eq(createdAt, after.createdAt), isBehind(call, after.call))),
    // As for sessions: a JSON path could not express every key.
    ...Object.entries(metadata).map(
      ([key, value]) =>
        sql`exists (select 1 from json_each(${completions.metadata}) as pair where pair.key = ${key} and pair.value = ${value})`,
    ),
  ];
  const rows = await drizzle(d1)
    .select()
    .from(completions)
    .where(and(...conditions))
    .orderBy(inOrder(createdAt), inOrder(call))
    .limit(limit);
  return rows.map((row) => ({ object: "completion", ...row }));
}

/** Writes records, except over a newer one of the same call, or a tombstone of the same time. */
export const upsertCompletions = upsertInto(completions, {
  key: [completions.org, completions.call],
  isNewer:
    "completions.revision < excluded.revision OR (completions.revision = excluded.revision AND excluded.status = 'deleted')",
});
