import type { Storage } from "../store/sql.ts";

/** The SQLite database of a Durable Object as the narrow interface that everything below `objects/` takes. */
export const objectStorage = (ctx: DurableObjectState): Storage => ({
  sql: (query, ...values) => ctx.storage.sql.exec(query, ...values).toArray() as never[],
  transact: (work) => ctx.storage.transactionSync(work),
});
