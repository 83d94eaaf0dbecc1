import type { SchemaElement } from "hyparquet";
import { withPrefix } from "../../wire/id.ts";

/** A row of D1 as it is stored: JSON as text. */
export type StoredRow = Record<string, string | number | null>;

type Kind = "text" | "flag" | "count" | "score" | "time";

/** A column of the files. `id`: its field id, by which readers such as Iceberg know it for ever. */
type Column = { id: number; name: string; kind: Kind; isRequired?: true };

/**
 * The columns of the files of calls (docs/records.md). JSON is plain text, money is in micro-dollars, times are UTC. A file
 * has all of them; new ones are added at the end, with new field ids.
 */
export const CALL_COLUMNS: readonly Column[] = [
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
];

/** Of the key-value metadata of a file. */
export const CALL_SCHEMA = { key: "rhone.schema", value: "calls/1" };

const TYPES: Record<Kind, Omit<SchemaElement, "name">> = {
  // JSON too: PyIceberg's `add_files` cannot take JSON's own logical type.
  text: { type: "BYTE_ARRAY", converted_type: "UTF8", logical_type: { type: "STRING" } },
  flag: { type: "BOOLEAN" },
  count: { type: "INT64" },
  score: { type: "DOUBLE" },
  time: {
    type: "INT64",
    converted_type: "TIMESTAMP_MICROS",
    logical_type: { type: "TIMESTAMP", isAdjustedToUTC: true, unit: "MICROS" },
  },
};

export const CALL_FILE_SCHEMA: SchemaElement[] = [
  { name: "root", num_children: CALL_COLUMNS.length },
  ...CALL_COLUMNS.map(({ id, name, kind, isRequired }): SchemaElement => ({
    name,
    field_id: id,
    repetition_type: isRequired ? "REQUIRED" : "OPTIONAL",
    ...TYPES[kind],
  })),
];

/** The value of a column in a file, from the row of D1. Inverse: `toStoredRow`. */
export function cellOf({ name, kind }: Column, row: StoredRow): unknown {
  if (name === "turn_id") return row.has_turn === 1 ? withPrefix(String(row.id), "turn") : null;
  if (name === "organization") return row.org;
  const value = row[name] ?? null;
  if (value === null || kind === "text" || kind === "score") return value;
  if (kind === "flag") return value === 1;
  return kind === "time" ? new Date(Number(value)) : BigInt(value);
}

/** The row of D1 that a row of a file was. */
export function toStoredRow(cells: Record<string, unknown>): StoredRow {
  const row: StoredRow = { has_turn: cells.turn_id == null ? 0 : 1 };
  if (cells.organization !== undefined) row.org = cells.organization as string;
  for (const { name, kind } of CALL_COLUMNS) {
    if (name === "turn_id" || name === "organization" || cells[name] === undefined) continue;
    const cell = cells[name];
    if (cell === null || kind === "text" || kind === "score") row[name] = cell as string | number | null;
    else
      row[name] = kind === "flag" ? Number(cell === true) : kind === "time" ? (cell as Date).getTime() : Number(cell);
  }
  return row;
}
