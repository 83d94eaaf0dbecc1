import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { aggregateCalls } from "../../src/store/archive/aggregate.ts";
import { openFile, readGroups } from "../../src/store/archive/parquet-file.ts";
import { listAllParts } from "../../src/store/archive/parts.ts";
import { sealNext } from "../../src/store/archive/seal.ts";
import { appendRecords, findCall } from "../../src/store/record-store.ts";
import type { CallRecord } from "../../src/store/records.ts";
import { newId } from "../../src/wire/id.ts";
import { isKilledAfter } from "../support/worker/dying-storage.ts";
import {
  callAt,
  clearRecord,
  config,
  DAY,
  HOUR,
  hotCount,
  makeCalls,
  readAll,
  sealAll,
  services,
  sources,
  START,
  time,
} from "../support/worker/record-files.ts";

/** The same as a plain list that is kept beside. */
async function expectAll(calls: readonly CallRecord[]): Promise<void> {
  for (const org of ["org_a", "org_b"]) {
    const own = calls.filter((call) => call.org === org);
    const rows = await readAll(org, ["cost_micros_usd", "tokens_fresh"]);
    expect(rows.map(({ id }) => String(id)).toSorted()).toEqual(own.map(({ id }) => id).toSorted());
    const sum = (values: readonly unknown[]): number => values.reduce<number>((all, value) => all + Number(value), 0);
    expect(sum(rows.map((row) => row.tokens_fresh))).toBe(sum(own.map(({ usage }) => usage.fresh)));
    const range = { org, from: START - DAY, before: START + 40 * DAY };
    const byModel = await aggregateCalls(sources, { ...range, by: ["model"] });
    const models = Map.groupBy(own, ({ model }) => model);
    const found = byModel.map(({ model, calls: count, cost_micros_usd: cost }) => [model, [count, cost]] as const);
    const costOf = (list: readonly CallRecord[]): number => sum(list.map((one) => one.costMicrosUsd ?? 0));
    expect(new Map<unknown, unknown>(found)).toEqual(
      new Map<unknown, unknown>([...models].map(([model, list]) => [model, [list.length, costOf(list)]])),
    );
  }
}

beforeEach(clearRecord);

describe("slices of the record", () => {
  it("move to files when they are over, and are read as before", async () => {
    const calls = makeCalls(3_000, 4);
    await appendRecords(sources, calls, time.now);
    time.now = START + 2 * DAY + HOUR / 2;
    await sealAll();
    const second = calls.filter(({ createdAt }) => createdAt >= START + DAY);
    expect(await hotCount()).toBe(second.length);
    await expectAll(calls);
    time.now = START + 4 * DAY + HOUR;
    await sealAll();
    expect(await hotCount()).toBe(0);
    await expectAll(calls);
    for (const call of [calls[0]!, calls[1]!, calls[1_499]!, calls.at(-1)!]) {
      expect(await findCall(sources, call.org, call.id)).toEqual(call);
      expect(await findCall(sources, "org_c", call.id)).toBeUndefined();
    }
    expect(await findCall(sources, "org_a", newId("call", START + DAY))).toBeUndefined();
    const parts = await listAllParts(env.DB, 100);
    expect(parts.map(({ state, part }) => [state, part])).toEqual(parts.map(() => ["removed", 1]));
    const { objects } = await env.BLOBS.list({ prefix: "records/v1/calls/org=org_a/date=2026-11-21/" });
    expect(objects.map(({ key }) => key.split("/").at(-1))).toEqual(["0000-1.parquet", "_0000-1.json"]);
    const manifest = await (await env.BLOBS.get(objects[1]!.key))!.json<{
      bytes: number;
      sha256: string;
      rows: number;
    }>();
    const bytes = await (await env.BLOBS.get(objects[0]!.key))!.arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    expect(manifest).toMatchObject({ bytes: bytes.byteLength, rows: 600, sha256: Buffer.from(digest).toString("hex") });
  });

  it("are summed up in files of their own", async () => {
    const calls = makeCalls(2_000, 2).map((call, i) => ({
      ...call,
      model: `m${i % 3}`,
      latency: { gateway: 0, total: (i * 37) % 5_000 },
      ...(i % 10 === 0 && { costMicrosUsd: undefined as never }),
    }));
    await appendRecords(sources, calls, time.now);
    time.now = START + 4 * DAY;
    await sealAll();
    const rows: Record<string, unknown>[] = [];
    for (const { key } of (await env.BLOBS.list({ prefix: "records/v1/call_rollups/" })).objects)
      for await (const group of readGroups((await openFile(env.BLOBS, key))!)) rows.push(...group);
    const sum = (name: string): number => rows.reduce((all, row) => all + Number(row[name]), 0);
    expect([sum("calls"), sum("calls_without_cost"), sum("cost_micros_usd")]).toEqual([2_000, 200, 1_800 * 12]);
    const b = rows.filter(({ organization, model }) => organization === "org_b" && model === "m1");
    const own = calls.filter(({ org, model }) => org === "org_b" && model === "m1");
    expect(b.reduce((all, { calls: count }) => all + Number(count), 0)).toBe(own.length);
    expect(new Set(b.map(({ hour }) => (hour as Date).getTime() % HOUR))).toEqual(new Set([0]));
    const buckets = rows.flatMap(({ latency_histogram }) =>
      Object.entries(JSON.parse(String(latency_histogram)) as object),
    );
    const ordered = buckets.toSorted(([x], [y]) => Number(x) - Number(y));
    let seen = 0;
    const [bucket] = ordered.find(([, count]) => (seen += Number(count)) >= 1_900)!;
    const p95 = calls.map(({ latency }) => latency.total).toSorted((x, y) => x - y)[1_899]!;
    expect(Math.abs(1.02 ** (Number(bucket) + 0.5) - 1 - p95) / p95).toBeLessThan(0.011);
  });

  it("lose and double nothing, whatever operation is the last one before a kill", { timeout: 120_000 }, async () => {
    for (let at = 1, isKilled = true; isKilled; at++) {
      await clearRecord();
      const calls = makeCalls(60, 2);
      await appendRecords(sources, calls, time.now);
      time.now = START + 3 * DAY;
      isKilled = await isKilledAfter(at, (dying) => sealAll(services(dying)));
      await expectAll(calls);
      await sealAll();
      expect(await hotCount()).toBe(0);
      await expectAll(calls);
      if (!isKilled) expect(at).toBeGreaterThan(20);
    }
  });

  it("have a record that comes twice, late or changed once, as it is now", async () => {
    const calls = makeCalls(300, 1);
    await appendRecords(sources, calls, time.now);
    time.now = START + 2 * DAY;
    await sealAll();
    const late = callAt(START + HOUR, "org_a");
    await appendRecords(sources, [calls[7]!, late], time.now);
    expect(await hotCount()).toBe(1);
    await expectAll([...calls, late]);
    await sealAll();
    expect(await hotCount()).toBe(0);
    await expectAll([...calls, late]);
    expect(await findCall(sources, "org_a", late.id)).toEqual(late);
    expect((await listAllParts(env.DB, 9)).map(({ org, part }) => `${org} ${part}`).toSorted()).toEqual([
      "org_a 1",
      "org_a 2",
      "org_b 1",
    ]);
    // A row that changes while it is removed stays, and then is in a part of its own.
    const changed = callAt(START + 3 * DAY, "org_a");
    await appendRecords(sources, [changed], time.now + DAY);
    time.now = START + 5 * DAY;
    expect(await sealNext(services())).toBe(true);
    await env.DB.prepare("UPDATE call_records SET feedback_score = 0.5, changes = 1").run();
    await sealAll();
    expect(await hotCount()).toBe(0);
    const rows = (await readAll("org_a")).filter(({ id }) => id === changed.id);
    expect(rows).toMatchObject([{ feedback_score: 0.5, changes: 1 }]);
  });

  it("have the newer of two records of a call, whenever it comes, and the sums count it once", async () => {
    const interrupted = callAt(START + HOUR, "org_a", { status: "interrupted", usage: {}, costMicrosUsd: 1 });
    const completed = { ...interrupted, status: "completed", usage: { fresh: 5 }, costMicrosUsd: 40 } as const;
    const newer: CallRecord = { ...completed, endedAt: interrupted.endedAt + 1 };
    const newest: CallRecord = { ...newer, costMicrosUsd: 50, endedAt: newer.endedAt + 1 };
    const costs = async (): Promise<number> => {
      let sum = 0;
      for (const { key } of (await env.BLOBS.list({ prefix: "records/v1/call_rollups/" })).objects)
        for await (const group of readGroups((await openFile(env.BLOBS, key))!))
          for (const { cost_micros_usd } of group) sum += Number(cost_micros_usd);
      return sum;
    };
    await appendRecords(sources, [interrupted], time.now);
    time.now = START + 3 * DAY;
    // Written, and not removed yet.
    await sealNext(services());
    await appendRecords(sources, [newer], time.now);
    await sealAll();
    expect(await findCall(sources, "org_a", newer.id)).toEqual(newer);
    await expectAll([newer]);
    expect(await costs()).toBe(40);
    await appendRecords(sources, [interrupted, newest], time.now);
    await expectAll([newest]);
    // By slices of another length time.now.
    time.now++;
    await sealAll(services({ config: { ...config, sliceMs: HOUR } }));
    await appendRecords(sources, [newer, newest, interrupted], time.now);
    expect(await hotCount()).toBe(0);
    expect(await findCall(sources, "org_a", newer.id)).toEqual(newest);
    await expectAll([newest]);
    expect(await costs()).toBe(50);
    expect(await listAllParts(env.DB, 9)).toHaveLength(3);
  });

  it("lose and double nothing where two clocks work at once, one of them with another time", async () => {
    const calls = makeCalls(300, 3);
    await appendRecords(sources, calls, time.now);
    const clocks = [4, 4, 2, 400].map((days) => ({ ...services(), now: () => START + days * DAY }));
    for (let round = 0; round < 3; round++) {
      await Promise.allSettled(clocks.map((clock) => sealAll(clock)));
      await expectAll(calls);
    }
    time.now = START + 5 * DAY;
    await sealAll();
    await expectAll(calls);
    expect(await hotCount()).toBe(0);
  });

  it("are sealed with odd numbers and long texts, and do not wait for another organisation's", async () => {
    const metadata = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`key${i}`, "x".repeat(512)]));
    const calls = makeCalls(1_500, 1).map((call) => ({ ...call, metadata }));
    await appendRecords(sources, calls, time.now);
    await env.DB.prepare(
      "UPDATE call_records SET tokens_output = 1.5, searches = 1e300, latency_total_ms = -3.5",
    ).run();
    time.now = START + 3 * DAY;
    const bucket = new Proxy(env.BLOBS, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (typeof value !== "function") return value;
        return (key: unknown, ...rest: unknown[]) => {
          if (name === "put" && String(key).includes("org=org_a/")) throw new Error("R2 is down for one");
          return Reflect.apply(value, of, [key, ...rest]) as unknown;
        };
      },
    });
    const used = services({ bucket, skipped: new Set() });
    await expect(sealAll(used)).rejects.toThrow("R2 is down for one");
    await sealAll(used);
    expect(await hotCount()).toBe(calls.filter(({ org }) => org === "org_a").length);
    await sealAll();
    expect(await hotCount()).toBe(0);
    await expectAll(calls);
    const [row] = await readAll("org_a");
    expect(row).toMatchObject({ tokens_output: 2, searches: Number.MAX_SAFE_INTEGER, latency_total_ms: -3 });
  });

  it("are sealed before their end while D1 is too large, but not what is fresh", async () => {
    const calls = makeCalls(400, 1);
    await appendRecords(sources, calls, time.now);
    time.now = START + DAY / 2;
    await sealAll(services({ config: { ...config, hotBytes: 1 } }));
    const left = calls.filter(({ createdAt }) => createdAt >= time.now - 60_000);
    expect(await hotCount()).toBe(left.length);
    await expectAll(calls);
    time.now = START + 3 * DAY;
    await sealAll();
    await expectAll(calls);
    expect(await hotCount()).toBe(0);
  });

  it("stay in D1 while R2 refuses, or a file is not what was written", async () => {
    const calls = makeCalls(200, 1);
    await appendRecords(sources, calls, time.now);
    time.now = START + 3 * DAY;
    const broken = (put: (...args: Parameters<R2Bucket["put"]>) => unknown): R2Bucket =>
      new Proxy(env.BLOBS, {
        get: (bucket, name) => {
          const value: unknown = name === "put" ? put : Reflect.get(bucket, name);
          return typeof value === "function" ? (value.bind(bucket) as unknown) : value;
        },
      });
    const refuses = broken(() => Promise.reject(new Error("R2 is down")));
    for (let i = 0; i < 3; i++) await expect(sealAll(services({ bucket: refuses }))).rejects.toThrow("R2 is down");
    const cuts = broken((key, bytes) => env.BLOBS.put(key, (bytes as Uint8Array).slice(0, -9)));
    await expect(sealAll(services({ bucket: cuts }))).rejects.toThrow(/parquet/);
    expect(await hotCount()).toBe(200);
    await expectAll(calls);
    await sealAll();
    expect(await hotCount()).toBe(0);
    await expectAll(calls);
    const { key } = (await listAllParts(env.DB, 1))[0]!;
    await env.BLOBS.delete(key);
    await expect(expectAll(calls)).rejects.toThrow(`${key}: there is no such file`);
  });
});
