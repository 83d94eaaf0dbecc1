import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { migrate } from "../scripts/local/migrate.ts";
import { freePort } from "../scripts/local/port.ts";
import { createRuntime } from "../scripts/local/runtime.ts";
import { readConfig, runWrangler, WRANGLER_CONFIG } from "../scripts/wrangler.ts";
import type { Answer } from "./answers.ts";
import { agentFor, exchange } from "./client.ts";
import { toDollars, type Usage } from "./cost/prices.ts";
import { startProvider } from "./provider.ts";
import { median, formatNumber } from "./report/numbers.ts";
import { HERE, KEY, buildRhoneCall } from "./requests.ts";
import { endingOf, startSession } from "./routes.ts";
import { createScratchDir } from "./servers.ts";

/**
 * `npm run bench:cost`: counts the units that Cloudflare bills for a call, in the running gateway (cost/worker.ts), and
 * computes their price. Each kind of call is made `CALLS` times; the work that follows the calls is counted as well.
 */
const CALLS = 40;
/** Records are sent by an alarm at the latest, and deleted by another one seconds later. */
const SETTLE_MS = 9000;

const upstream = await startProvider();
const files = createScratchDir();
const origin = await serve();
let calls = 0;
const agent = agentFor(CALLS);
const origins = { origin, upstream };
const whole: Answer = { kind: "whole", bytes: 1024 };

const sessions = await Promise.all(
  Array.from({ length: 4 }, () => startSession(buildRhoneCall("stateful")(origins, whole), agent)),
);
const key = await createKey();
await readCounts();

const inSession = (caller: number): Record<string, string> => ({ "x-rhone-session-id": sessions[caller]! });

/** `objectSeconds`: the time for which a call prevents an object from hibernating. */
type Kind = { label: string; objectSeconds: number; isParallel?: true; make: (caller: number) => Promise<unknown> };

const long: Answer = { kind: "stream", events: 300, everyMs: 100 };
const kinds: Kind[] = [
  { label: "stateless call", objectSeconds: 0.02, make: () => call("stateless", whole) },
  {
    label: "stateless call, virtual key",
    objectSeconds: 0.03,
    make: () => call("stateless", whole, { authorization: `Bearer ${key}` }),
  },
  // The object waits for the provider, and most whole answers take seconds.
  { label: "stateful call of 3 s, new session", objectSeconds: 3, make: () => call("stateful", whole) },
  {
    label: "stateful call of 3 s, next turn",
    objectSeconds: 3,
    make: (caller) => call("stateful", whole, inSession(caller)),
  },
  { label: "stateless stream of 30 s", objectSeconds: 0.05, isParallel: true, make: () => call("stateless", long) },
  { label: "stateful stream of 30 s", objectSeconds: 30, isParallel: true, make: () => call("stateful", long) },
];

const columns: { label: string; counts: Record<string, number>; bill: Record<string, number> }[] = [];
for (const { label, objectSeconds, isParallel, make } of kinds) {
  // The turns of a session follow one another; streams, each in a session of its own, run at the same time.
  const callers = isParallel ? CALLS : sessions.length;
  for (let i = 0; i < CALLS; i += callers)
    await Promise.all(Array.from({ length: callers }, (_, caller) => make(caller)));
  const counts = Object.fromEntries(Object.entries(await readCounts()).map(([what, number]) => [what, number / CALLS]));
  columns.push({ label, counts, bill: toDollars(toUsage(counts, objectSeconds)) });
}

console.log(toTable("counted for each call", (column) => column.counts, formatNumber));
console.log(
  `\n${toTable(
    "$ per million calls",
    (column) => column.bill,
    (dollar) => (dollar ?? 0).toFixed(2),
  )}`,
);
const sizes = listSizes(files);
const session = median(sizes.filter(({ file }) => file.includes("SessionObject")).map(({ bytes }) => bytes));
const d1 = sizes.find(({ file }) => file.includes("D1DatabaseObject") && !file.includes("metadata"))?.bytes ?? 0;
console.log(
  `\nStored: ${formatNumber(session / 1024)} KiB for a session of one turn; ${formatNumber(d1 / 1024)} KiB in D1 after ${calls} calls.`,
);
process.exit(0);

function toUsage(counts: Record<string, number>, objectSeconds: number): Usage {
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

function toTable(
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

async function call(mode: "stateless" | "stateful", answer: Answer, more: Record<string, string> = {}): Promise<void> {
  const built = buildRhoneCall(mode)(origins, answer);
  calls++;
  await exchange({ ...built, headers: { ...built.headers, ...more } }, { agent, ending: endingOf(answer) });
}

/** Returns the counts since the last call, after the work that follows the calls has ended. */
async function readCounts(): Promise<Record<string, number>> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return (await (await fetch(`${origin}/__counts`)).json()) as Record<string, number>;
}

async function createKey(): Promise<string> {
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

/** Serves the gateway as scripts/serve.ts does, with cost/worker.ts as its entry. */
async function serve(): Promise<string> {
  const dir = createScratchDir();
  const persistDir = files;
  const { ok, stdout, stderr } = await runWrangler(
    ["deploy", join(HERE, "cost/worker.ts"), "--dry-run", "--outdir", dir, "--config", WRANGLER_CONFIG],
    { env: { WRANGLER_LOG: "error" } },
  );
  if (!ok) throw new Error(`The worker does not build:\n${stdout}${stderr}`);
  const main = readdirSync(dir).find((name) => name.endsWith(".js"))!;
  const config = await readConfig();
  await migrate(config, persistDir);
  const port = await freePort();
  const secrets = {
    RHONE_ADMIN_KEY: KEY,
    // A call under a hard budget needs a model with a known price.
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

/** The sizes of the databases in whole pages, as storage is billed. */
function listSizes(dir: string): { file: string; bytes: number }[] {
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
