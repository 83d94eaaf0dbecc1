import {
  createMessageBatch,
  getQueueResult,
  createExecutionContext,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { expect, it, vi } from "vitest";
import { recordDeliveryFor } from "../../src/platform/record-delivery.ts";
import { appendRecords, findCall } from "../../src/store/record-store.ts";
import type { CallRecord } from "../../src/store/records.ts";
import { callRecords, sessionRecords } from "../../src/store/schema.ts";
import worker, { type SessionObject } from "../../src/worker.ts";
import { sessionRecord } from "../support/session-record.ts";
import { chat, get, objectOf, post, request, user } from "../support/worker/client.ts";

const db = drizzle(env.DB);
const rowOf = async (id: string): Promise<typeof callRecords.$inferSelect | undefined> =>
  (await db.select().from(callRecords).where(eq(callRecords.id, id)))[0];

it("every call is stored in D1", async () => {
  const { rhone } = await chat({ model: "fake/say", messages: [user("x")], rhone: { metadata: { team: "a" } } });
  await vi.waitFor(async () => expect(await rowOf(rhone.call_id)).toBeDefined(), { timeout: 5000 });
  expect(await rowOf(rhone.call_id)).toMatchObject({
    sessionId: rhone.session_id,
    hasTurn: true,
    keyId: "key_admin",
    surface: "chat",
    status: "completed",
    finishReason: "stop",
    modelAsked: "fake/say",
    model: "fake-model-1",
    provider: "fake",
    tokensFresh: 8,
    tokensCacheRead: 4,
    tokensOutput: 5,
    tokensReasoning: null,
    costMicrosUsd: null,
    metadata: { team: "a" },
    attempts: [{ provider: "fake", model: "say", status: 200 }],
  });
});

it("every count that has a price of its own is stored", async () => {
  const { rhone } = await chat({ messages: [user("x")] });
  await vi.waitFor(async () => expect(await rowOf(rhone.call_id)).toBeDefined(), { timeout: 5000 });
  const known = (await findCall({ d1: env.DB, bucket: env.BLOBS }, "org_default", rhone.call_id))!;
  const parts = { cacheWrite: 300, cacheWrite1h: 200, inputAudio: 3, outputAudio: 4, searches: 2 };
  const usage = { ...known.usage, ...parts, reasoning: 1 };
  await appendRecords({ d1: env.DB, bucket: env.BLOBS }, [{ ...known, usage, endedAt: known.endedAt + 1 }]);
  expect((await findCall({ d1: env.DB, bucket: env.BLOBS }, "org_default", rhone.call_id))!.usage).toEqual(usage);
});

it("a call and its run can be read at once, and when its session is gone", async () => {
  const { rhone } = await chat({ messages: [user("x")] });
  expect(await get(`/v1/calls/${rhone.call_id}`)).toMatchObject({
    id: rhone.call_id,
    status: "completed",
    cost_micros_usd: 0,
    usage: { fresh: 1, output: 3 },
  });
  expect(await get(`/v1/runs/${rhone.run_id}`)).toMatchObject({
    id: rhone.run_id,
    stop_reason: "end_turn",
    calls: [{ id: rhone.call_id }],
  });
  await vi.waitFor(async () => expect(await rowOf(rhone.call_id)).toBeDefined(), { timeout: 5000 });
  await runInDurableObject(objectOf(rhone.call_id), (_: SessionObject, { storage }) => {
    storage.sql.exec("DELETE FROM calls");
  });
  expect(await get(`/v1/calls/${rhone.call_id}`)).toMatchObject({
    id: rhone.call_id,
    status: "completed",
    usage: { output: 3 },
  });
  for (const path of ["/v1/calls/call_x", "/v1/runs/run_x", `/v1/calls/${rhone.run_id}`, `/v1/runs/${rhone.call_id}`]) {
    expect([path, (await request(path)).status]).toEqual([path, 404]);
  }
});

it("a stateless call is recorded under a session", async () => {
  const response = await post({
    model: "fake/say",
    stream: true,
    messages: [user("one")],
    rhone: { context_mode: "stateless" },
  });
  const session = response.headers.get("x-rhone-session-id")!;
  const callId = response.headers.get("x-rhone-call-id")!;
  await response.text();
  await vi.waitFor(async () => expect((await rowOf(callId))?.status).toBe("completed"), { timeout: 5000 });
  expect(await get(`/v1/sessions/${session}`)).toMatchObject({ turns: 1 });
  const transcript = [user("one"), { role: "assistant", content: "Said say." }, user("two")];
  const second = await post({
    model: "fake/say",
    messages: transcript,
    rhone: { context_mode: "stateless", session_id: session },
  });
  expect(await second.json()).toMatchObject({ rhone: { session_id: session, context: { mode: "stateless" } } });
  await vi.waitFor(async () => expect(await get(`/v1/sessions/${session}`)).toMatchObject({ turns: 2 }));
  const { data } = (await get(`/v1/sessions/${session}/blocks`)) as { data: { text: string }[] };
  expect(data.map(({ text }) => text)).toEqual(["one", "Said say.", "two", "Said say."]);
});

it("a failed attempt is recorded with its error", async () => {
  const response = await post({ model: "fake/refuse", messages: [user("x")] });
  const id = response.headers.get("x-rhone-call-id")!;
  await vi.waitFor(async () => expect((await rowOf(id))?.status).toBe("failed"), { timeout: 5000 });
  expect(await rowOf(id)).toMatchObject({
    hasTurn: false,
    error: { status: 400, message: "max_tokens is too large" },
    attempts: [{ status: 400 }],
  });
});

it("no record is lost when the queue is down", async () => {
  const { rhone } = await chat({ messages: [user("x")] });
  const stub = objectOf(rhone.call_id);
  await vi.waitFor(async () => expect(await rowOf(rhone.call_id)).toBeDefined(), { timeout: 5000 });
  await runInDurableObject(stub, async (instance: SessionObject, { storage }) => {
    const { record } = JSON.parse((await instance.findCall("org_default", rhone.call_id))!) as { record: CallRecord };
    const again = { ...record, id: record.id.replace("call_0", "call_1") };
    storage.sql.exec("INSERT INTO outbox (payload) VALUES (?)", JSON.stringify(again));
    const { RECORDS } = (instance as unknown as { env: Cloudflare.Env }).env;
    const send = vi.spyOn(RECORDS, "send").mockRejectedValueOnce(new Error("queue down"));
    await instance.alarm();
    expect(await storage.getAlarm()).not.toBeNull();
    const rows = storage.sql.exec<{ payload: string }>("SELECT payload FROM outbox").toArray();
    expect(rows.map(({ payload }) => payload).join()).toContain(again.id);
    send.mockRestore();
    await storage.setAlarm(Date.now() + 60_000);
  });
  expect(await runDurableObjectAlarm(stub)).toBe(true);
  await vi.waitFor(async () => expect(await rowOf(rhone.call_id.replace("call_0", "call_1"))).toBeDefined(), {
    timeout: 5000,
  });
});

it("a record that the queue may have lost when the runtime died is sent again", async () => {
  const { rhone } = await chat({ messages: [user("x")] });
  const stub = objectOf(rhone.call_id);
  const lost = rhone.call_id.replace("call_0", "call_2");
  await runInDurableObject(stub, async (instance: SessionObject, { storage }) => {
    const { record } = JSON.parse((await instance.findCall("org_default", rhone.call_id))!) as { record: CallRecord };
    const payload = JSON.stringify({ ...record, id: lost });
    storage.sql.exec("INSERT INTO outbox (payload) VALUES (?)", payload);
  });
  await evictDurableObject(stub);
  expect(await rowOf(lost)).toBeUndefined();
  await get(`/v1/sessions/${rhone.session_id}`);
  await runDurableObjectAlarm(stub);
  await vi.waitFor(async () => expect(await rowOf(lost)).toBeDefined(), { timeout: 5000 });
});

it("records are applied by their outbox itself where the configuration says so, each once", async () => {
  const { rhone } = await chat({ messages: [user("x")] });
  const { record } = JSON.parse((await objectOf(rhone.call_id).findCall("org_default", rhone.call_id))!) as {
    record: CallRecord;
  };
  const send = vi.fn();
  const { deliver } = recordDeliveryFor({ ...env, RHONE_RECORDS_VIA: "direct", RECORDS: { send } as never });
  for (let times = 0; times < 2; times++)
    await deliver(
      JSON.stringify([
        { ...record, id: "call_direct" },
        { ...sessionRecord(7), id: "sess_direct" },
      ]),
    );
  expect(await db.select().from(callRecords).where(eq(callRecords.id, "call_direct"))).toHaveLength(1);
  expect(send).not.toHaveBeenCalled();
  const config = JSON.stringify({ records: { via: "queue" } });
  const queued = { ...env, RHONE_RECORDS_VIA: "direct", RHONE_CONFIG: config, RECORDS: { send } as never };
  await recordDeliveryFor(queued).deliver("[]");
  expect(send).toHaveBeenCalledExactlyOnceWith("[]", { contentType: "text" });
});

it("a dead letter is counted until it is applied, and tried again every hour", async () => {
  const { rhone } = await chat({ messages: [user("x")] });
  const { record } = JSON.parse((await objectOf(rhone.call_id).findCall("org_default", rhone.call_id))!) as {
    record: CallRecord;
  };
  const counted = async (): Promise<unknown> =>
    ((await get("/v1/routing/health")) as { records: { dead_letters: number } }).records;
  const letter = async (surface: string | null): Promise<unknown> => {
    const retry = vi.fn();
    const body = JSON.stringify([{ ...record, id: "call_dead", surface }]);
    const batch = { queue: "rhone-records-dead", messages: [{ id: "dead", body, retry }] };
    await worker.queue(batch as unknown as MessageBatch<string>, env);
    return retry.mock.calls.flat();
  };
  expect(await letter(null)).toEqual([{ delaySeconds: 3600 }]);
  expect(await counted()).toEqual({ via: "queue", dead_letters: 1 });
  expect(await letter("chat")).toEqual([]);
  expect(await counted()).toEqual({ via: "queue", dead_letters: 0 });
  expect(await rowOf("call_dead")).toBeDefined();
});

it("the newest record of a session is stored, in any order of arrival", async () => {
  await appendRecords({ d1: env.DB, bucket: env.BLOBS }, [sessionRecord(2)]);
  await appendRecords({ d1: env.DB, bucket: env.BLOBS }, [sessionRecord(1), sessionRecord(3), sessionRecord(2)]);
  const [row] = await db.select().from(sessionRecords).where(eq(sessionRecords.id, "sess_order"));
  expect(row).toMatchObject({ revision: 3, turns: 3 });
  await appendRecords({ d1: env.DB, bucket: env.BLOBS }, [{ ...sessionRecord(1), createdAt: 2 }]);
  const [anew] = await db.select().from(sessionRecords).where(eq(sessionRecords.id, "sess_order"));
  expect(anew).toMatchObject({ revision: 1, createdAt: 2 });
});

it("a record is applied once, however often it is delivered, and no bad one holds up the others", async () => {
  const { rhone } = await chat({ messages: [user("x")] });
  const { record } = JSON.parse((await objectOf(rhone.call_id).findCall("org_default", rhone.call_id))!) as {
    record: CallRecord;
  };
  const good = { ...record, id: "call_twice" };
  const bad = { ...record, id: "call_bad", surface: null } as unknown as CallRecord;
  for (const attempts of [1, 2]) {
    const batch = createMessageBatch<string>("rhone-records", [
      { id: "a", timestamp: new Date(), attempts, body: JSON.stringify([good]) },
      { id: "b", timestamp: new Date(), attempts, body: JSON.stringify([bad]) },
    ]);
    await worker.queue(batch, env);
    const result = await getQueueResult(batch, createExecutionContext());
    expect(result.retryMessages.map(({ msgId }) => msgId)).toEqual(["b"]);
  }
  expect(await db.select().from(callRecords).where(eq(callRecords.id, "call_twice"))).toHaveLength(1);
  expect(await rowOf("call_bad")).toBeUndefined();
});

it("the bootstrap key sees what is due, and where the record is stored", async () => {
  await vi.waitFor(async () => {
    const { tasks } = (await get("/v1/records/slices")) as {
      tasks: { name: string; status: string; ended_at: string | null }[];
    };
    expect(tasks.map(({ name }) => name)).toEqual([
      "apply-retention",
      "erase-sessions",
      "move-old-records",
      "rewrite-changed",
      "seal-records",
    ]);
    for (const { status, ended_at } of tasks) expect([status, ended_at]).toEqual(["waiting", expect.any(String)]);
  }, 10_000);
  expect(await get("/v1/records/slices?limit=1")).toMatchObject({
    object: "records.slices",
    database_bytes: expect.any(Number) as number,
    data: [],
  });
  expect((await request("/v1/records/slices?limit=0")).status).toBe(400);
});
