import { runInDurableObject } from "cloudflare:test";
import { expect, it, vi } from "vitest";
import { Alarm } from "../../src/store/alarm.ts";
import { OutboxSender, type PendingRow } from "../../src/store/outbox-sender.ts";
import { enqueue as postRecord } from "../../src/store/outbox.ts";
import type { SessionRecord } from "../../src/store/sessions.ts";
import type { Sql } from "../../src/store/sql.ts";
import { Batcher } from "../../src/wire/batcher.ts";
import type { SessionObject } from "../../src/worker.ts";
import { sessionRecord } from "../support/session-record.ts";
import { chat, objectOf, user } from "../support/worker/client.ts";

/** What a sender works with, and what it does with it. */
function servicesWith(sql: Sql, now: () => number) {
  const deliver = vi.fn(async (_: string) => {});
  const work: Promise<unknown>[] = [];
  const waitUntil = (more: Promise<unknown>): void => void work.push(more);
  const alarms: { at: number; setAt: number }[] = [];
  const alarm = new Alarm((at) => void alarms.push({ at, setAt: now() }), now);
  const services = {
    sql,
    delivery: { gatherMs: 25, deliver },
    batcher: new Batcher<PendingRow>(),
    alarm,
    waitUntil,
    now,
  };
  return {
    services,
    deliver,
    work,
    alarms,
    sent: () => deliver.mock.calls.map(([list]) => JSON.parse(list) as SessionRecord[]),
  };
}

/** Works in the object of a session whose outbox is empty. */
async function inOutbox(work: (sql: Sql) => Promise<void>): Promise<void> {
  const { rhone } = await chat({ messages: [user("x")] });
  await runInDurableObject(objectOf(rhone.call_id), async (_: SessionObject, { storage }) => {
    const sql: Sql = (query, ...values) => storage.sql.exec(query, ...values).toArray() as never[];
    sql("DELETE FROM outbox");
    await work(sql);
  });
}

it("a record that cannot be applied holds up no other, is never dropped, and is tried less and less often", async () => {
  await inOutbox(async (sql) => {
    let now = 0;
    const { services, deliver, alarms, sent } = servicesWith(sql, () => now);
    deliver.mockImplementation(async (list) => {
      if (list.includes('"revision":2')) throw new Error("bad");
    });
    const sender = new OutboxSender(services);
    for (const revision of [1, 2, 3]) postRecord(sql, sessionRecord(revision));
    expect(await sender.settle()).toBe(true);
    const good = sent().filter((list) => list.every(({ revision }) => revision !== 2));
    expect(good.flat().map(({ revision }) => revision)).toEqual([1, 3]);
    for (let check = 0; check < 4; check++) {
      now += 10_000_000;
      services.alarm.onAlarm();
      expect(await sender.settle()).toBe(true);
    }
    // Rows of the outbox are deleted from the lowest, so those behind the bad one stay, delivered.
    expect(sql("SELECT number FROM outbox")).toHaveLength(2);
    const waits = alarms.slice(-3).map(({ at, setAt }) => at - setAt);
    expect(waits[1]).toBeGreaterThan(waits[0]!);
    expect(waits[2]).toBeGreaterThan(waits[1]!);
  });
});

it("an alarm that goes off before a check is due counts as no try", async () => {
  await inOutbox(async (sql) => {
    let now = 0;
    const { services, deliver, alarms } = servicesWith(sql, () => now);
    deliver.mockRejectedValue(new Error("D1 is down"));
    postRecord(sql, sessionRecord(1));
    const sender = new OutboxSender(services);
    expect(await sender.settle()).toBe(true);
    const { at } = alarms.at(-1)!;
    const tries = deliver.mock.calls.length;
    for (; now + 700 < at; now += 700) {
      services.alarm.onAlarm();
      expect(await sender.settle()).toBe(true);
      expect(alarms.at(-1)!.at).toBe(at);
    }
    expect(deliver.mock.calls).toHaveLength(tries);
    now = at;
    services.alarm.onAlarm();
    await sender.settle();
    expect(deliver.mock.calls).toHaveLength(tries + 1);
  });
});

it("while nothing can be delivered, a check of a full outbox gives up soon", async () => {
  await inOutbox(async (sql) => {
    let now = 0;
    const { services, deliver, sent } = servicesWith(sql, () => now);
    deliver.mockRejectedValue(new Error("D1 is down"));
    for (let i = 0; i < 500; i++) postRecord(sql, sessionRecord(i));
    const sender = new OutboxSender(services);
    expect(await sender.settle()).toBe(true);
    expect(sent().length).toBeLessThan(40);
    deliver.mockResolvedValue(undefined);
    now += 10_000_000;
    await sender.settle();
    expect(new Set(sent().flatMap((list) => list.map(({ revision }) => revision))).size).toBe(500);
  });
});

it("a record that came while an older one of the same session was on its services is sent as well", async () => {
  await inOutbox(async (sql) => {
    let now = 0;
    const { services, sent } = servicesWith(sql, () => now);
    const sender = new OutboxSender(services);
    postRecord(sql, sessionRecord(1));
    await sender.settle();
    postRecord(sql, sessionRecord(2));
    now = 60_000;
    expect(await sender.settle()).toBe(true);
    expect(sent().flat()).toMatchObject([{ revision: 1 }, { revision: 2 }]);
    now = 120_000;
    expect(await sender.settle()).toBe(false);
    expect(sent()).toHaveLength(2);
  });
});

it("the records of many objects of an isolate are sent in as few messages as possible", async () => {
  await inOutbox(async (sql) => {
    const { services, sent, work } = servicesWith(sql, Date.now);
    for (let i = 0; i < 90; i++) {
      postRecord(sql, { ...sessionRecord(i), id: `sess_${i}`, metadata: { text: "x".repeat(1000) } });
      new OutboxSender(services).send();
      sql("DELETE FROM outbox");
    }
    await Promise.all(work);
    expect(sent().map((records) => records.length)).toEqual([34, 34, 22]);
    expect(work).toHaveLength(1);
  });
});
