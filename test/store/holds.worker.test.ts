import { env } from "cloudflare:workers";
import { beforeEach, expect, it, vi } from "vitest";
import { createErasure, createRetention } from "../../src/platform/clock.ts";
import { appendRecords, findCall } from "../../src/store/record-store.ts";
import type { CallRecord } from "../../src/store/records.ts";
import { applyRetention, type RetentionServices } from "../../src/store/retention/apply.ts";
import { eraseNext } from "../../src/store/retention/erase.ts";
import { requestErasure, WHOLE_ORGANIZATION } from "../../src/store/retention/erasures.ts";
import { chat, get, request, user } from "../support/worker/client.ts";
import { isKilledAfter } from "../support/worker/dying-storage.ts";
import * as files from "../support/worker/record-files.ts";

const { callAt, DAY, readAll, sealAll, sources, START, time } = files;
const ORG = "org_default";

const send = async (method: string, path: string, body?: object): Promise<Response> =>
  await request(path, {
    method,
    headers: { "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });

const retentionOf = (session: string, org = ORG): string => `/v1/organizations/${org}/sessions/${session}/retention`;

const hold = async (session: string, rule: object, org = ORG): Promise<void> =>
  expect((await send("PUT", retentionOf(session, org), rule)).status).toBe(200);

async function eraseAll(used = createErasure(env, files.services())): Promise<void> {
  while (await eraseNext(used));
}

async function applyAll(services: RetentionServices): Promise<void> {
  while (await applyRetention(services));
}

/** As the clock does it, at another time. */
async function retain(now: number): Promise<void> {
  await applyAll(createRetention(env, { ...files.services(), now: () => now }));
  await eraseAll(createErasure(env, { ...files.services(), now: () => now }));
}

const idsOf = async (org: string): Promise<string[]> => (await readAll(org)).map(({ id }) => String(id)).toSorted();
const sorted = (calls: readonly CallRecord[]): string[] => calls.map(({ id }) => id).toSorted();
const filesLeft = async (): Promise<number> => (await env.BLOBS.list({ prefix: "records/" })).objects.length;

beforeEach(async () => {
  await files.clearRecord();
  await env.DB.batch(["session_records", "session_retention"].map((table) => env.DB.prepare(`DELETE FROM ${table}`)));
});

it("an organisation is erased up to the request, whatever kills it on its way", { timeout: 120_000 }, async () => {
  for (let at = 1, isKilled = true; isKilled; at++) {
    await files.clearRecord();
    const calls = [START, START + DAY, START + 3 * DAY].map((created) => callAt(created, "org_a"));
    const others = [callAt(START, "org_b")];
    await appendRecords(sources, [...calls.slice(0, 2), ...others], time.now);
    time.now = START + 2 * DAY + 2 * files.HOUR;
    await sealAll();
    await appendRecords(sources, calls.slice(2), time.now);
    const requestedAt = START + 2 * DAY;
    const erasure = { org: "org_a", sessionId: WHOLE_ORGANIZATION, id: `ers_${at}`, requestedBy: "key_admin" };
    await requestErasure(env.DB, { ...erasure, requestedAt });
    expect(await idsOf("org_a")).toEqual(sorted(calls.slice(2)));
    expect(await findCall(sources, "org_a", calls[0]!.id)).toBeUndefined();
    isKilled = await isKilledAfter(at, async (dying) => {
      await eraseAll(createErasure(env, files.services(dying)));
    });
    expect(await idsOf("org_a")).toEqual(sorted(calls.slice(2)));
    await eraseAll();
    // What comes late is not stored.
    await appendRecords(sources, calls, time.now);
    await sealAll();
    expect(await idsOf("org_a")).toEqual(sorted(calls.slice(2)));
    expect(await idsOf("org_b")).toEqual(sorted(others));
    expect(await filesLeft()).toBe(3);
    if (!isKilled) expect(at).toBeGreaterThan(10);
  }
});

it("an organisation's erasure takes content and lists with it, and can be asked for again", async () => {
  const first = await chat({ messages: [user("x")] });
  await vi.waitFor(async () => expect(await get("/v1/sessions")).toMatchObject({ data: [{}] }), 10_000);
  for (const bad of [{}, { all: false }, { all: true, session_id: "sess_a" }])
    expect((await send("POST", `/v1/organizations/${ORG}/erasures`, bad)).status).toBe(400);
  const asked = await send("POST", `/v1/organizations/${ORG}/erasures`, { all: true });
  expect(asked.status).toBe(202);
  const { id } = (await asked.json()) as { id: string };
  await eraseAll();
  await vi.waitFor(async () => {
    const found = await get(`/v1/organizations/${ORG}/erasures/${id}`);
    expect(found).toMatchObject({ session_id: null, status: "done" });
  }, 10_000);
  expect((await request(`/v1/sessions/${first.rhone.session_id}`)).status).toBe(404);
  expect(await get("/v1/sessions")).toMatchObject({ data: [] });
  expect((await request(`/v1/calls/${first.rhone.call_id}`)).status).toBe(404);
  const second = await chat({ messages: [user("y")] });
  expect(await get(`/v1/sessions/${second.rhone.session_id}`)).toMatchObject({ id: second.rhone.session_id });
  const again = await send("POST", `/v1/organizations/${ORG}/erasures`, { all: true });
  expect(await again.json()).not.toMatchObject({ id });
});

it("nobody deletes what is held, on any surface, and an erasure waits", async () => {
  const call = await chat({ messages: [user("x")], store: true });
  const id = call.rhone.session_id;
  expect(await get(retentionOf(id))).toMatchObject({ legal_hold: false, retention_days: null, changed_by: null });
  const asked = await requestErasure(env.DB, {
    org: ORG,
    sessionId: id,
    id: "ers_held",
    requestedBy: "key_admin",
    requestedAt: Date.now(),
  });
  await hold(id, { legal_hold: true });
  expect(await get(retentionOf(id))).toMatchObject({ legal_hold: true, changed_by: "key_admin" });
  await eraseAll();
  expect(await get(`/v1/organizations/${ORG}/erasures/${asked.id}`)).toMatchObject({ status: "held" });
  for (const [method, path, body] of [
    ["DELETE", `/v1/sessions/${id}`],
    ["DELETE", `/v1/chat/completions/${call.id}`],
    ["DELETE", `/v1/conversations/conv_${id.slice(5)}`],
    ["POST", `/v1/organizations/${ORG}/erasures`, { session_id: id }],
    ["POST", `/v1/organizations/${ORG}/erasures`, { all: true }],
  ] as const) {
    const refused = await send(method, path, body);
    expect([path, refused.status]).toEqual([path, 409]);
    expect(await refused.text()).toContain("legal hold");
  }
  expect(await get(`/v1/sessions/${id}/timeline`)).toMatchObject({ data: [{}] });
  await hold(id, {});
  await eraseAll();
  expect((await request(`/v1/sessions/${id}`)).status).toBe(404);
  for (const bad of [{ legal_hold: "yes" }, { retention_days: 0 }, { days: 1 }])
    expect((await send("PUT", retentionOf(id), bad)).status).toBe(400);
});

it("a session's own retention reaches its calls in files, and keeps them longer than the others", async () => {
  const made = await send("POST", "/v1/organizations", { name: "files", retention_days: 30 });
  const { id: org } = (await made.json()) as { id: string };
  const [short, long, held, other] = ["sess_short", "sess_long", "sess_held", "sess_other"].map((sessionId, i) =>
    callAt(START + i, org, { sessionId }),
  ) as [CallRecord, CallRecord, CallRecord, CallRecord];
  const all = [short, long, held, other];
  await appendRecords(sources, all, time.now);
  for (const { sessionId } of all)
    await env.DB.prepare(
      `INSERT INTO session_records (org, id, status, turns, metadata, revision, created_at, updated_at)
       VALUES (?1, ?2, 'active', 1, '{}', 1, ?3, ?3)`,
    )
      .bind(org, sessionId, START)
      .run();
  time.now = START + 2 * DAY;
  await sealAll();
  await hold("sess_short", { retention_days: 7 }, org);
  await hold("sess_long", { retention_days: 90 }, org);
  await hold("sess_held", { retention_days: 7, legal_hold: true }, org);
  await retain(START + 8 * DAY);
  expect(await idsOf(org)).toEqual(sorted([long, held, other]));
  await retain(START + 35 * DAY);
  expect(await idsOf(org)).toEqual(sorted([long, held]));
  await retain(START + 36 * DAY);
  expect(await idsOf(org)).toEqual(sorted([long, held]));
  await retain(START + 95 * DAY);
  expect(await idsOf(org)).toEqual(sorted([held]));
  await hold("sess_held", {}, org);
  await retain(START + 96 * DAY);
  expect(await idsOf(org)).toEqual([]);
  expect(await filesLeft()).toBe(0);
});

it("an organisation whose file is gone holds up neither erasures nor retention of others", async () => {
  const calls = ["org_a", "org_b"].map((org) => callAt(START, org, { sessionId: "sess_x" }));
  await appendRecords(sources, calls, time.now);
  time.now = START + 2 * DAY;
  await sealAll();
  // Sealed, but its rows not removed: that cannot be gone on with.
  await env.DB.prepare("UPDATE record_parts SET state = 'sealed' WHERE org = 'org_a'").run();
  const lost = await env.BLOBS.list({ prefix: "records/v1/calls/org=org_a/" });
  await env.BLOBS.delete(lost.objects.map(({ key }) => key));
  for (const [i, org] of ["org_a", "org_b"].entries()) {
    const erasure = { org, sessionId: "sess_x", id: `ers_${org}`, requestedBy: "key_admin" };
    await requestErasure(env.DB, { ...erasure, requestedAt: i });
  }
  const erasing = createErasure(env, files.services());
  await expect(eraseAll(erasing)).rejects.toThrow("there is no such file");
  await eraseAll(erasing);
  const { results } = await env.DB.prepare("SELECT id, state FROM erasures ORDER BY id").all();
  expect(results).toEqual([
    { id: "ers_org_a", state: "requested" },
    { id: "ers_org_b", state: "done" },
  ]);
  const made = await send("POST", "/v1/organizations", { name: "z", retention_days: 30 });
  const { id } = (await made.json()) as { id: string };
  await appendRecords(sources, [callAt(START, id)], START);
  const services = createRetention(env, { ...files.services(), now: () => START + 60 * DAY });
  await expect(applyAll(services)).rejects.toThrow("there is no such file");
  await applyAll(services);
  expect(await idsOf(id)).toEqual([]);
});

it("a session whose entry comes after its organisation was erased is erased as well", async () => {
  const { rhone } = await chat({ messages: [user("My name is Ada.")] });
  const requestedAt = Date.now() + 1;
  const whole = { org: ORG, sessionId: WHOLE_ORGANIZATION, id: "ers_early", requestedBy: "key_admin" };
  await requestErasure(env.DB, { ...whole, requestedAt });
  await env.DB.prepare("UPDATE erasures SET state = 'done' WHERE id = 'ers_early'").run();
  await vi.waitFor(async () => {
    await eraseAll();
    expect((await request(`/v1/sessions/${rhone.session_id}`)).status).toBe(404);
  }, 14_000);
}, 20_000);
