import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { endChildrenOnExit } from "../local/process-group.ts";
import { UserError, runScript } from "../user-error.ts";
import { type Gateway, get, killRuntime, post, startKillable } from "./gateway.ts";

/**
 * `npm run test:run-crash -- --kills 50`: kills the runtime (SIGKILL) at random moments of runs whose tools of each effect are webhooks
 * here, and whose last tool is the client's. Then all runs are brought to their ends, and compared with what the tools have counted:
 *
 * - what must not run twice has run once at most, in each execution;
 * - every run that its client knows has completed, and every call in its history has one result, in order;
 * - the result that the model was shown is what the tool has answered, or what a person has given.
 */
type Api = Record<string, unknown> & { id: string; status: string };
type Execution = Api & { name: string; effect: string; result?: string };

const { values } = parseArgs({ options: { kills: { type: "string", default: "8" } } });
/** How long a run may take to go on after a kill. Milliseconds. */
const LONGEST_MS = 2_000;
/** Runs at the same time, each in its own session. */
const CLIENTS = 4;
const EFFECTS = ["read_only", "idempotent", "non_idempotent"] as const;
/** How often each execution has arrived. */
const counts = new Map<string, number>();
/** After each kill, how long it took until a run went on by itself. Milliseconds. */
const resumed: number[] = [];

endChildrenOnExit();
await runScript(async () => {
  const kills = Number(values.kills);
  if (!(kills > 0)) throw new UserError("--kills: expected a number above 0");
  const state = mkdtempSync(join(tmpdir(), "rhone-run-crash-"));
  const receiver = await startReceiver();
  const origin = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  const { gateway, dispose } = await startKillable(state, { tools: { origins: [origin] } });
  try {
    const known = new Set<string>();
    for (let kill = 1; kill <= kills; kill++) {
      const clients = Array.from({ length: CLIENTS }, () => startRuns(gateway, origin, known));
      await sleep(100 + Math.random() * 900);
      await killRuntime(gateway);
      await waitForResumption();
      await Promise.all(clients);
      if (kill % 10 === 0 || kill === kills)
        console.log(`${kill} kills: ${known.size} runs, ${counts.size} executions`);
    }
    const times = resumed.toSorted((a, b) => a - b);
    if (times.length === 0) throw new UserError("no run went on by itself");
    console.log(
      `${times.length} times runs went on by themselves, after ${times[times.length >> 1]} ms, ${times.at(-1)} ms at most`,
    );
    let decisions = 0;
    for (const id of known) decisions += await bringToEnd(gateway, id);
    for (const id of known) await checkRun(gateway, id);
    console.log(
      `${known.size} runs have completed; ${decisions} decisions about a tool of which the outcome was unknown; none ran twice`,
    );
  } finally {
    await dispose();
    receiver.close();
    rmSync(state, { recursive: true, force: true });
  }
});

/** The webhooks: each answers after a while with its execution. */
async function startReceiver(): Promise<Server> {
  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function countArrived(): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

/** Waits until a run goes on though no client has come back; no longer than runs that all wait for their client would take. */
async function waitForResumption(): Promise<void> {
  const start = performance.now();
  const before = countArrived();
  while (countArrived() === before && performance.now() - start < LONGEST_MS) await sleep(5);
  if (countArrived() > before) resumed.push(Math.round(performance.now() - start));
}

/** Counts an execution, and answers after a while. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = Buffer.concat(await request.toArray()).toString();
  const { data } = JSON.parse(body) as { data: { execution_id: string } };
  counts.set(data.execution_id, (counts.get(data.execution_id) ?? 0) + 1);
  await sleep(Math.random() * 150);
  response.end(`Done ${data.execution_id}.`);
}

/** Starts runs, one after the other, until the gateway is killed. */
async function startRuns(gateway: Gateway, origin: string, known: Set<string>): Promise<void> {
  const hooks = EFFECTS.map((effect) => ({
    type: "http",
    name: effect,
    url: `${origin}/${effect}`,
    effect,
    policy: "allow",
  }));
  const input = `Please ${[...EFFECTS, "client"].map((name) => `call ${name} with {}`).join(", then ")}`;
  for (let isGone = false; !isGone;) {
    try {
      const response = await post(gateway, "/v1/runs:stream", {
        model: "demo",
        input,
        tools: [...hooks, { name: "client" }],
      });
      const id = response.headers.get("x-rhone-run-id");
      if (id !== null) known.add(id);
      await response.text();
    } catch {
      isGone = true;
    }
  }
}

/** Answers what a run waits for until it has ended. Resolves to how often a person had to decide. */
async function bringToEnd(gateway: Gateway, id: string): Promise<number> {
  let decisions = 0;
  for (const until = Date.now() + 120_000; Date.now() < until; await sleep(30)) {
    const run = await get<Api & { open?: string[] }>(gateway, `/v1/runs/${id}`);
    if (run.status === "completed") return decisions;
    if (run.status === "failed" || run.status === "cancelled") throw new UserError(`${id}: ${JSON.stringify(run)}`);
    for (const open of run.open ?? []) {
      if (open.startsWith("tex_"))
        await post(gateway, `/v1/runs/${id}:resume`, { tool_results: [{ id: open, content: "Said." }] });
      else {
        decisions++;
        const { execution_id } = await get<{ execution_id: string }>(gateway, `/v1/checkpoints/${open}`);
        const hasRun = counts.has(execution_id);
        const decision = hasRun ? { decision: "result", content: `Done ${execution_id}.` } : { decision: "retry" };
        await post(gateway, `/v1/checkpoints/${open}:resolve`, decision);
      }
    }
  }
  throw new UserError(`${id} has not ended within two minutes`);
}

async function checkRun(gateway: Gateway, id: string): Promise<void> {
  const run = await get<Api & { session_id: string }>(gateway, `/v1/runs/${id}`);
  const { data: executions } = await get<{ data: Execution[] }>(gateway, `/v1/runs/${id}/tool-executions`);
  const names = executions.map(({ name }) => name);
  if (names.join() !== [...EFFECTS, "client"].join()) throw new UserError(`${id}: executed ${names.join()}`);
  for (const { id: execution, name, effect, status, result } of executions) {
    const count = counts.get(execution) ?? 0;
    if (effect === "non_idempotent" && count > 1) throw new UserError(`${execution} ran ${count} times`);
    const expected = name === "client" ? "Said." : `Done ${execution}.`;
    if (status !== "succeeded" || result !== expected) throw new UserError(`${execution}: ${status}, ${result}`);
  }
  const { data: blocks } = await get<{ data: { type: string; id: string; content?: string }[] }>(
    gateway,
    `/v1/sessions/${run.session_id}/blocks`,
  );
  const calls = blocks.filter(({ type }) => type === "tool_call").map((block) => block.id);
  const results = blocks.filter(({ type }) => type === "tool_result");
  if (calls.join() !== results.map((block) => block.id).join()) throw new UserError(`${id}: a call has not one result`);
  const shown = results.map(({ content }) => content).join();
  if (shown !== executions.map(({ result }) => result).join())
    throw new UserError(`${id}: the model was shown ${shown}`);
}
