import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { migrate } from "../scripts/migrate.ts";
import { freePort } from "../scripts/port.ts";
import { createRuntime } from "../scripts/runtime.ts";
import { readConfig, runWrangler, WRANGLER_CONFIG } from "../scripts/wrangler.ts";
import { HERE, KEY, rhoneCall } from "./asks.ts";
import { agentFor, exchange } from "./client.ts";
import { median, shown } from "./numbers.ts";
import { dollars, type Usage } from "./prices.ts";
import type { Scene } from "./scene.ts";
import { scratch } from "./servers.ts";
import { endingOf, sessionOf } from "./ways.ts";

/**
 * `npm run bench:cost`: what a call makes Cloudflare count, read off the running gateway (cost-worker.ts), and what
 * that costs. Each kind of call is made a number of times, and all that follows from them is waited for.
 */
const CALLS = 40;
/** Records leave with an alarm at the latest, and are forgotten by another one seconds later (`SETTLED`). */
const SETTLE_MS = 9000;

const upstream = await provider();
const files = scratch();
const origin = await serve();
let calls = 0;
const agent = agentFor(CALLS);
const wires = { origin, upstream };
const whole: Scene = { kind: "whole", bytes: 1024 };

const sessions = await Promise.all(
  Array.from({ length: 4 }, () => sessionOf(rhoneCall("stateful")(wires, whole), agent)),
);
const key = await virtualKey();
await counted();

const inSession = (lane: number): Record<string, string> => ({ "x-rhone-session-id": sessions[lane]! });

/** `objectSeconds`: for how long an object is kept from hibernating by one. */
type Kind = { label: string; objectSeconds: number; atOnce?: true; make: (lane: number) => Promise<unknown> };

const long: Scene = { kind: "stream", events: 300, everyMs: 100 };
const kinds: Kind[] = [
  { label: "stateless call", objectSeconds: 0.02, make: () => call("stateless", whole) },
  {
    label: "stateless call, virtual key",
    objectSeconds: 0.03,
    make: () => call("stateless", whole, { authorization: `Bearer ${key}` }),
  },
  // The provider is waited for in the object; most whole answers take seconds.
  { label: "stateful call of 3 s, new session", objectSeconds: 3, make: () => call("stateful", whole) },
  {
    label: "stateful call of 3 s, next turn",
    objectSeconds: 3,
    make: (lane) => call("stateful", whole, inSession(lane)),
  },
  { label: "stateless stream of 30 s", objectSeconds: 0.05, atOnce: true, make: () => call("stateless", long) },
  { label: "stateful stream of 30 s", objectSeconds: 30, atOnce: true, make: () => call("stateful", long) },
];

const columns: { label: string; counts: Record<string, number>; bill: Record<string, number> }[] = [];
for (const { label, objectSeconds, atOnce, make } of kinds) {
  // One after the other within a session, as its turns come; streams of sessions of their own, all at once.
  const lanes = atOnce ? CALLS : sessions.length;
  for (let i = 0; i < CALLS; i += lanes) await Promise.all(Array.from({ length: lanes }, (_, lane) => make(lane)));
  const counts = Object.fromEntries(Object.entries(await counted()).map(([what, number]) => [what, number / CALLS]));
  columns.push({ label, counts, bill: dollars(usageOf(counts, objectSeconds)) });
}

console.log(table("counted for each call", (column) => column.counts, shown));
console.log(
  `\n${table(
    "$ per million calls",
    (column) => column.bill,
    (dollar) => (dollar ?? 0).toFixed(2),
  )}`,
);
const sizes = sizesOf(files);
const session = median(sizes.filter(({ file }) => file.includes("SessionObject")).map(({ bytes }) => bytes));
const d1 = sizes.find(({ file }) => file.includes("D1DatabaseObject") && !file.includes("metadata"))?.bytes ?? 0;
console.log(
  `\nStored: ${shown(session / 1024)} KiB for a session of one turn; ${shown(d1 / 1024)} KiB in D1 after ${calls} calls.`,
);
process.exit(0);

function usageOf(counts: Record<string, number>, objectSeconds: number): Usage {
  const sum = (pattern: RegExp): number =>
    Object.entries(counts).reduce((all, [what, number]) => all + (pattern.test(what) ? number : 0), 0);
  return {
    requests: 1,
    objectRequests: sum(/: (requests|alarms$)/),
    objectSeconds,
    rowsWritten: sum(/^(session|journal|key|organisation|directory): (rows written|alarms set)/),
    rowsRead: sum(/^(session|journal|key|organisation|directory): rows read/),
    messages: sum(/^queue: messages/),
    d1Written: sum(/^D1: rows written/),
    d1Read: sum(/^D1: rows read/),
  };
}

function table(
  head: string,
  of: (column: (typeof columns)[number]) => Record<string, number>,
  show: (number: number | undefined) => string,
): string {
  const names = [...new Set(columns.flatMap((column) => Object.keys(of(column))))];
  const rows = [
    [head, ...columns.map(({ label }) => label)],
    ["---", ...columns.map(() => "---:")],
    ...names.map((name) => [name, ...columns.map((column) => show(of(column)[name]))]),
  ];
  return rows.map((row) => `| ${row.join(" | ")} |`).join("\n");
}

async function call(mode: "stateless" | "stateful", scene: Scene, more: Record<string, string> = {}): Promise<void> {
  const made = rhoneCall(mode)(wires, scene);
  calls++;
  await exchange({ ...made, headers: { ...made.headers, ...more } }, { agent, ending: endingOf(scene) });
}

/** What was counted since the last time, when nothing is to come any more. */
async function counted(): Promise<Record<string, number>> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return (await (await fetch(`${origin}/__counts`)).json()) as Record<string, number>;
}

async function virtualKey(): Promise<string> {
  const response = await fetch(`${origin}/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify({
      name: "bench",
      ttl_s: 86_400,
      budgets: [{ period: "daily", limit_micros_usd: 1_000_000_000 }],
    }),
  });
  const body = (await response.json()) as { secret?: string };
  if (body.secret === undefined) throw new Error(`no virtual key: ${JSON.stringify(body)}`);
  return body.secret;
}

async function provider(): Promise<string> {
  const child = spawn(process.execPath, [join(HERE, "upstream.ts")], { stdio: ["ignore", "pipe", "inherit", "ipc"] });
  const [line] = (await once(child.stdout!, "data")) as [Buffer];
  return `http://127.0.0.1:${Number(line.toString("utf8"))}`;
}

/** As `scripts/serve.ts`, with the counting entry in front. */
async function serve(): Promise<string> {
  const dir = scratch();
  const persistDir = files;
  const { ok, stdout, stderr } = await runWrangler(
    ["deploy", join(HERE, "cost-worker.ts"), "--dry-run", "--outdir", dir, "--config", WRANGLER_CONFIG],
    { env: { WRANGLER_LOG: "error" } },
  );
  if (!ok) throw new Error(`The worker does not build:\n${stdout}${stderr}`);
  const main = readdirSync(dir).find((name) => name.endsWith(".js"))!;
  const config = await readConfig();
  await migrate(config, persistDir);
  const port = await freePort();
  const secrets = {
    RHONE_ADMIN_KEY: KEY,
    // A hard budget takes no model whose price nobody knows.
    RHONE_PRICES: JSON.stringify({ "benchchat/*": { input: 1, output: 1 } }),
    RHONE_PROVIDERS: JSON.stringify([
      { id: "benchchat", dialect: "openai-chat", base_url: `${upstream}/v1`, api_key: "upstream-key" },
    ]),
  };
  const runtime = await createRuntime(
    { dir, main: join(dir, main) },
    { settings: { port, secrets }, config, persistDir },
  );
  await runtime.ready;
  return `http://127.0.0.1:${port}`;
}

/** The databases as SQLite counts them, and as storage is billed: whole pages. */
function sizesOf(dir: string): { file: string; bytes: number }[] {
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".sqlite"))
    .map((file) => {
      const db = new DatabaseSync(join(dir, file), { readOnly: true });
      const { bytes } = db
        .prepare("SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size")
        .get() as { bytes: number };
      db.close();
      return { file, bytes };
    });
}
