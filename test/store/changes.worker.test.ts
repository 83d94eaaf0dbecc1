import { env } from "cloudflare:workers";
import { beforeEach, expect, it } from "vitest";
import type { CallPatch } from "../../src/store/archive/changes.ts";
import type { StoredRow } from "../../src/store/archive/columns.ts";
import { openFile, readGroups } from "../../src/store/archive/parquet-file.ts";
import { listAllParts } from "../../src/store/archive/parts.ts";
import { rewriteNext, startPass } from "../../src/store/archive/rewrite.ts";
import { appendRecords, changeCall, findCall } from "../../src/store/record-store.ts";
import type { CallRecord } from "../../src/store/records.ts";
import { requestErasure } from "../../src/store/retention/erasures.ts";
import { newId } from "../../src/wire/id.ts";
import { isKilledAfter } from "../support/worker/dying-storage.ts";
import * as files from "../support/worker/record-files.ts";

const { callAt, DAY, HOUR, makeCalls, readAll, sealAll, services, sources, START, time } = files;
const VERDICT = JSON.stringify({ verdict: "pass", score: 0.75, note: "ü😀" });

beforeEach(files.clearRecord);

const change = async (call: CallRecord, patch: CallPatch): Promise<boolean> =>
  await changeCall(sources, call, patch, time.now);

async function rewriteAll(used = services()): Promise<void> {
  const pass = startPass();
  while (await rewriteNext(used, pass));
}

/** What was added to each call, in a plain list beside. */
type Added = Map<string, CallPatch>;

async function add(added: Added, call: CallRecord, patch: CallPatch): Promise<void> {
  expect(await change(call, patch)).toBe(true);
  added.set(call.id, { ...added.get(call.id), ...patch });
}

async function expectAdded(added: Added, calls: readonly CallRecord[], columns?: string[]): Promise<void> {
  for (const org of ["org_a", "org_b"]) {
    const rows = await readAll(org, columns);
    const own = calls.filter((call) => call.org === org);
    expect(rows.map(({ id }) => String(id)).toSorted()).toEqual(own.map(({ id }) => id).toSorted());
    for (const { id, assessment, feedback_score } of rows) {
      const expected = { assessment: null, feedback_score: null, ...added.get(String(id)) };
      expect({ assessment, feedback_score }).toEqual(expected);
    }
  }
}

const noted = async (): Promise<number> =>
  (await env.DB.prepare("SELECT count(*) AS n FROM record_changes").first<{ n: number }>())!.n;

async function readFiles(): Promise<StoredRow[]> {
  const rows: StoredRow[] = [];
  for (const { key, state } of await listAllParts(env.DB, 100)) {
    expect(state).toBe("removed");
    for await (const group of readGroups((await openFile(env.BLOBS, key))!)) rows.push(...(group as StoredRow[]));
  }
  return rows;
}

it("a call can be assessed before and after it is sealed, and reads the same everywhere", async () => {
  const added: Added = new Map();
  const calls = makeCalls(400, 2);
  await appendRecords(sources, calls, time.now);
  await add(added, calls[1]!, { assessment: VERDICT });
  await add(added, calls[2]!, { feedback_score: 1 });
  expect(await noted()).toBe(0);
  time.now = START + 3 * DAY;
  await sealAll();
  await add(added, calls[2]!, { feedback_score: null });
  await add(added, calls[3]!, { assessment: VERDICT });
  await add(added, calls[3]!, { feedback_score: 0.5 });
  await add(added, calls[3]!, { feedback_score: 0.25 });
  await add(added, calls[300]!, { feedback_score: 0 });
  expect(await noted()).toBe(3);
  await expectAdded(added, calls);
  await expectAdded(added, calls, ["assessment", "feedback_score"]);
  expect(await findCall(sources, "org_a", calls[3]!.id)).toEqual(calls[3]);
  for (const nobody of [{ ...calls[3]!, org: "org_b" }, callAt(START, "org_a")])
    expect(await change(nobody, { feedback_score: 1 })).toBe(false);
});

it("files of which more than 1 % has changed are written anew, others not", async () => {
  const added: Added = new Map();
  const calls = makeCalls(1_000, 1).map((call) => ({ ...call, org: "org_a" }));
  const other = makeCalls(200, 1).map((call) => ({ ...call, org: "org_b" }));
  await appendRecords(sources, [...calls, ...other], time.now);
  time.now = START + 3 * DAY;
  await sealAll();
  for (let i = 0; i < 10; i++) await add(added, calls[i * 90]!, { feedback_score: i });
  await add(added, other[7]!, { feedback_score: 1 });
  await add(added, other[8]!, { feedback_score: 1 });
  await add(added, other[9]!, { assessment: VERDICT });
  await rewriteAll();
  expect(await noted()).toBe(10);
  await add(added, calls[5]!, { feedback_score: null });
  await expectAdded(added, [...calls, ...other]);
  await rewriteAll();
  expect(await noted()).toBe(0);
  await expectAdded(added, [...calls, ...other]);
  const rows = await readFiles();
  expect(rows.filter(({ feedback_score }) => feedback_score !== null)).toHaveLength(12);
  await add(added, calls[0]!, { feedback_score: 99 });
  await rewriteAll(services({ config: { ...files.config, hotBytes: 1 } }));
  expect(await noted()).toBe(0);
  await expectAdded(added, [...calls, ...other]);
  expect((await env.BLOBS.list({ prefix: "records/" })).objects).toHaveLength(6);
});

it(
  "a kill at any place of the rewriting loses and doubles nothing, nor does what changes meanwhile",
  { timeout: 120_000 },
  async () => {
    for (let operations = 1, isKilled = true; isKilled; operations++) {
      await files.clearRecord();
      const added: Added = new Map();
      const calls = Array.from({ length: 9 }, (_, i) => callAt(START + i, "org_a"));
      await appendRecords(sources, calls, time.now);
      time.now = START + 3 * DAY;
      await sealAll();
      for (const call of calls.slice(0, 3)) await add(added, call, { assessment: VERDICT });
      isKilled = await isKilledAfter(operations, async (dying) => await rewriteAll(services(dying)));
      await expectAdded(added, calls);
      await add(added, calls[operations % 9]!, { feedback_score: operations });
      await add(added, calls[5]!, { feedback_score: 3 });
      await expectAdded(added, calls);
      await rewriteAll();
      await expectAdded(added, calls);
      expect(await noted()).toBe(0);
      expect((await readFiles()).filter(({ assessment }) => assessment !== null)).toHaveLength(3);
    }
  },
);

it("what was added stays when the call's record comes again, later, and when its new row is sealed", async () => {
  const added: Added = new Map();
  const interrupted = callAt(START, "org_a", { status: "interrupted", costMicrosUsd: 1 });
  const calls = [interrupted, ...Array.from({ length: 30 }, (_, i) => callAt(START + i + 1, "org_a"))];
  await appendRecords(sources, calls, time.now);
  await add(added, interrupted, { assessment: VERDICT });
  time.now = START + 2 * DAY;
  await sealAll();
  await add(added, interrupted, { feedback_score: 1 });
  const ended = { ...interrupted, status: "completed" as const, costMicrosUsd: 50, endedAt: START + HOUR };
  await appendRecords(sources, [ended], time.now);
  await expectAdded(added, calls);
  expect([await noted(), await files.hotCount()]).toEqual([0, 1]);
  await sealAll();
  await expectAdded(added, calls);
  // Two files have it now: what is noted is of the newer row, whichever of them is written anew first.
  await add(added, interrupted, { feedback_score: 0.5 });
  for (const call of calls.slice(10, 15)) await add(added, call, { feedback_score: 2 });
  await rewriteAll();
  expect(await noted()).toBe(0);
  await expectAdded(added, calls);
  expect(await findCall(sources, "org_a", ended.id)).toEqual(ended);
  const versions = (await readFiles()).filter(({ id }) => id === ended.id);
  const newest = versions.toSorted((a, b) => Number(b.changes) - Number(a.changes))[0]!;
  expect(newest).toMatchObject({ status: "completed", feedback_score: 0.5, assessment: VERDICT });
});

it("nothing is noted of a session that was erased", async () => {
  const call = callAt(START, "org_a", { sessionId: "sess_gone" });
  await appendRecords(sources, [call], time.now);
  time.now = START + 2 * DAY;
  await sealAll();
  const request = { org: "org_a", sessionId: "sess_gone", id: newId("ers", time.now), requestedBy: "key_admin" };
  await requestErasure(env.DB, { ...request, requestedAt: time.now });
  expect(await change(call, { feedback_score: 1 })).toBe(false);
  expect(await noted()).toBe(0);
});
