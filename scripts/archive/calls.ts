import type { CallRecord } from "../../src/store/records.ts";
import { newId } from "../../src/wire/id.ts";
import { UserError } from "../user-error.ts";

export const START = Date.parse("2026-11-01T00:00:00Z");
export const HOUR = 60 * 60_000;
export const SLICE = 24 * HOUR;
/** So many calls a second. */
export const RATE = 20;
export const ORG = "org_default";

/** Call number `i` of all that are made. */
export function makeRecord(i: number): CallRecord {
  const createdAt = START + Math.floor((i * 1_000) / RATE);
  const total = Math.round(Math.exp(((i * 7_919) % 97) / 12) * 20);
  const model = ["claude-sonnet-4-5", "gpt-5", "gemini-3-flash", "kimi-k2.5"][i % 4]!;
  const id = newId("call", createdAt, "0".repeat(52));
  return {
    id,
    org: ORG,
    sessionId: newId("sess", createdAt, "1".repeat(52)),
    ...(i % 10 > 0 && { turnId: `turn_${id.slice(5)}` }),
    keyId: `key_${i % 100}`,
    surface: ["chat", "responses", "messages", "gemini"][i % 4]!,
    stream: i % 3 === 0,
    contextMode: i % 2 === 0 ? "stateful" : "stateless",
    modelAsked: `main/${model}`,
    model,
    provider: "main",
    status: i % 40 === 0 ? "failed" : "completed",
    finishReason: "stop",
    usage: {
      fresh: (i * 31) % 5_000,
      cacheRead: (i * 17) % 50_000,
      output: (i * 13) % 800,
      native: { prompt_tokens: i % 5_000 },
    },
    costMicrosUsd: (i * 101) % 90_000,
    latency: { gateway: i % 4, firstByte: Math.floor(total / 2), total },
    attempts: [{ provider: "main", model, startedAt: createdAt, ms: total, status: 200 }],
    losses: [],
    metadata: { tenant: `t${i % 50}` },
    createdAt,
    endedAt: createdAt + total,
  };
}

/** As pyarrow and DuckDB interpolate: between the two values next to the place. */
function quantile(sorted: readonly number[], share: number): number {
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return low + (high - low) * (at - Math.floor(at));
}

/** What every reader has to find: microdollars, tokens of output, milliseconds. */
export type Sums = { rows: number; cost: number; tokens: number; latencies: number[] };

export function addCalls(sums: Sums, records: readonly CallRecord[]): void {
  for (const { costMicrosUsd, usage, latency } of records) {
    sums.rows++;
    sums.cost += costMicrosUsd!;
    sums.tokens += usage.output!;
    sums.latencies.push(latency.total);
  }
}

export function summaryOf({ rows, cost, tokens, latencies }: Sums) {
  const sorted = latencies.toSorted((a, b) => a - b);
  return { rows, cost, tokens, p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95) };
}

export function expectSame(reader: string, found: Record<string, unknown>, expected: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(expected))
    if (!isSame(found[name], value))
      throw new UserError(`${reader}: expected ${name} ${JSON.stringify(value)}, found ${JSON.stringify(found[name])}`);
}

/** Numbers up to the precision of a sum of doubles. */
function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== "number" || typeof b !== "number") return JSON.stringify(a) === JSON.stringify(b);
  return Math.abs(a - b) < 1e-6 * Math.max(1, Math.abs(b));
}
