import type { CallRecord } from "../../store/records.ts";

/** In place of a text that may quote the call's content. */
const NOT_STORED = "not stored";

/** The record of a call whose content is not stored. It made no turn, and texts of errors and losses may quote it. */
export function withoutContent({ turnId: _, error, attempts, losses, ...record }: CallRecord): CallRecord {
  return {
    ...record,
    attempts: attempts.map(({ reason: __, ...attempt }) => attempt),
    losses: losses.map((loss) => ({ ...loss, why: NOT_STORED })),
    ...(error !== undefined && { error: { ...error, message: NOT_STORED } }),
  };
}
