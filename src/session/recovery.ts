import type { CallRecord } from "../store/records.ts";
import { listRunningCalls } from "./calls.ts";
import type { Sql } from "../store/sql.ts";

/**
 * Records of the calls that a crash left behind: whatever runs while its object is only being made ran in one that is
 * gone. What it may have said is not known.
 */
export const listInterruptedCalls = (sql: Sql, endedAt: number): CallRecord[] =>
  listRunningCalls(sql).map(({ started }) => ({
    ...started,
    status: "interrupted",
    usage: {},
    latency: { gateway: 0, total: endedAt - started.createdAt },
    attempts: [],
    losses: [],
    error: { code: "stream.interrupted", message: "the gateway was restarted during this call", status: 502 },
    endedAt,
  }));
