import { describe, expect, it } from "vitest";
import { withLazyTables } from "../../src/session/schema.ts";
import { Session } from "../../src/session/session.ts";
import { rowsAfter } from "../../src/store/outbox.ts";
import type { CallRecord, StoredRecord } from "../../src/store/records.ts";
import type { SessionRecord } from "../../src/store/sessions.ts";
import { openSql, toStorage } from "../support/sqlite.ts";

function openSession() {
  const sql = withLazyTables(openSql());
  const clock = { now: 1_000_000 };
  const open = (): Session => new Session(toStorage(sql), () => clock.now);
  const records = (): StoredRecord[] =>
    rowsAfter(sql, 0).flatMap(({ payload }) => JSON.parse(`[${payload}]`) as StoredRecord[]);
  const sessions = (): SessionRecord[] =>
    records().filter((record): record is SessionRecord => "object" in record && record.object === "session");
  return { open, clock, records, sessions };
}

const callRecord = (i: number, now: number): CallRecord => ({
  id: `call_${String(i).padStart(26, "0")}`,
  org: "org_a",
  sessionId: "sess_a",
  keyId: "key_a",
  surface: "chat",
  stream: false,
  contextMode: "stateful",
  modelAsked: "demo",
  status: "completed",
  usage: {},
  latency: { gateway: 0, total: 1 },
  attempts: [],
  losses: [],
  createdAt: now,
  endedAt: now,
});

function takeTurn(session: Session, i: number, now: number): void {
  const record = callRecord(i, now);
  session.start(record);
  const context = session.continue({ messages: [] });
  const items = { dialect: "native" as const, items: "" };
  session.commit(record, { context, input: items, output: { ...items, issuer: "" }, requested: [], reply: [] });
}

describe("the records of a session", () => {
  it("come with the first turn, then every ten seconds at most, and the last one has all", () => {
    const { open, clock, records, sessions } = openSession();
    const session = open();
    session.create("org_a", "sess_a");
    expect(records()).toEqual([]);
    for (let i = 1; i <= 30; i++) {
      takeTurn(session, i, clock.now);
      clock.now += 1_000;
      session.recordIfDue();
    }
    expect(sessions().map(({ turns }) => turns)).toEqual([1, 10, 20, 30]);
    expect(records().filter((record) => !("object" in record))).toHaveLength(30);
    takeTurn(session, 31, clock.now);
    expect(session.recordIfDue()).toBe(10_000);
    clock.now += 10_000;
    expect(session.recordIfDue()).toBeUndefined();
    expect(sessions().at(-1)).toMatchObject({ turns: 31 });
    expect(session.recordIfDue()).toBeUndefined();
    expect(sessions()).toHaveLength(5);
  });

  it("are not lost with the instance, and a change by its owner is recorded at once", () => {
    const { open, clock, sessions } = openSession();
    const session = open();
    session.create("org_a", "sess_a");
    for (const i of [1, 2]) takeTurn(session, i, clock.now);
    expect(sessions().map(({ turns }) => turns)).toEqual([1]);
    const restarted = open();
    expect(restarted.recordIfDue()).toBeUndefined();
    expect(sessions().map(({ turns }) => turns)).toEqual([1, 2]);
    restarted.change({ phase: "done" }, "phase_set");
    expect(sessions().at(-1)).toMatchObject({ phase: "done" });
    const created = openSession();
    created.open().create("org_a", "sess_b");
    created.open().recordIfDue();
    expect(created.sessions()).toMatchObject([{ id: "sess_b", turns: 0 }]);
  });
});
