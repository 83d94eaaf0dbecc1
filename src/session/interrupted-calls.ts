import { type CallRecord, RESTARTED } from "../store/records.ts";
import type { Sql } from "../store/sql.ts";
import { listRunningCalls } from "./calls.ts";

/**
 * Records of the calls that a crash interrupted. Runs when the object starts, so a call that is `running` then ran in a
 * predecessor. Its usage is unknown: `{}`.
 */
export const listInterruptedCalls = (sql: Sql, endedAt: number): CallRecord[] =>
  listRunningCalls(sql).map(({ started }) => ({
    ...started,
    status: "interrupted",
    usage: {},
    latency: { gateway: 0, total: endedAt - started.createdAt },
    attempts: [],
    losses: [],
    error: RESTARTED,
    endedAt,
  }));
