import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { appendRecords, findCall } from "../../src/store/record-store.ts";
import type { CallRecord, StoredRecord } from "../../src/store/records.ts";
import { findSessionCreatedAt, type SessionRecord } from "../../src/store/sessions.ts";
import worker from "../../src/worker.ts";

const RECORD: CallRecord = {
  id: "call_store",
  org: "org_default",
  sessionId: "sess_store",
  keyId: "key_admin",
  surface: "chat",
  stream: false,
  contextMode: "stateful",
  modelAsked: "fake/say",
  status: "completed",
  usage: {},
  latency: { gateway: 1, total: 2 },
  attempts: [],
  losses: [],
  createdAt: 1,
  endedAt: 3,
};
const SESSION: SessionRecord = {
  object: "session",
  id: "sess_store",
  org: "org_default",
  status: "active",
  turns: 1,
  metadata: {},
  revision: 1,
  createdAt: 1,
  updatedAt: 1,
};
const kept = (id: string): Promise<CallRecord | undefined> =>
  findCall({ d1: env.DB, bucket: env.BLOBS }, "org_default", id);

/** D1, with how many statements each batch had. */
function counted(): { d1: D1Database; batches: number[] } {
  const batches: number[] = [];
  const batch: D1Database["batch"] = async (statements) => {
    batches.push(statements.length);
    return await env.DB.batch(statements);
  };
  return { d1: { prepare: (text: string) => env.DB.prepare(text), batch } as unknown as D1Database, batches };
}

it("many records are stored with three statements, and each is unchanged", async () => {
  const odd = [
    "null",
    "1",
    '"',
    "'; DROP TABLE call_records; --",
    "\u0000",
    "a\u0000b",
    "\u2028",
    "𝒳é",
    "",
    "$.id",
    "\\u0041",
  ];
  const records = odd.map((text, i) => ({
    ...RECORD,
    id: `call_odd${i}`,
    modelAsked: text,
    stream: i % 2 === 0,
    usage: { fresh: 2 ** 53 - 1 - i, output: 0, native: [text, 1.5, false, { [text]: [null] }][i % 4]! },
    metadata: { [text]: text },
    losses: [{ at: text, what: "dropped" as const, why: text }],
  }));
  const { d1, batches } = counted();
  await appendRecords({ d1, bucket: env.BLOBS }, [...records, SESSION]);
  expect(batches).toEqual([3]);
  for (const record of records) expect(await kept(record.id)).toEqual(record);
  expect(await findSessionCreatedAt(env.DB, "org_default", "sess_store")).toBe(1);
  await appendRecords({ d1, bucket: env.BLOBS }, []);
  expect(batches).toEqual([3]);
});

it("a record with half a character in it is stored", async () => {
  await appendRecords({ d1: env.DB, bucket: env.BLOBS }, [
    { ...RECORD, id: "call_half", modelAsked: "a\ud800b", metadata: { a: "\udc00" } },
  ]);
  const { modelAsked, metadata } = (await kept("call_half"))!;
  expect(modelAsked).toMatch(/^a.+b$/);
  expect(metadata).toEqual({ a: "\udc00" });
});

it("a newer record of a call removes what it does not have, also in one batch", async () => {
  const first = { ...RECORD, id: "call_less", metadata: { team: "a" }, usage: { fresh: 1, native: { a: 1 } } };
  const less = { ...RECORD, id: "call_less", usage: { output: 2 }, endedAt: RECORD.endedAt + 1 };
  await appendRecords({ d1: env.DB, bucket: env.BLOBS }, [first, less]);
  expect(await kept("call_less")).toEqual(less);
});

it("a record that comes again changes nothing", async () => {
  const record = { ...RECORD, id: "call_again" };
  await appendRecords({ d1: env.DB, bucket: env.BLOBS }, [record]);
  await env.DB.prepare("UPDATE call_records SET feedback_score = 0.5, changes = 1 WHERE id = 'call_again'").run();
  await appendRecords({ d1: env.DB, bucket: env.BLOBS }, [
    record,
    { ...record, usage: {}, endedAt: record.endedAt - 1 },
  ]);
  expect(await kept("call_again")).toEqual(record);
  const row = await env.DB.prepare("SELECT feedback_score, changes FROM call_records WHERE id = 'call_again'").first();
  expect(row).toEqual({ feedback_score: 0.5, changes: 1 });
});

it("records of more than D1 takes as one value are stored", async () => {
  const metadata = { text: "\u4e00".repeat(40_000) };
  const records = Array.from({ length: 40 }, (_, i) => ({ ...RECORD, id: `call_large${i}`, metadata }));
  const { d1, batches } = counted();
  await appendRecords({ d1, bucket: env.BLOBS }, records);
  expect(batches).toEqual([3]);
  for (const { id } of [records[0]!, records.at(-1)!]) expect((await kept(id))?.metadata).toEqual(metadata);
});

it("a message of many records is accepted whole, and delivered again when one of them is bad", async () => {
  const named = (id: string): CallRecord => ({ ...RECORD, id });
  const bad = { ...named("call_bad"), surface: null } as unknown as CallRecord;
  const lists: StoredRecord[][] = [
    [named("call_m1"), { ...SESSION, id: "sess_m1" }],
    [named("call_m2"), bad, named("call_m3")],
    [named("call_m4")],
  ];
  const batch = createMessageBatch<string>(
    "rhone-records",
    lists.map((list, i) => ({ id: String(i), timestamp: new Date(), attempts: 1, body: JSON.stringify(list) })),
  );
  await worker.queue(batch, env);
  const { retryMessages } = await getQueueResult(batch, createExecutionContext());
  expect(retryMessages.map(({ msgId }) => msgId)).toEqual(["1"]);
  for (const id of ["call_m1", "call_m2", "call_m3", "call_m4"]) expect(await kept(id)).toBeDefined();
  expect(await findSessionCreatedAt(env.DB, "org_default", "sess_m1")).toBe(1);
  expect(await kept("call_bad")).toBeUndefined();
});
