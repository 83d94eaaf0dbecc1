import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { McpMessage } from "../fake/mcp.ts";
import { writePlan } from "../fake/plan.ts";
import {
  clientTool,
  json,
  listOf,
  objectOfRun,
  run,
  send,
  textOf,
  toolLog,
  webhook,
  type Json,
} from "../support/runs/client.ts";

/** Each third write; with RHONE_TEST_ALL=1, as `npm run check:all` sets it, each. */
const SHARE = env.TEST_ALL === "1" ? 1 : 3;

const call = (name: string): Json => ({ name, args: { n: 1 } });
/**
 * A run with a tool of each kind and effect, whose object crashes at its n-th write of a part of the run: before that is durable, or
 * right after. It has to end as it does without a crash, but for what a person decides about a tool that must not run twice.
 */
const PLAN = writePlan([
  [call("look"), { name: "time", args: {} }],
  [call("save"), call("pay")],
  [
    { name: "crm__get_order", args: { id: "1" } },
    { name: "crm__refund", args: { n: 1 } },
  ],
  [{ name: "crm__report_task", args: {} }],
  [{ name: "client", args: { city: "Lyon" } }],
  "Over.",
] as never);

const toolsFor = (test: string): Json[] => [
  webhook("look", `${test}/look`, { effect: "read_only" }),
  { type: "native", name: "time" },
  webhook("save", `${test}/save`, { effect: "idempotent" }),
  webhook("pay", `${test}/pay`, { effect: "non_idempotent", policy: "allow" }),
  { type: "mcp", server: "crm", policy: "allow" },
  clientTool("client"),
];

const HOST = "https://mcp.example.com";

/** The tools that must not run twice, with what they answer. */
const ONCE: Record<string, string> = {
  pay: "Done: pay.",
  crm__refund: 'refund {"n":1}',
  crm__report_task: "Done with {}",
};

const mcpCalls = async (test: string): Promise<{ name: string; key: unknown }[]> =>
  (await (await fetch(`${HOST}/${test}/log`)).json<McpMessage[]>()).flatMap(({ method, params }) =>
    method === "tools/call"
      ? [{ name: `crm__${params.name as string}`, key: (params._meta as Json).idempotencyKey }]
      : [],
  );

/** Has the object crash at its n-th write of a part of a run. Resolves to how many writes there have been, as soon as it is called. */
async function crashAt(id: string, n: number, when: "before" | "after"): Promise<() => number> {
  let writes = 0;
  await runInDurableObject(objectOfRun(id), (_, state) => {
    const { sql } = state.storage;
    const exec = sql.exec.bind(sql);
    sql.exec = ((query: string, ...values: unknown[]) => {
      const result = exec(query, ...values);
      if (!query.startsWith("INSERT OR REPLACE INTO run_parts") || ++writes !== n) return result;
      if (when === "before") state.abort("crash");
      void state.storage.sync().then(() => state.abort("crash"));
      return result;
    }) as typeof sql.exec;
  });
  return () => writes;
}

/** Answers whatever a run waits for, until it has ended. Resolves to the names of the tools about which a person has decided. */
async function bringToEnd(id: string, test: string): Promise<string[]> {
  const decided: string[] = [];
  for (let tries = 0; tries < 400; tries++) {
    const { status, open = [] } = (await json("GET", `/v1/runs/${id}`)) as { status: string; open?: string[] };
    if (status === "completed") return decided;
    expect(status).toMatch(/queued|running|waiting/);
    for (const one of open) {
      if (one.startsWith("tex_")) {
        await send("POST", `/v1/runs/${id}:resume`, { tool_results: [{ id: one, content: "sun" }] });
        continue;
      }
      const { execution_id: execution, tool } = await json("GET", `/v1/checkpoints/${one}`);
      const keys = [
        ...(await toolLog(test)).map(({ headers }) => headers["idempotency-key"]),
        ...(await mcpCalls(test)).map(({ key }) => key),
      ];
      decided.push(String(tool));
      const hasRun = keys.includes(execution);
      const decision = hasRun ? { decision: "result", content: ONCE[String(tool)] } : { decision: "retry" };
      await send("POST", `/v1/checkpoints/${one}:resolve`, decision);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${id} has not ended`);
}

/** A run's session as a client reads it, without ids and times. */
async function historyOf(session: unknown): Promise<string> {
  const { data } = await json("GET", `/v1/sessions/${session as string}/blocks?limit=100`);
  return (
    (data as Json[])
      .map(({ type, text, name, content }) => JSON.stringify([type, text, name, content]))
      .join("\n")
      // What the clock says.
      .replaceAll(/\{\\+"utc.*?\}/g, "TIME")
  );
}

/** A session with a run that has ended, whose id leads to the session's object. */
async function startSession(): Promise<{ session: string; first: string }> {
  const { id, session_id } = await run({ model: "demo", input: "Hello." });
  return { session: session_id as string, first: id as string };
}

/** A run whose object crashes. Resolves to the number of its writes so far, and to its history; undefined: it was never accepted. */
async function runWithCrash(
  n: number,
  when: "before" | "after",
): Promise<{ writes: number; history: string; decided: string[] } | undefined> {
  const test = `grid-${n}-${when}`;
  const { session, first } = await startSession();
  const countWrites = await crashAt(first, n, when);
  await fetch(`${HOST}/${test}/finish`, { method: "POST" });
  const servers = { crm: { url: `${HOST}/${test}/modern`, trust_annotations: true } };
  const body = { model: "fake/plan", input: PLAN, tools: toolsFor(test), servers, session_id: session };
  const started = await send("POST", "/v1/runs:stream", body).catch(() => undefined);
  const id = started?.headers.get("x-rhone-run-id");
  await started?.text().catch(() => "");
  if (started?.ok !== true || id == null) {
    expect([await toolLog(test), await mcpCalls(test)]).toEqual([[], []]);
    return undefined;
  }
  const decided = await bringToEnd(id, test);
  const done = await json("GET", `/v1/runs/${id}`);
  expect([n, done.status, done.stop_reason, textOf(done)]).toEqual([n, "completed", "end_turn", "Over."]);
  const executions = await listOf(id, "tool-executions");
  expect(executions.map(({ name, status }) => `${name as string} ${status as string}`)).toEqual(
    ["look", "time", "save", "pay", "crm__get_order", "crm__refund", "crm__report_task", "client"].map(
      (name) => `${name} succeeded`,
    ),
  );
  const paid = (await toolLog(test)).filter(({ path }) => path.endsWith("/pay"));
  const called = (await mcpCalls(test)).filter(({ name }) => name in ONCE).map(({ name }) => name);
  expect([n, paid.length, called, decided.filter((name) => !(name in ONCE))]).toEqual([
    n,
    1,
    ["crm__refund", "crm__report_task"],
    [],
  ]);
  return { writes: countWrites(), history: await historyOf(session), decided };
}

describe("a run whose object crashes at any of its writes", () => {
  it.each(["before", "after"] as const)(
    "%s that is durable, ends as without a crash",
    async (when) => {
      const whole = (await runWithCrash(Infinity, when))!;
      expect(whole.writes).toBeGreaterThan(15);
      expect(whole.history).toContain("Done: pay.");
      let accepted = 0;
      let tried = 0;
      for (let n = 1; n <= whole.writes; n += SHARE) {
        const crashed = await runWithCrash(n, when);
        tried++;
        if (crashed === undefined) continue;
        accepted++;
        expect(crashed.writes).toBeGreaterThanOrEqual(n);
        expect([n, crashed.history]).toEqual([n, whole.history]);
      }
      expect(accepted).toBeGreaterThan(tried * 0.8);
    },
    120_000,
  );
});
