/** Cloudflare's prices beyond what a plan includes, in dollars per million, as published on 2026-11-20. */
export const PRICES = {
  workerRequest: 0.3,
  workerCpuMs: 0.02,
  objectRequest: 0.15,
  /** A gigabyte-second; an object is billed as 128 MB while it is in memory and may not hibernate. */
  objectGbSecond: 12.5,
  rowWritten: 1,
  rowRead: 0.001,
  /** A message is written, read and deleted: three operations for each 64 KB. */
  queueOperation: 0.4,
  d1RowWritten: 1,
  d1RowRead: 0.001,
} as const;

const OBJECT_GB = 0.128;
const OPERATIONS = 3;
/** Of the Worker, per call: 1 to 2 ms are measured here; Cloudflare's machines are not assumed to be slower. */
const CPU_MS = 2;

export type Usage = {
  requests: number;
  objectRequests: number;
  objectSeconds: number;
  rowsWritten: number;
  rowsRead: number;
  messages: number;
  d1Written: number;
  d1Read: number;
};

/** The price of a million calls with this usage. */
export function toDollars(usage: Usage): Record<string, number> {
  const parts = {
    "Worker requests and CPU": usage.requests * PRICES.workerRequest + CPU_MS * PRICES.workerCpuMs,
    "object requests": usage.objectRequests * PRICES.objectRequest,
    "object duration": usage.objectSeconds * OBJECT_GB * PRICES.objectGbSecond,
    "object rows": usage.rowsWritten * PRICES.rowWritten + usage.rowsRead * PRICES.rowRead,
    queue: usage.messages * OPERATIONS * PRICES.queueOperation,
    "D1 rows": usage.d1Written * PRICES.d1RowWritten + usage.d1Read * PRICES.d1RowRead,
  };
  return { ...parts, total: Object.values(parts).reduce((sum, part) => sum + part, 0) };
}
