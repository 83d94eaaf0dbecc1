import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import type { SessionObject } from "../../src/objects/session.ts";
import { createRetention } from "../../src/platform/clock.ts";
import { sealNext } from "../../src/store/archive/seal.ts";
import { appendRecords } from "../../src/store/record-store.ts";
import type { CallRecord } from "../../src/store/records.ts";
import { applyRetention } from "../../src/store/retention/apply.ts";
import { newId } from "../../src/wire/id.ts";
import { chat, get, objectOf, request, user } from "../support/worker/client.ts";

const DAY = 24 * 60 * 60_000;
const sources = { d1: env.DB, bucket: env.BLOBS };
const config = { sliceMs: DAY, settleMs: 0, hotBytes: 1e9 };
const in31Days = Date.now() + 31 * DAY;

/** As the clock does it, at another time. */
async function retain(now: number): Promise<void> {
  const services = createRetention(env, { ...sources, config, now: () => now });
  while (await applyRetention(services));
}

const change = async (policy: object): Promise<void> => {
  const headers = { "content-type": "application/json" };
  const init = { method: "PATCH", body: JSON.stringify(policy), headers };
  const response = await request("/v1/organizations/org_default", init);
  expect(response.status, await response.text()).toBe(200);
};

const listed = async (): Promise<string[]> =>
  ((await get("/v1/sessions?limit=100")) as { data: { id: string }[] }).data.map(({ id }) => id);

describe("what is older than its organisation wants it to be", () => {
  it("is deleted with its content, unless it was used since, or is held", async () => {
    const stateful = await chat({ messages: [user("x")] });
    const stateless = await chat({ messages: [user("y")], rhone: { context_mode: "stateless" } });
    const ids = [stateful.rhone.session_id, stateless.rhone.session_id];
    await vi.waitFor(async () => expect(await listed()).toEqual(expect.arrayContaining(ids)), 10_000);
    // A file of forty days ago, and one of today.
    const old = { createdAt: Date.now() - 40 * DAY, endedAt: Date.now() - 40 * DAY };
    const call: CallRecord = {
      ...old,
      id: newId("call", old.createdAt),
      org: "org_default",
      sessionId: "sess_gone",
      keyId: "key_admin",
      surface: "chat",
      stream: false,
      contextMode: "stateful",
      modelAsked: "m",
      status: "completed",
      usage: {},
      latency: { gateway: 0, total: 1 },
      attempts: [],
      losses: [],
    };
    await appendRecords(sources, [call]);
    while (await sealNext({ ...sources, now: Date.now, config }));
    const files = async (): Promise<number> => (await env.BLOBS.list({ prefix: "records/" })).objects.length;
    expect(await files()).toBe(3);
    expect(await get(`/v1/calls/${call.id}`)).toMatchObject({ status: "completed" });

    await retain(in31Days);
    await change({ retention_days: 30, legal_hold: true });
    await retain(in31Days);
    expect(await files()).toBe(3);
    expect(await listed()).toEqual(expect.arrayContaining(ids));
    await change({ legal_hold: false });
    await retain(Date.now() + DAY);
    expect(await files()).toBe(0);
    expect((await request(`/v1/calls/${call.id}`)).status).toBe(404);
    expect(await listed()).toEqual(expect.arrayContaining(ids));

    // The list does not know of a turn that came since.
    const used = objectOf(stateful.rhone.call_id);
    await runInDurableObject(used, (_: SessionObject, { storage }) => {
      storage.sql.exec("UPDATE session SET updated_at = ?", in31Days - DAY);
    });
    await evictDurableObject(used);
    await retain(in31Days);
    expect(await listed()).toContain(ids[0]);
    expect(await listed()).not.toContain(ids[1]);
    expect((await request(`/v1/sessions/${ids[1]}`)).status).toBe(404);
    // The evicted object delivers its records once more.
    await vi.waitFor(async () => {
      await retain(in31Days);
      const entries = await env.DB.prepare("SELECT id FROM call_records WHERE org = 'org_default'").all();
      expect(entries.results).toEqual([]);
    }, 10_000);
    await retain(in31Days + 40 * DAY);
    const left = await env.DB.prepare("SELECT id, status FROM session_records WHERE id = ?").bind(ids[1]).all();
    expect(left.results).toEqual([]);
  });
});
