import { getTableColumns } from "drizzle-orm";
import type { Usage } from "../canonical/types.ts";
import { withPrefix } from "../wire/id.ts";
import { withoutNull } from "../wire/json.ts";
import type { CallRecord } from "./records.ts";
import { callRecords } from "./schema.ts";

export type CallRow = typeof callRecords.$inferSelect;

/** The columns with token counts, and the members of `Usage` that they are. */
const USAGE = {
  tokensFresh: "fresh",
  tokensCacheRead: "cacheRead",
  tokensCacheWrite: "cacheWrite",
  tokensOutput: "output",
  tokensReasoning: "reasoning",
  tokensInputAudio: "inputAudio",
  tokensOutputAudio: "outputAudio",
  tokensCacheWrite1h: "cacheWrite1h",
  searches: "searches",
  usageNative: "native",
} as const satisfies Partial<Record<keyof CallRow, keyof Usage>>;

type UsageColumn = keyof typeof USAGE;
const USAGE_COLUMNS = Object.keys(USAGE) as UsageColumn[];

/** A record → its row; `charge` is not stored here. `replaced`: what was added to a row in a file that it replaces. */
export function toCallRow(record: CallRecord, replaced?: AddedToCall): typeof callRecords.$inferInsert {
  const { usage, latency, turnId, charge: _, ...same } = record;
  return {
    ...same,
    hasTurn: turnId !== undefined,
    ...(Object.fromEntries(USAGE_COLUMNS.map((column) => [column, usage[USAGE[column]]])) as Pick<
      CallRow,
      UsageColumn
    >),
    latencyGatewayMs: latency.gateway,
    latencyFirstByteMs: latency.firstByte,
    latencyTotalMs: latency.total,
    ...replaced,
    changes: replaced === undefined ? 0 : replaced.changes + 1,
  };
}

/** What is added to a row after its call has ended. */
const ADDED_MEMBERS = [
  "assessment",
  "feedbackScore",
  "auditSeq",
  "auditSalt",
  "auditLeaf",
  "auditSignature",
] as const satisfies (keyof CallRow)[];

export const ADDED_COLUMNS = ADDED_MEMBERS.map((member) => callRecords[member]);

/** `changes`: how often the row has changed after its call's end. */
export type AddedToCall = Partial<Pick<CallRow, (typeof ADDED_MEMBERS)[number]>> & Pick<CallRow, "changes">;

export const addedTo = (row: CallRow): AddedToCall => ({
  ...(withoutNull(Object.fromEntries(ADDED_MEMBERS.map((member) => [member, row[member]]))) as Partial<AddedToCall>),
  changes: row.changes,
});

const NO_MEMBERS = new Set<string>([...USAGE_COLUMNS, ...ADDED_MEMBERS, "changes"]);

/** A row → its record. Inverse of `toCallRow`: absent members are stored as null. */
export function toCallRecord(row: CallRow): CallRecord {
  const { hasTurn, latencyGatewayMs, latencyFirstByteMs, latencyTotalMs, ...rest } = row;
  const same = Object.fromEntries(Object.entries(rest).filter(([name]) => !NO_MEMBERS.has(name)));
  const usage = Object.fromEntries(USAGE_COLUMNS.map((column) => [USAGE[column], row[column]]));
  return withoutNull({
    ...same,
    ...(hasTurn && { turnId: withPrefix(row.id, "turn") }),
    usage: withoutNull(usage),
    latency: withoutNull({ gateway: latencyGatewayMs, firstByte: latencyFirstByteMs, total: latencyTotalMs }),
  }) as CallRecord;
}

/** A row as D1 and files have it, JSON as text, → as Drizzle reads it. */
export function fromStoredRow(stored: Record<string, string | number | null>): CallRow {
  const members = Object.entries(getTableColumns(callRecords)).map(([member, { name, dataType }]) => {
    const value = stored[name] ?? null;
    if (value === null) return [member, null];
    if (dataType === "json") return [member, JSON.parse(String(value))];
    return [member, dataType === "boolean" ? value === 1 : value];
  });
  return Object.fromEntries(members) as CallRow;
}
