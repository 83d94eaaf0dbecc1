import type { SchemaElement } from "hyparquet";

/** A row as D1 stores it: JSON as text. */
export type StoredRow = Record<string, string | number | null>;

type Kind = "text" | "flag" | "count" | "score" | "time";

/** A column of files. `id`: its field id, by which readers such as Iceberg know it for ever. */
export type FileColumn = { id: number; name: string; kind: Kind; isRequired?: true };

/** What files of one kind have. `schema`: their name and version, in the metadata of each. */
export type FileFormat = { schema: string; columns: readonly FileColumn[] };

/** Of the metadata of a file. */
export const SCHEMA_KEY = "rhone.schema";

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

export const toFileSchema = ({ columns }: FileFormat): SchemaElement[] => [
  { name: "root", num_children: columns.length },
  ...columns.map(({ id, name, kind, isRequired }): SchemaElement => ({
    name,
    field_id: id,
    repetition_type: isRequired ? "REQUIRED" : "OPTIONAL",
    ...TYPES[kind],
  })),
];

/**
 * The row with a value of its kind in each column: SQLite stores anything anywhere, and one odd number must not keep a file from
 * being written. Whole numbers are those that a double has exactly.
 */
export const normalize = (row: StoredRow, { columns }: FileFormat): StoredRow =>
  Object.fromEntries(columns.map(({ name, kind, isRequired }) => [name, valueOf(kind, row[name] ?? null, isRequired)]));

function valueOf(kind: Kind, value: string | number | null, isRequired = false): string | number | null {
  if (kind === "text") return value === null && !isRequired ? null : String(value ?? "");
  if (value === null && !isRequired) return null;
  const number = Number(value);
  if (!Number.isFinite(number)) return isRequired ? 0 : null;
  return kind === "score"
    ? number
    : Math.round(Math.min(Math.max(number, -Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER));
}

/** A normalized value as the writer takes it. Inverse: `fromCell`. */
export function toCell(kind: Kind, value: string | number | null): unknown {
  if (value === null || kind === "text" || kind === "score") return value;
  if (kind === "flag") return value === 1;
  return kind === "time" ? new Date(Number(value)) : BigInt(value);
}

export function fromCell(kind: Kind, cell: unknown): string | number | null {
  if (cell === null || kind === "text" || kind === "score") return cell as string | number | null;
  if (kind === "flag") return Number(cell === true);
  return kind === "time" ? (cell as Date).getTime() : Number(cell);
}
