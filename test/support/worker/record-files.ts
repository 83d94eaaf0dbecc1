import { env } from "cloudflare:workers";
import type { StoredRow } from "../../../src/store/archive/columns.ts";
import { type ArchiveServices, sealNext } from "../../../src/store/archive/seal.ts";
import { scanRows } from "../../../src/store/archive/sealed-calls.ts";
import type { CallRecord } from "../../../src/store/records.ts";
import { firstId, newId } from "../../../src/wire/id.ts";

export const HOUR = 60 * 60_000;
export const DAY = 24 * HOUR;
export const START = Date.parse("2026-11-20T00:00:00Z");
export const sources = { d1: env.DB, bucket: env.BLOBS };
export const config = { sliceMs: DAY, settleMs: HOUR, hotBytes: 6e9 };

/** Of the gateway under test. */
export const time = { now: START };

export const services = (more: Partial<ArchiveServices> = {}): ArchiveServices => ({
  ...sources,
  now: () => time.now,
  config,
  ...more,
});

export const callAt = (createdAt: number, org: string, more: Partial<CallRecord> = {}): CallRecord => ({
  id: newId("call", createdAt),
  org,
  sessionId: "sess_a",
  keyId: "key_admin",
  surface: "chat",
  stream: true,
  contextMode: "stateful",
  modelAsked: "a/ü😀",
  model: "m",
  provider: "p",
  status: "completed",
  finishReason: "stop",
  usage: { fresh: 2 ** 40, output: 7, native: { odd: [1.5, null] } },
  costMicrosUsd: 12,
  latency: { gateway: 1, total: 9 },
  attempts: [{ provider: "p", model: "m", startedAt: createdAt, ms: 3, status: 200 }],
  losses: [],
  metadata: { team: "a" },
  conversation: { client: "codex", recognizedBy: "session-id" },
  createdAt,
  endedAt: createdAt + 9,
  ...more,
});

/** Calls over some days, every other one with a turn, of two organisations. */
export function makeCalls(count: number, days: number): CallRecord[] {
  return Array.from({ length: count }, (_, i) => {
    const call = callAt(START + Math.floor((i * days * DAY) / count), i % 5 === 0 ? "org_b" : "org_a");
    return i % 2 === 0 ? call : { ...call, turnId: `turn_${call.id.slice(5)}` };
  });
}

export async function readAll(org: string, columns?: string[]): Promise<StoredRow[]> {
  const rows: StoredRow[] = [];
  const range = { org, from: firstId("call", START - DAY), before: firstId("call", START + 40 * DAY) };
  for await (const group of scanRows(sources, { ...range, ...(columns && { columns }) })) rows.push(...group);
  return rows;
}

export const hotCount = async (): Promise<number> =>
  (await env.DB.prepare("SELECT count(*) AS n FROM call_records").first<{ n: number }>())!.n;

export async function sealAll(used = services()): Promise<void> {
  while (await sealNext(used));
}

/** Removes all calls and files. */
export async function clearRecord(): Promise<void> {
  await env.DB.batch(
    ["call_records", "record_parts", "record_changes", "erasures"].map((table) =>
      env.DB.prepare(`DELETE FROM ${table}`),
    ),
  );
  for (const { key } of (await env.BLOBS.list({ prefix: "records/" })).objects) await env.BLOBS.delete(key);
  time.now = START;
}
