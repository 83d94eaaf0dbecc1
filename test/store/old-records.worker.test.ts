import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { scanRows } from "../../src/store/archive/sealed-calls.ts";
import { moveOldRecords } from "../../src/store/old/move.ts";
import { appendRecords, findCall } from "../../src/store/record-store.ts";
import { findSessionCreatedAt, listSessions, type SessionRecord } from "../../src/store/sessions.ts";
import { firstId } from "../../src/wire/id.ts";

const ORG = "org_default";
const CALLS = 1_200;
const callId = (i: number): string => `call_${String(i).padStart(5, "0")}`;
const sessionId = (i: number): string => `sess_${String(i).padStart(5, "0")}`;

/** What a version before this one has stored. */
async function fillOldTables(): Promise<void> {
  const numbers = JSON.stringify(Array.from({ length: CALLS }, (_, i) => i));
  const id = "printf('%05d', value)";
  await env.DB.batch(
    [
      `INSERT INTO calls (id, run_id, org, session_id, turn_id, key_id, surface, stream, context_mode, model_asked, status,
         tokens_fresh, usage_native, cost_micros_usd, latency_gateway_ms, latency_total_ms, attempts, losses, metadata, created_at, ended_at)
       SELECT 'call_' || ${id}, 'run_' || ${id}, '${ORG}', 'sess_' || ${id}, iif(value % 2, 'turn_' || ${id}, NULL), 'key_admin', 'chat', 1,
         'stateless', 'm', 'completed', value, '{"a":1}', 7, 1, 2, '[]', '[]', '{"team":"a"}', 1000 + value, 2000 + value FROM json_each(?)`,
      `INSERT INTO runs (id, org, session_id, key_id, status, stop_reason, created_at, ended_at)
       SELECT 'run_' || ${id}, '${ORG}', 'sess_' || ${id}, 'key_admin', 'completed', 'end_turn', 1000 + value, 2000 + value FROM json_each(?)`,
      `INSERT INTO sessions (id, org, status, turns, metadata, revision, created_at, updated_at)
       SELECT 'sess_' || ${id}, '${ORG}', 'active', 1, '{"team":"a"}', 5, 1000 + value, 2000 + value FROM json_each(?)`,
    ].map((query) => env.DB.prepare(query).bind(numbers)),
  );
}

const session = (i: number, more: Partial<SessionRecord>): SessionRecord => ({
  object: "session",
  id: sessionId(i),
  org: ORG,
  status: "active",
  turns: 2,
  metadata: { team: "a" },
  revision: 6,
  createdAt: 1000 + i,
  updatedAt: 3000,
  ...more,
});

async function listAll(): Promise<SessionRecord[]> {
  const all: SessionRecord[] = [];
  for (;;) {
    const last = all.at(-1);
    const filter = { metadata: { team: "a" }, ...(last && { after: last }) };
    const page = await listSessions(env.DB, { org: ORG, filter, limit: 100 });
    all.push(...page);
    if (page.length < 100) return all;
  }
}

it("what an earlier version has stored is found while it is moved, and afterwards", async () => {
  await fillOldTables();
  // The new version changes one session, deletes another, and gets an old message of a third.
  await appendRecords({ d1: env.DB, bucket: env.BLOBS }, [
    session(3, {}),
    session(4, { status: "deleted" }),
    session(5, { turns: 0, revision: 4 }),
  ]);
  const check = async (): Promise<void> => {
    for (const i of [0, 1, 499, 500, 700, CALLS - 1])
      expect(await findCall({ d1: env.DB, bucket: env.BLOBS }, ORG, callId(i))).toEqual({
        id: callId(i),
        org: ORG,
        sessionId: sessionId(i),
        ...(i % 2 === 1 && { turnId: `turn_${callId(i).slice(5)}` }),
        keyId: "key_admin",
        surface: "chat",
        stream: true,
        contextMode: "stateless",
        modelAsked: "m",
        status: "completed",
        usage: { fresh: i, native: { a: 1 } },
        costMicrosUsd: 7,
        latency: { gateway: 1, total: 2 },
        attempts: [],
        losses: [],
        metadata: { team: "a" },
        createdAt: 1000 + i,
        endedAt: 2000 + i,
      });
    expect(await findCall({ d1: env.DB, bucket: env.BLOBS }, "org_other", callId(0))).toBeUndefined();
    const scanned: number[] = [];
    const range = { org: ORG, from: firstId("call", 0), before: firstId("call", Date.now()) };
    for await (const rows of scanRows({ d1: env.DB, bucket: env.BLOBS }, range))
      scanned.push(
        ...rows.map(({ tokens_fresh, has_turn, changes }) => Number(tokens_fresh) + Number(has_turn) + Number(changes)),
      );
    // These ids are no times: the first one sorts before all that are.
    expect(scanned).toEqual(Array.from({ length: CALLS - 1 }, (_, i) => i + 1 + ((i + 1) % 2)));
    const listed = await listAll();
    expect(listed.map(({ id }) => id)).toEqual(
      Array.from({ length: CALLS }, (_, i) => sessionId(CALLS - 1 - i)).filter((id) => id !== sessionId(4)),
    );
    expect(listed.find(({ id }) => id === sessionId(3))).toEqual(session(3, {}));
    expect(await findSessionCreatedAt(env.DB, ORG, sessionId(CALLS - 1))).toBe(1000 + CALLS - 1);
  };
  await check();
  let steps = 1;
  while (await moveOldRecords(env.DB)) {
    await check();
    steps++;
  }
  await check();
  expect(steps).toBe(3);
  expect((await listAll()).find(({ id }) => id === sessionId(5))).toMatchObject({ turns: 1, revision: 5 });
  // A row of an object that still is of the earlier version.
  expect(await countTables()).toBe(3);
  await env.DB.prepare(
    `INSERT INTO sessions (id, org, status, turns, metadata, revision, created_at, updated_at)
     VALUES ('sess_late', ?, 'active', 1, '{"team":"b"}', 1, 1, 1)`,
  )
    .bind(ORG)
    .run();
  expect(await moveOldRecords(env.DB)).toBe(false);
  expect(await moveOldRecords(env.DB)).toBe(false);
  expect(await countTables()).toBe(0);
  expect(await findSessionCreatedAt(env.DB, ORG, "sess_late")).toBe(1);
  await check();
  expect(await moveOldRecords(env.DB)).toBe(false);
});

async function countTables(): Promise<number> {
  const { results } = await env.DB.prepare(
    "SELECT name FROM sqlite_master WHERE name IN ('calls', 'runs', 'sessions')",
  ).all();
  return results.length;
}
