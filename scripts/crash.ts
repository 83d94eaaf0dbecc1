import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { bundle } from "./bundle.ts";
import type { Local } from "./gateway.ts";
import { endTogether } from "./lifetime.ts";
import { migrate } from "./migrate.ts";
import { freePort, HOST } from "./port.ts";
import { Refusal, runScript } from "./refusal.ts";
import { runtimeOf } from "./runtime.ts";
import { readSettings } from "./settings.ts";
import { QUIET, readConfig } from "./wrangler.ts";

/**
 * `npm run test:crash -- --kills 200 --sessions 4`: kills the runtime (SIGKILL) at random moments of a load of
 * streams and whole answers over several sessions, starts it again, and compares what its clients were told with what
 * is there:
 *
 * - a turn whose answer arrived to its last byte is in the head, in its place, and its call's record in D1, once;
 * - a turn whose answer was an error is not in the head;
 * - a turn whose answer was cut by the kill may be in the head or not, whole, and once;
 * - nothing else is in any head, and no call is left running.
 */
type Told = { text: string; turn?: string; call?: string; outcome: "acknowledged" | "refused" | "cut" };
type Gateway = { url: string };

const KEY = "rhone_sk_crash_checker";
/** Every process that was started; the last workerd among them is the runtime. */
const children: ChildProcess[] = [];
const HEADERS = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
const { values } = parseArgs({
  options: { kills: { type: "string", default: "20" }, sessions: { type: "string", default: "4" } },
});

endTogether();
await runScript(async () => {
  const kills = Number(values.kills);
  const count = Number(values.sessions);
  if (!(kills > 0) || !(count > 0)) throw new Refusal("--kills, --sessions: expected numbers above 0");
  const state = mkdtempSync(join(tmpdir(), "rhone-crash-"));
  Object.assign(process.env, { PORT: String(await freePort()), RHONE_STATE_DIR: state, RHONE_ADMIN_KEY: KEY });
  Object.assign(process.env, { WRANGLER_LOG: "error", CLOUDFLARE_CF_FETCH_ENABLED: "false", ...QUIET });
  const local: Local = { settings: readSettings(), config: await readConfig(), persistDir: join(state, "v3") };
  await migrate(local.config, local.persistDir);
  subscribe("child_process", (message) => void children.push((message as { process: ChildProcess }).process));
  const runtime = await runtimeOf(await bundle(), local);
  await runtime.ready;
  const gateway: Gateway = { url: `http://${HOST}:${local.settings.port}` };
  await healthy(gateway.url);
  try {
    const sessions = await Promise.all(Array.from({ length: count }, (_, i) => create(gateway, `sess_crash-${i}`)));
    const told = new Map<string, Told[]>(sessions.map((id) => [id, []]));
    for (let kill = 1; kill <= kills; kill++) {
      const clients = [...told].map(([id, all]) => load(gateway, id, all));
      await sleep(50 + Math.random() * 600);
      await killed(gateway);
      await Promise.all(clients);
      for (const [id, all] of told) await check(gateway, id, all);
      if (kill % 10 === 0 || kill === kills) console.log(`${kill} kills: ${summary(told)}`);
    }
    await checkRecords(state, [...told.values()].flat());
    console.log("Every acknowledged turn is there, once; nothing that was refused is.");
  } finally {
    await runtime.dispose();
    rmSync(state, { recursive: true, force: true });
  }
});

/** Miniflare starts a runtime that has died again, with the same worker on the same port. */
async function killed({ url }: Gateway): Promise<void> {
  const runtime = children.findLast(({ spawnfile }) => spawnfile.endsWith("workerd"))!;
  const ended = new Promise((resolve) => runtime.once("exit", resolve));
  runtime.kill("SIGKILL");
  await ended;
  await healthy(url);
}

async function healthy(url: string): Promise<void> {
  for (const until = Date.now() + 60_000; Date.now() < until; await sleep(20)) {
    const answer = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(2000) }).catch(() => undefined);
    if (answer?.ok) return;
  }
  throw new Refusal("The gateway did not answer within a minute");
}

/** One client of one session, until the gateway is gone. */
async function load(gateway: Gateway, id: string, told: Told[]): Promise<void> {
  for (let isGone = false; !isGone;) {
    const isStream = Math.random() < 0.5;
    // Now and then a call that is refused when it has begun, or before.
    const model = ["demo", "demo", "demo", "demo", "nobody/nothing"][Math.floor(Math.random() * 5)]!;
    const one: Told = { text: `${id} says ${told.length}`, outcome: "cut" };
    told.push(one);
    try {
      const response = await post(gateway, "/v1/chat/completions", {
        model,
        stream: isStream,
        messages: [{ role: "user", content: one.text }],
        rhone: { session_id: id },
      });
      one.call = response.headers.get("x-rhone-call-id") ?? "";
      one.turn = one.call.replace(/^call/, "turn");
      const text = await response.text();
      const isWhole = isStream ? text.includes("data: [DONE]") : text.trimEnd().endsWith("}");
      if (!response.ok || text.includes('"error"')) one.outcome = "refused";
      else if (isWhole) one.outcome = "acknowledged";
    } catch {
      isGone = true;
    }
  }
}

async function check(gateway: Gateway, id: string, told: readonly Told[]): Promise<void> {
  const { data } = await get<{ data: { role: string; content: string }[] }>(
    gateway,
    `/v1/sessions/${id}/blocks?format=openai`,
  );
  const said = data.filter(({ role }) => role === "user").map(({ content }) => content);
  if (data.length !== 2 * said.length) throw new Refusal(`${id}: a turn of the head has no reply`);
  if (new Set(said).size !== said.length) throw new Refusal(`${id}: a turn is in the head twice`);
  const expected = told.filter(
    ({ text, outcome }) => outcome === "acknowledged" || (outcome === "cut" && said.includes(text)),
  );
  if (JSON.stringify(expected.map(({ text }) => text)) !== JSON.stringify(said))
    throw new Refusal(
      `${id}: the head is not what clients were told\n${JSON.stringify(expected)}\n${JSON.stringify(said)}`,
    );
  const { turns } = await get<{ turns: { id: string; in_head: boolean }[] }>(gateway, `/v1/sessions/${id}/lineage`);
  const inHead = new Set(turns.filter(({ in_head }) => in_head).map((turn) => turn.id));
  const lost = told.find(({ outcome, turn }) => outcome === "acknowledged" && !inHead.has(turn!));
  if (lost !== undefined)
    throw new Refusal(`${id}: turn ${lost.turn ?? lost.text} was acknowledged and is not in the head`);
  const { data: timeline } = await get<{ data: { status?: string; id: string }[] }>(
    gateway,
    `/v1/sessions/${id}/timeline`,
  );
  const running = timeline.find(({ status }) => status === "running");
  if (running !== undefined) throw new Refusal(`${id}: ${running.id} is still running`);
}

/** Records come some time after: the outboxes of the objects that were killed send them again. */
async function checkRecords(state: string, told: readonly Told[]): Promise<void> {
  const ids = told.flatMap(({ outcome, call }) => (outcome === "acknowledged" ? [call!] : []));
  let missing = ids;
  for (const until = Date.now() + 60_000; missing.length > 0 && Date.now() < until; await sleep(500)) {
    const kept = recordsIn(state);
    missing = ids.filter((id) => kept.get(id) !== 1);
  }
  if (missing.length > 0)
    throw new Refusal(`${missing.length} of ${ids.length} records are not in D1: ${missing.slice(0, 3).join(", ")}`);
  console.log(`${ids.length} records are in D1, once each`);
}

function recordsIn(state: string): Map<string, number> {
  const folder = join(state, "v3", "d1");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
    /[0-9a-f]{64}\.sqlite$/.test(file),
  );
  const rows = files.flatMap((file) => {
    const database = new DatabaseSync(join(folder, file), { readOnly: true });
    try {
      return database.prepare("SELECT id, count(*) AS n FROM calls WHERE status = 'completed' GROUP BY id").all();
    } finally {
      database.close();
    }
  });
  return new Map(rows.map(({ id, n }) => [id as string, n as number]));
}

async function create(gateway: Gateway, id: string): Promise<string> {
  const response = await post(gateway, "/v1/sessions", { id });
  if (!response.ok) throw new Refusal(`The session could not be made: ${await response.text()}`);
  return id;
}

function post({ url }: Gateway, path: string, body: object): Promise<Response> {
  return fetch(url + path, { method: "POST", headers: HEADERS, body: JSON.stringify(body) });
}

async function get<T>({ url }: Gateway, path: string): Promise<T> {
  const response = await fetch(url + path, { headers: HEADERS });
  if (!response.ok) throw new Refusal(`GET ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

function summary(told: ReadonlyMap<string, Told[]>): string {
  const all = [...told.values()].flat();
  const count = (outcome: Told["outcome"]): number => all.filter((one) => one.outcome === outcome).length;
  return `${count("acknowledged")} turns acknowledged, ${count("refused")} refused, ${count("cut")} cut`;
}
