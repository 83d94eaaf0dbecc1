import { evictAllDurableObjects, listDurableObjectIds, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import { findCall } from "../../src/store/record-store.ts";
import { objectIdIn } from "../../src/wire/id.ts";
import type { JournalObject } from "../../src/worker.ts";
import { type Answer, chat, get, post, request, user } from "../support/worker/client.ts";

const stateless = { context_mode: "stateless" };
const say = (more: object = {}): Promise<Answer> => chat({ messages: [user("one")], rhone: stateless, ...more });
const sessions = async (): Promise<number> => (await listDurableObjectIds(env.SESSIONS)).length;
const stub = ({ rhone }: Answer): ReturnType<typeof env.SESSIONS.get> =>
  env.SESSIONS.get(env.SESSIONS.idFromName(objectIdIn("call", rhone.call_id)!));

/** What stands in all journals of this file. */
async function entries(): Promise<string[]> {
  const ids = await listDurableObjectIds(env.JOURNALS);
  const found = ids.map((id) =>
    runInDurableObject(env.JOURNALS.get(id), (_: JournalObject, { storage }) =>
      storage.sql.exec<{ id: string }>("SELECT id FROM entries WHERE org <> ''").toArray(),
    ),
  );
  return (await Promise.all(found)).flat().map(({ id }) => id);
}

it("a stateless call makes no session before a request needs it", async () => {
  const before = await sessions();
  const answers = await Promise.all(Array.from({ length: 5 }, () => say()));
  const ids = answers.map(({ rhone }) => rhone.call_id);
  await vi.waitFor(async () => expect(await entries()).toEqual(expect.arrayContaining(ids)));
  await vi.waitFor(async () => {
    const { data } = (await get("/v1/sessions")) as { data: { id: string; turns: number }[] };
    for (const { rhone } of answers)
      expect(data).toContainEqual(expect.objectContaining({ id: rhone.session_id, turns: 1 }));
  }, 5000);
  expect(await sessions()).toBe(before);
});

it("a stateless call gets its session with the first request that names it, in any way", async () => {
  const ways: ((answer: Answer) => Promise<Response>)[] = [
    ({ rhone }) => request(`/v1/sessions/${rhone.session_id}`),
    ({ rhone }) => request(`/v1/calls/${rhone.call_id}`),
    ({ rhone }) => request(`/v1/runs/${rhone.run_id}`),
    ({ rhone }) => request(`/v1/sessions/${rhone.session_id}/blocks`),
    ({ rhone }) => request(`/v1/sessions/${rhone.session_id}:token`, { method: "POST", body: "{}" }),
    ({ rhone }) => request(`/v1/sessions/${rhone.session_id}:branch`, { method: "POST", body: "{}" }),
    ({ rhone }) => request(`/v1/conversations/${rhone.session_id.replace("sess_", "conv_")}/items`),
    ({ rhone }) => post({ model: "demo", messages: [user("two")], rhone: { session_id: rhone.session_id } }),
    ({ rhone }) => post({ model: "demo", messages: [user("two")], rhone: { parent: rhone.turn_id } }),
    ({ rhone }) =>
      post({ model: "demo", messages: [user("two")], rhone: { ...stateless, session_id: rhone.session_id } }),
  ];
  for (const way of ways) {
    const answer = await say();
    const response = await way(answer);
    expect([way.toString(), response.status, await response.text()]).toMatchObject([{}, expect.toSatisfy(isGood), {}]);
    expect(await entries()).not.toContain(answer.rhone.call_id);
    expect((await get(`/v1/calls/${answer.rhone.call_id}`)).session_id).toBe(answer.rhone.session_id);
  }
});

const isGood = (status: number): boolean => status === 200 || status === 201;

it("a call goes on statefully from a stateless one, and again when all objects were evicted", async () => {
  const { rhone } = await say({ messages: [user("My name is Alice.")] });
  const { session_id } = rhone;
  const second = await chat({ messages: [user("What is my name?")], rhone: { session_id } });
  expect(second.choices[0]!.message.content).toContain("Alice");
  expect(objectIdIn("call", second.rhone.call_id)).toBe(objectIdIn("call", rhone.call_id));
  await evictAllDurableObjects();
  const third = await chat({ messages: [user("And what is my name?")], rhone: { parent: second.rhone.turn_id } });
  expect(third.rhone).toMatchObject({ session_id, context: { turns: 2 } });
  expect(await get(`/v1/sessions/${session_id}`)).toMatchObject({ turns: 3 });
});

it("a stateless call enters its session once, however many requests arrive at once", async () => {
  const answer = await say();
  const { session_id } = answer.rhone;
  const all = await Promise.all(Array.from({ length: 8 }, () => get(`/v1/sessions/${session_id}`)));
  expect(all.map(({ turns }) => turns)).toEqual(Array(8).fill(1));
  const { data } = (await get(`/v1/sessions/${session_id}/calls`)) as { data: unknown[] };
  expect(data).toHaveLength(1);
});

it("the session of a stateless call is not found for another organisation", async () => {
  const answer = await say();
  expect(await stub(answer).has("org_other")).toBe(false);
  expect(await get(`/v1/sessions/${answer.rhone.session_id}`)).toMatchObject({ turns: 1 });
  expect(await stub(answer).has("org_other")).toBe(false);
});

it("the session of a stateless call stays gone when it is deleted", async () => {
  const { session_id, call_id } = (await say()).rhone;
  expect((await request(`/v1/sessions/${session_id}`, { method: "DELETE" })).status).toBe(200);
  expect((await request(`/v1/sessions/${session_id}`)).status).toBe(404);
  expect(await entries()).not.toContain(call_id);
});

it("a session that no stateless call made is not found", async () => {
  const { session_id } = (await say()).rhone;
  const other = session_id.replace(/^sess_..../, "sess_0000");
  expect((await request(`/v1/sessions/${other}`)).status).toBe(404);
  expect((await post({ model: "demo", messages: [user("x")], rhone: { session_id: other } })).status).toBe(404);
  const nowhere = `sess_${"0".repeat(26)}.${"0".repeat(52)}`;
  expect((await request(`/v1/sessions/${nowhere}`)).status).toBe(404);
});

it("a failed stateless call is stored as an answered one is", async () => {
  const response = await post({ model: "fake/refuse", messages: [user("x")], rhone: stateless });
  const id = response.headers.get("x-rhone-call-id")!;
  expect(response.status).toBe(400);
  expect(await get(`/v1/calls/${id}`)).toMatchObject({ status: "failed" });
  expect(await get(`/v1/sessions/${response.headers.get("x-rhone-session-id")}`)).toMatchObject({ turns: 0 });
});

it("a short stateless stream is stored, so that it can be resumed", async () => {
  const response = await post({ model: "fake/say", stream: true, messages: [user("x")], rhone: stateless });
  const told = await response.text();
  const id = response.headers.get("x-rhone-call-id")!;
  await vi.waitFor(async () => expect(await entries()).toContain(id));
  const resumed = await (await request(`/v1/calls/${id}:stream?after=1`)).text();
  expect(resumed).toContain("[DONE]");
  expect(told.length).toBeGreaterThan(resumed.replace(/^id: .*\n/gm, "").length);
  expect(await entries()).not.toContain(id);
});

it("a stateless call of an agent's size stays in the journal, and its session gets all of it", async () => {
  const before = await sessions();
  const text = `${'line "1" of é😀\n'.repeat(20_000)}end`;
  const { rhone } = await say({ messages: [user(text)] });
  await vi.waitFor(async () => expect(await entries()).toContain(rhone.call_id));
  expect(await sessions()).toBe(before);
  const { data } = (await get(`/v1/sessions/${rhone.session_id}/blocks?format=openai`)) as {
    data: { content: unknown }[];
  };
  expect(JSON.stringify(data[0]!.content)).toContain(JSON.stringify(text).slice(1, -1));
  expect(await entries()).not.toContain(rhone.call_id);
});

it("transcripts that agents send again share their beginning in the journal, and each session gets all of its own", async () => {
  const messages = [user("x".repeat(40_000))];
  const calls: { answer: Answer; messages: unknown[] }[] = [];
  for (let turn = 0; turn < 4; turn++) {
    const answer = await say({ messages });
    await vi.waitFor(async () => expect(await entries()).toContain(answer.rhone.call_id));
    calls.push({ answer, messages: [...messages] });
    messages.push({ role: "assistant", content: `answer ${turn}` }, user(`question ${turn}`));
  }
  const ids = await listDurableObjectIds(env.JOURNALS);
  const lengths = await runInDurableObject(env.JOURNALS.get(ids.at(-1)!), (_: JournalObject, { storage }) =>
    storage.sql
      .exec<{ length: number }>("SELECT length(request) AS length FROM entries WHERE base IS NOT NULL")
      .toArray(),
  );
  expect(lengths.length).toBeGreaterThanOrEqual(2);
  for (const { length } of lengths) expect(length).toBeLessThan(1_000);
  // The first one, which the others share, is read and removed first.
  for (const { answer, messages: sent } of calls) {
    const { data } = (await get(`/v1/sessions/${answer.rhone.session_id}/blocks?format=openai`)) as { data: object[] };
    expect(data.slice(0, -1)).toEqual(sent);
    expect(await entries()).not.toContain(answer.rhone.call_id);
  }
});

it("a stateless call that is larger than an entry is sent to its session at once", async () => {
  const { rhone } = await say({ messages: [user("x".repeat(4_100_000))] });
  expect(await get(`/v1/sessions/${rhone.session_id}`)).toMatchObject({ turns: 1 });
  expect(await entries()).not.toContain(rhone.call_id);
});

it("a stateless call is charged once, also when its session is made of it later", async () => {
  const made = await request("/v1/keys", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      name: "k",
      ttl_s: 3600,
      budgets: [{ period: "daily", limit_micros_usd: 1_000_000 }],
    }),
  });
  expect(made.status).toBe(201);
  const { id: key, secret }: { id: string; secret: string } = await made.json();
  const response = await request("/v1/chat/completions", {
    method: "POST",
    key: secret,
    body: JSON.stringify({ model: "fake/paid", messages: [user("x")], max_tokens: 5, rhone: stateless }),
  });
  expect(response.status, await response.clone().text()).toBe(200);
  const { rhone }: Answer = await response.json();
  const budget = async (): Promise<unknown> => ((await get(`/v1/keys/${key}/usage`)).budgets as unknown[])[0];
  const paid = { spent_micros_usd: 22, reserved_micros_usd: 0 };
  await vi.waitFor(async () => expect(await budget()).toMatchObject(paid), 8000);
  await get(`/v1/sessions/${rhone.session_id}`);
  const next = await chat({ messages: [user("y")], rhone: { session_id: rhone.session_id } });
  await vi.waitFor(
    async () =>
      expect(await findCall({ d1: env.DB, bucket: env.BLOBS }, "org_default", next.rhone.call_id)).toBeDefined(),
    5000,
  );
  expect(await budget()).toMatchObject(paid);
}, 20_000);
