import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { appendRecords } from "../../src/store/record-store.ts";
import { type CallRecord, RESTARTED } from "../../src/store/records.ts";
import { requestErasure } from "../../src/store/retention/erasures.ts";
import { listRunRecords, type RunPage } from "../../src/store/run-list.ts";
import type { RunRecord } from "../../src/store/run-records.ts";
import { newId, withPrefix } from "../../src/wire/id.ts";

const sources = { d1: env.DB, bucket: env.BLOBS };
const START = Date.now() - 60_000;

const callOf = (org: string, createdAt: number, members: Partial<CallRecord> = {}): CallRecord => ({
  id: newId("call", createdAt),
  org,
  sessionId: "sess_a",
  keyId: "key_a",
  surface: "chat",
  stream: false,
  contextMode: "stateful",
  modelAsked: "m",
  status: "completed",
  finishReason: "stop",
  usage: { fresh: 3, output: 2 },
  latency: { gateway: 0, total: 1 },
  attempts: [],
  losses: [],
  createdAt,
  endedAt: createdAt + 1,
  ...members,
});

const runOf = (org: string, createdAt: number, members: Partial<RunRecord> = {}): RunRecord => ({
  object: "run",
  id: newId("run", createdAt),
  org,
  sessionId: "sess_a",
  keyId: "key_a",
  status: "completed",
  steps: 2,
  toolCalls: 1,
  usage: {},
  costMicrosUsd: 1,
  revision: 1,
  createdAt,
  ...members,
});

/** All ids of the pages of a list, with so many entries each. */
async function walk(page: Omit<RunPage, "limit" | "before">, limit: number): Promise<string[]> {
  const ids: string[] = [];
  for (let before: string | undefined; ; before = ids.at(-1)) {
    const found = await listRunRecords(env.DB, { ...page, limit, before });
    ids.push(...found.map(({ id }) => id));
    if (found.length < limit) return ids;
  }
}

it("pages have every run and every plain call once, newest first, however large they are", async () => {
  const org = "org_pages";
  const runs = Array.from({ length: 9 }, (_, i) => runOf(org, START + 3 * i));
  const calls = Array.from({ length: 20 }, (_, i) => callOf(org, START + i));
  const steps = runs.map(({ id: runId, createdAt }) => callOf(org, createdAt, { runId }));
  // Its call was recorded as a plain one, by an error.
  const double = runOf(org, START + 5, { id: withPrefix(calls[5]!.id, "run") });
  const others = [callOf("org_other", START), runOf("org_other", START)];
  await appendRecords(sources, [...calls, ...steps, ...runs, double, ...others]);
  const expected = [...new Set([...runs, ...calls].map(({ id }) => withPrefix(id, "run")))].toSorted().toReversed();
  for (const limit of [1, 2, 3, 7, 100])
    expect([limit, await walk({ org, metadata: {} }, limit)]).toEqual([limit, expected]);
  const [found] = await listRunRecords(env.DB, {
    org,
    metadata: {},
    status: "completed",
    from: START + 5,
    to: START + 6,
    limit: 1,
  });
  expect([double.id, found?.id, found?.steps]).toEqual([double.id, double.id, 2]);
});

it("a plain call has the status of a run, and all filters hold for it", async () => {
  const org = "org_filters";
  const error = { code: "stream.interrupted", message: "the call was cancelled", status: 502 } as const;
  const denied = { code: "safety.policy_denied", message: "no", status: 403 } as const;
  const calls = {
    ended: callOf(org, START, { metadata: { "a.b": "c" }, sessionId: "sess_b", costMicrosUsd: 7 }),
    cut: callOf(org, START + 1, { finishReason: "length", keyId: "key_b" }),
    failed: callOf(org, START + 2, { status: "failed", error: { ...error, code: "provider.unavailable" } }),
    broken: callOf(org, START + 3, { status: "incomplete" }),
    cancelled: callOf(org, START + 4, { status: "interrupted", error }),
    restarted: callOf(org, START + 5, { status: "interrupted", error: RESTARTED }),
    denied: callOf(org, START + 6, { status: "failed", error: denied }),
  };
  await appendRecords(sources, Object.values(calls));
  const all = await listRunRecords(env.DB, { org, metadata: {}, limit: 100 });
  expect(all.map(({ status, stopReason }) => [status, stopReason]).toReversed()).toEqual([
    ["completed", "end_turn"],
    ["completed", "max_tokens"],
    ["failed", "error"],
    ["failed", "error"],
    ["cancelled", "cancelled"],
    ["failed", "error"],
    ["failed", "safety_blocked"],
  ]);
  expect(all.at(-1)).toMatchObject({ steps: 1, toolCalls: 0, usage: { fresh: 3, output: 2 }, costMicrosUsd: 7 });
  const named = async (page: Partial<RunPage>): Promise<string[]> => {
    const found = await listRunRecords(env.DB, { org, metadata: {}, limit: 100, ...page });
    const ids = new Set(found.map(({ id }) => withPrefix(id, "call")));
    return Object.entries(calls).flatMap(([name, { id }]) => (ids.has(id) ? [name] : []));
  };
  for (const [page, names] of [
    [{ status: "completed" }, ["ended", "cut"]],
    [{ status: "failed" }, ["failed", "broken", "restarted", "denied"]],
    [{ status: "cancelled" }, ["cancelled"]],
    [{ status: "waiting_for_tool" }, []],
    [{ sessionId: "sess_b" }, ["ended"]],
    [{ keyId: "key_b" }, ["cut"]],
    [{ metadata: { "a.b": "c" } }, ["ended"]],
    [{ metadata: { "a.b": "d" } }, []],
    [{ from: START + 3, to: START + 5 }, ["broken", "cancelled"]],
    [{ from: 0, to: START }, []],
  ] as const)
    expect([page, await named(page as Partial<RunPage>)]).toEqual([page, names]);
});

it("nothing of a session is listed from the request of its erasure on", async () => {
  const org = "org_erased_runs";
  const gone = { sessionId: "sess_gone" };
  const stays = callOf(org, START);
  await appendRecords(sources, [stays, callOf(org, START, gone), runOf(org, START, gone)]);
  expect(await walk({ org, metadata: {} }, 10)).toHaveLength(3);
  await requestErasure(env.DB, { org, ...gone, id: "erasure_x", requestedBy: "key_a", requestedAt: Date.now() });
  expect(await walk({ org, metadata: {} }, 10)).toEqual([withPrefix(stays.id, "run")]);
});

it.each([
  ["the newest", {}, "PRIMARY KEY (org=?)"],
  ["a page behind another", { before: newId("run", START) }, "PRIMARY KEY (org=? AND id<?)"],
  ["a time", { from: START, to: START + 1 }, "PRIMARY KEY (org=? AND id>? AND id<?)"],
  ["a session", { sessionId: "sess_a", before: newId("run", START) }, "(org=? AND session_id=? AND id<?)"],
  ["a status", { status: "failed" }, "PRIMARY KEY (org=?)"],
])("a list of %s reads each table in the order of an index, and sorts nothing", async (_, page, range) => {
  const made: string[] = [];
  const d1 = {
    prepare: (query: string) => {
      made.push(query);
      return env.DB.prepare(query);
    },
    batch: async (statements: D1PreparedStatement[]) => await env.DB.batch(statements),
  } as D1Database;
  await listRunRecords(d1, { org: "org_plan", metadata: {}, limit: 20, ...page });
  expect(made).toHaveLength(2);
  for (const query of made) {
    const plan = await planOf(query);
    expect(plan[0]).toMatch(/^SEARCH (run|call)_records USING /);
    expect(plan[0]).toContain(range);
    expect(plan.join("\n")).not.toMatch(/TEMP B-TREE|SCAN (run|call)_records/);
  }
});

async function planOf(query: string): Promise<string[]> {
  const values = Array.from(query.matchAll(/\?/g), () => 1);
  const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${query}`)
    .bind(...values)
    .all<{ detail: string }>();
  return results.map(({ detail }) => detail);
}
