import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { createErasure } from "../../src/platform/clock.ts";
import { openFile, readGroups } from "../../src/store/archive/parquet-file.ts";
import { sealNext } from "../../src/store/archive/seal.ts";
import { scanRows } from "../../src/store/archive/sealed-calls.ts";
import { appendRecords, findCall } from "../../src/store/record-store.ts";
import type { CallRecord } from "../../src/store/records.ts";
import { eraseNext } from "../../src/store/retention/erase.ts";
import { findErasure, requestErasure } from "../../src/store/retention/erasures.ts";
import { firstId, newId } from "../../src/wire/id.ts";
import { chat, get, request, user } from "../support/worker/client.ts";
import { isKilledAfter } from "../support/worker/dying-storage.ts";

const DAY = 24 * 60 * 60_000;
const ORG = "org_default";
const sources = { d1: env.DB, bucket: env.BLOBS };
const config = { sliceMs: DAY, settleMs: 0, hotBytes: 6e9 };
const services = createErasure(env, { ...sources, now: Date.now, config });

const callOf = (sessionId: string, createdAt: number): CallRecord => ({
  id: newId("call", createdAt),
  org: ORG,
  sessionId,
  keyId: "key_admin",
  surface: "chat",
  stream: false,
  contextMode: "stateful",
  modelAsked: "m",
  status: "completed",
  usage: {},
  costMicrosUsd: 1,
  latency: { gateway: 0, total: 1 },
  attempts: [],
  losses: [],
  createdAt,
  endedAt: createdAt + 1,
});

async function erase(session_id: string, status = 202): Promise<{ id: string }> {
  const init = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ session_id }),
  };
  const response = await request(`/v1/organizations/${ORG}/erasures`, init);
  expect(response.status).toBe(status);
  return await response.json();
}

async function listCalls(): Promise<string[]> {
  const ids: string[] = [];
  const range = { org: ORG, from: firstId("call", Date.now() - 40 * DAY), before: firstId("call", Date.now() + DAY) };
  for await (const rows of scanRows(sources, { ...range, columns: ["cost_micros_usd"] }))
    ids.push(...rows.map(({ id }) => String(id)));
  return ids.toSorted();
}

async function clear(): Promise<void> {
  const tables = ["call_records", "record_parts", "erasures"];
  await env.DB.batch(tables.map((table) => env.DB.prepare(`DELETE FROM ${table}`)));
  await env.BLOBS.delete((await env.BLOBS.list({ prefix: "records/" })).objects.map(({ key }) => key));
}

beforeEach(clear);

const isFile = ({ key }: { key: string }): boolean => key.endsWith(".parquet");

describe("an erasure", () => {
  // First: no request has started the clock, which would do the same beside.
  it("goes on after a kill at any operation", { timeout: 120_000 }, async () => {
    for (let at = 1, isKilled = true; isKilled; at++) {
      await clear();
      const id = `sess_kill-${at}`;
      const base = Date.now() - 30 * DAY;
      const own = [callOf(id, base), callOf(id, base + DAY)];
      const others = [callOf(`sess_kept-${at}`, base), callOf(`sess_kept-${at}`, base + 2 * DAY)];
      await appendRecords(sources, [...own, ...others]);
      while (await sealNext(services));
      const before = (await listCalls()).filter((call) => own.every((one) => one.id !== call));
      await requestErasure(env.DB, {
        org: ORG,
        sessionId: id,
        id: `ers_${at}`,
        requestedBy: "key_admin",
        requestedAt: at,
      });
      isKilled = await isKilledAfter(at, async (dying) => {
        // A process that was killed remembers nothing.
        const killed = createErasure(env, { ...services, ...dying });
        while (await eraseNext(killed));
      });
      expect(await listCalls()).toEqual(before);
      while (await eraseNext(services));
      while (await sealNext(services));
      expect(await listCalls()).toEqual(before);
      expect(await findErasure(env.DB, ORG, `ers_${at}`)).toMatchObject({ state: "done" });
      for (const { key } of (await env.BLOBS.list({ prefix: "records/v1/calls/" })).objects.filter(isFile))
        for await (const group of readGroups((await openFile(env.BLOBS, key))!))
          expect(group.map(({ session_id }) => session_id)).not.toContain(id);
      if (!isKilled) expect(at).toBeGreaterThan(15);
    }
  });

  it("reaches the session's content, its rows and its files, and what comes late", async () => {
    const { rhone } = await chat({ messages: [user("My name is Alice.")] });
    const id = rhone.session_id;
    await vi.waitFor(async () => expect(await listCalls()).toContain(rhone.call_id), 10_000);
    const created = { org: ORG, id, before: Date.now() - 20 * DAY };
    await env.DB.prepare("UPDATE session_records SET created_at = ?3 WHERE org = ?1 AND id = ?2")
      .bind(created.org, created.id, created.before)
      .run();
    // Three days in files: with others' calls, with its own alone, and without.
    const day = (n: number): number => Date.now() - n * DAY;
    const own = [callOf(id, day(5)), callOf(id, day(5)), callOf(id, day(4)), callOf(id, day(4))];
    const others = [callOf("sess_other", day(5)), callOf("sess_other", day(3))];
    await appendRecords(sources, [...own, ...others]);
    while (await sealNext(services));
    expect(await listCalls()).toHaveLength(7);

    const erasure = await erase(id);
    const left = others.map((call) => call.id).toSorted();
    // At once, whatever the clock has done by now.
    expect(await findCall(sources, ORG, own[0]!.id)).toBeUndefined();
    expect(await listCalls()).toEqual(left);
    while (await eraseNext(services));
    await vi.waitFor(async () => {
      expect(await get(`/v1/organizations/${ORG}/erasures/${erasure.id}`)).toMatchObject({
        object: "erasure",
        session_id: id,
        status: "done",
        done_at: expect.any(String) as string,
        remains: expect.arrayContaining([expect.stringContaining("thirty days")]) as string[],
      });
    }, 10_000);
    while (await sealNext(services));
    expect((await request(`/v1/sessions/${id}`)).status).toBe(404);
    expect((await request(`/v1/calls/${own[0]!.id}`)).status).toBe(404);
    expect(await listCalls()).toEqual(left);
    const stored = new Set<unknown>();
    const { objects } = await env.BLOBS.list({ prefix: "records/v1/calls/" });
    for (const { key } of objects.filter(isFile))
      for await (const group of readGroups((await openFile(env.BLOBS, key))!))
        for (const { session_id } of group) stored.add(session_id);
    expect(stored).toEqual(new Set(["sess_other"]));
    let cost = 0;
    for (const { key } of (await env.BLOBS.list({ prefix: "records/v1/call_rollups/" })).objects)
      for await (const group of readGroups((await openFile(env.BLOBS, key))!))
        for (const { cost_micros_usd } of group) cost += Number(cost_micros_usd);
    expect(cost).toBe(2);
    const rows = await env.DB.prepare("SELECT id FROM session_records WHERE id = ?").bind(id).all();
    expect(rows.results).toEqual([]);
    await appendRecords(sources, [own[0]!, callOf(id, Date.now())]);
    expect(await listCalls()).toEqual(left);
    expect(await erase(id)).toMatchObject({ id: erasure.id, status: "done" });
  });

  it("is refused under legal hold, for another organisation, and for what is no session", async () => {
    const patch = (legal_hold: boolean): Promise<Response> =>
      request(`/v1/organizations/${ORG}`, {
        method: "PATCH",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ legal_hold }),
      });
    await patch(true);
    expect(await erase("sess_held", 409)).toMatchObject({
      error: { message: expect.stringContaining("legal hold") as string },
    });
    await patch(false);
    expect(await erase("nobody", 400)).toMatchObject({ error: { details: { param: "session_id" } } });
    expect((await request(`/v1/organizations/${ORG}/erasures/ers_nope`)).status).toBe(404);
    const key = (await (
      await request("/v1/keys", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name: "k", ttl_s: 60, scopes: ["organization:read", "organization:write"] }),
      })
    ).json()) as { secret: string };
    const init = {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"session_id":"sess_x"}',
      key: key.secret,
    };
    expect((await request("/v1/organizations/org_other/erasures", init)).status).toBe(404);
  });
});
