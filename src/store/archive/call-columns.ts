import { withPrefix } from "../../wire/id.ts";
import { type FileFormat, fromCell, normalize, type StoredRow } from "./columns.ts";

/**
 * The files of calls (docs/records.md). JSON is plain text, money is in micro-dollars, times are UTC. A file has all columns;
 * new ones are added at the end, with new field ids.
 */
export const CALL_FILES: FileFormat = {
  schema: "calls/1",
  columns: [
    { id: 1, name: "id", kind: "text", isRequired: true },
    // Not `org`: readers make a column of that name of the path, and some refuse a second one.
    { id: 2, name: "organization", kind: "text", isRequired: true },
    { id: 3, name: "session_id", kind: "text", isRequired: true },
    { id: 4, name: "turn_id", kind: "text" },
    { id: 5, name: "key_id", kind: "text", isRequired: true },
    { id: 6, name: "surface", kind: "text", isRequired: true },
    { id: 7, name: "stream", kind: "flag", isRequired: true },
    { id: 8, name: "context_mode", kind: "text", isRequired: true },
    { id: 9, name: "model_asked", kind: "text", isRequired: true },
    { id: 10, name: "model", kind: "text" },
    { id: 11, name: "provider", kind: "text" },
    { id: 12, name: "status", kind: "text", isRequired: true },
    { id: 13, name: "finish_reason", kind: "text" },
    { id: 14, name: "tokens_fresh", kind: "count" },
    { id: 15, name: "tokens_cache_read", kind: "count" },
    { id: 16, name: "tokens_cache_write", kind: "count" },
    { id: 17, name: "tokens_output", kind: "count" },
    { id: 18, name: "tokens_reasoning", kind: "count" },
    { id: 19, name: "tokens_input_audio", kind: "count" },
    { id: 20, name: "tokens_output_audio", kind: "count" },
    { id: 21, name: "tokens_cache_write_1h", kind: "count" },
    { id: 22, name: "searches", kind: "count" },
    { id: 23, name: "usage_native", kind: "text" },
    { id: 24, name: "cost_micros_usd", kind: "count" },
    { id: 25, name: "latency_gateway_ms", kind: "count", isRequired: true },
    { id: 26, name: "latency_first_byte_ms", kind: "count" },
    { id: 27, name: "latency_total_ms", kind: "count", isRequired: true },
    { id: 28, name: "attempts", kind: "text", isRequired: true },
    { id: 29, name: "losses", kind: "text", isRequired: true },
    { id: 30, name: "error", kind: "text" },
    { id: 31, name: "metadata", kind: "text" },
    { id: 32, name: "conversation", kind: "text" },
    { id: 33, name: "created_at", kind: "time", isRequired: true },
    { id: 34, name: "ended_at", kind: "time", isRequired: true },
    { id: 35, name: "assessment", kind: "text" },
    { id: 36, name: "feedback_score", kind: "score" },
    { id: 37, name: "audit_seq", kind: "count" },
    { id: 38, name: "audit_salt", kind: "text" },
    { id: 39, name: "audit_leaf", kind: "text" },
    { id: 40, name: "audit_signature", kind: "text" },
    { id: 41, name: "changes", kind: "count", isRequired: true },
    { id: 42, name: "safety", kind: "text" },
    { id: 43, name: "run_id", kind: "text" },
  ],
};

/** The row of D1 as a file has it. Inverse: `fromFileRow`. */
export function toFileRow(row: StoredRow): StoredRow {
  const turn_id = row.has_turn === 1 ? withPrefix(String(row.id), "turn") : null;
  return normalize({ ...row, organization: row.org ?? null, turn_id }, CALL_FILES);
}

/** The row of D1 that a row of a file was, as far as its columns were read. */
export function fromFileRow(cells: Record<string, unknown>): StoredRow {
  const row: StoredRow = {};
  for (const { name, kind } of CALL_FILES.columns) {
    const cell = cells[name];
    if (cell === undefined) continue;
    if (name === "organization") row.org = fromCell(kind, cell);
    else if (name === "turn_id") row.has_turn = Number(cell !== null);
    else row[name] = fromCell(kind, cell);
  }
  return row;
}
