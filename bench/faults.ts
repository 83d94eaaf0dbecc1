import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { freePort, HOST } from "../scripts/local/port.ts";
import { quantile } from "./report/numbers.ts";

/**
 * `npm run bench:faults -- [requests=10000] [concurrency=24]`: runs a gateway against random faults of its provider, on
 * every surface, streamed and whole, with and without a session. Fails if a call exceeds its deadlines, if an incomplete
 * answer is reported as a success, if an answer names a model that did not produce it, or if a call does not have exactly one record.
 *
 * A concurrency beyond the machine's capacity shows no fault of the gateway: the provider and the callers are late as
 * well, the short deadlines pass while processes wait for the processor, and breakers open on targets that work.
 */
const [total = 10_000, concurrency = 24] = process.argv.slice(2).map(Number);

const FAULTS = [
  ...Array<string>(6).fill("none"),
  ..."500-once 500-always 429-bare flapping reset blackhole silent stall cut ended malformed malformed-first".split(
    " ",
  ),
  ..."unfinished error error-first context-length content-filter bad-key slow-first trickle html gzip".split(" "),
  "redirect",
];
const deadlines_ms = { headers: 1_500, first_content: 1_500, whole: 3_000, idle: 1_500, total: 15_000 };
/** The tolerated delay of a busy machine. Milliseconds. */
const SLACK = 5_000;

const ENDS = {
  chat: /data: \[DONE\]|"finish_reason":\s*"stop"/,
  responses: /event: response\.completed|"status":\s*"completed"/,
  messages: /event: message_stop|"stop_reason":\s*"end_turn"/,
  gemini: /"finishReason":\s*"STOP"/,
};
/** Text that only an answer of that target contains, wherever it is cut. */
const WORDS = { own: /ault\./, other: /Said s|say\./ };

const provider = new Worker(join(import.meta.dirname, "../test/clients/provider.ts"));
const [{ url }] = (await once(provider, "message")) as [{ url: string }];
const rows = { fake: "openai-chat", fakeresp: "openai-responses", fakeanth: "anthropic", fakegem: "gemini" };
const [port, state] = [await freePort(), await mkdtemp(join(tmpdir(), "rhone-faults-"))];
const key = "rhone_sk_faults-bench";
const gateway = spawn(process.execPath, [join(import.meta.dirname, "../scripts/serve.ts")], {
  env: {
    ...process.env,
    PORT: String(port),
    RHONE_STATE_DIR: state,
    RHONE_ADMIN_KEY: key,
    RHONE_CONFIG: JSON.stringify({ retries: { base_ms: 20, max_ms: 200, retry_after_max_ms: 1_000 } }),
    RHONE_PROVIDERS: JSON.stringify(
      Object.entries(rows).map(([id, dialect]) => ({ id, dialect, base_url: url, api_key: "k" })),
    ),
  },
  stdio: ["ignore", "ignore", "inherit"],
});
const base = `http://${HOST}:${port}`;
const problems: string[] = [];
const outcomes = new Map<string, number>();
const calls: { id: string; outcome: string; model: string }[] = [];
const times: number[] = [];

try {
  await waitUntilHealthy(gateway);
  const started = Date.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < total) await makeCall(next++);
    }),
  );
  const seconds = (Date.now() - started) / 1000;
  await sleep(3_000);
  await checkRecords();
  const [p50, p99, maximum] = [0.5, 0.99, 1].map((part) => Math.round(quantile(times, part)));
  console.log(`${total} calls, ${concurrency} at once, ${seconds.toFixed(0)} s`, Object.fromEntries(outcomes));
  console.log(`a call took ${p50} ms (p50), ${p99} ms (p99), ${maximum} ms at most`);
  gateway.kill();
  await once(gateway, "exit");
  await checkDatabase();
  console.log(
    problems.length === 0 ? "nothing wrong" : `${problems.length} problems:\n${problems.slice(0, 20).join("\n")}`,
  );
} finally {
  if (gateway.exitCode === null && gateway.signalCode === null) gateway.kill();
  await provider.terminate();
  await rm(state, { recursive: true, force: true });
}
process.exit(problems.length === 0 ? 0 : 1);

async function makeCall(i: number): Promise<void> {
  const fault = pick(FAULTS);
  const surface = pick(["chat", "responses", "messages", "gemini"] as const);
  const stream = Math.random() < 0.6;
  const context_mode = pick(["stateless", "stateful"]);
  // A hundred models of each fault, so that breakers open and close.
  const model = `fault-${fault}.${i % 100}`;
  const own = { chat: "fake", responses: "fakeresp", messages: "fakeanth", gemini: "fakegem" }[surface];
  const target = Math.random() < 0.7 ? own : pick(Object.keys(rows));
  const rhone = { context_mode, routing: { fallbacks: [`${pick(Object.keys(rows))}/say`], deadlines_ms } };
  const user = { role: "user", content: `number ${i}` };
  const [path, body] = {
    chat: ["/v1/chat/completions", { messages: [user] }],
    responses: ["/v1/responses", { input: `number ${i}` }],
    messages: ["/v1/messages", { messages: [user], max_tokens: 99 }],
    gemini: [
      `/v1beta/models/${target}/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
      { contents: [{ role: "user", parts: [{ text: `number ${i}` }] }] },
    ],
  }[surface] as [string, object];
  const named = surface === "gemini" ? {} : { model: `${target}/${model}`, stream };
  const at = `${surface} ${stream ? "stream" : "whole"} ${context_mode} ${target}/${model}`;
  const started = Date.now();
  try {
    const response = await fetch(`${base}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "anthropic-version": "2023-06-01" },
      body: JSON.stringify({ ...body, ...named, rhone }),
      signal: AbortSignal.timeout(deadlines_ms.total + SLACK),
    });
    const text = await response.text();
    times.push(Date.now() - started);
    const outcome = judge(response, text, { surface, fault, at });
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    const id = response.headers.get("x-rhone-call-id");
    if (id !== null) calls.push({ id, outcome, model: at });
  } catch (error) {
    problems.push(`${at}: ${String(error)} after ${Date.now() - started} ms`);
  }
}

/** What came of a call, in one line. A problem is added to the list, with the call's description `at`. */
function judge(
  response: Response,
  text: string,
  { surface, fault, at }: { surface: keyof typeof ENDS; fault: string; at: string },
): string {
  if (!response.ok) return `status ${response.status}`;
  const isEnded = ENDS[surface].test(text);
  const hasError = /"error":\s*\{|response\.failed|event: error/.test(text.replace(/"error":\s*null/g, ""));
  if (hasError && !isEnded) return "reported as broken";
  if (!isEnded) {
    problems.push(`${at}: neither an end nor an error: …${text.slice(-200)}`);
    return "cut";
  }
  const named = response.headers.get("x-rhone-model") ?? "";
  const author = named === "say" ? "other" : "own";
  if (!WORDS[author].test(text)) problems.push(`${at}: ${named} is named, and the text is ${text.slice(0, 300)}`);
  if (author === "own" && ["500-always", "html", "bad-key", "ended", "cut"].includes(fault))
    problems.push(`${at}: a success of a target that has none`);
  return `answered by ${author}`;
}

/** Checks that D1 has each call once, and no other call. */
async function checkDatabase(): Promise<void> {
  const files = (await readdir(state, { recursive: true })).filter((file) => /D1Database.*\.sqlite$/.test(file));
  const ids = files.flatMap((file) => {
    const database = new DatabaseSync(join(state, file), { readOnly: true });
    const hasCalls = database.prepare("select 1 from sqlite_master where name = 'call_records'").get() !== undefined;
    return hasCalls ? database.prepare("select id from call_records").all() : [];
  });
  const stored = new Set(ids.map(({ id }) => id as string));
  const missing = calls.filter(({ id }) => !stored.has(id)).length;
  console.log(`${ids.length} calls in D1`);
  if (missing > 0 || ids.length !== calls.length) problems.push(`${ids.length} calls in D1, ${missing} are missing`);
}

async function checkRecords(): Promise<void> {
  const ids = new Set(calls.map(({ id }) => id));
  if (ids.size !== calls.length) problems.push(`${calls.length - ids.size} calls share an id`);
  let next = 0;
  const check = async (): Promise<void> => {
    while (next < calls.length) {
      const { id, outcome, model } = calls[next++]!;
      const found = await fetch(`${base}/v1/calls/${id}`, { headers: { authorization: `Bearer ${key}` } });
      const { status, attempts = [] } = (await found.json()) as { status?: string; attempts?: object[] };
      const expected = outcome.startsWith("answered") ? /^completed$/ : /^(failed|incomplete)$/;
      if (!expected.test(status ?? "")) problems.push(`${model}: ${outcome}, on record as ${status}`);
      if (attempts.length > 5) problems.push(`${model}: ${attempts.length} attempts`);
    }
  };
  await Promise.all(Array.from({ length: 16 }, check));
}

function pick<T>(all: readonly T[]): T {
  return all[Math.floor(Math.random() * all.length)]!;
}

async function waitUntilHealthy(child: ChildProcess): Promise<void> {
  for (let i = 0; i < 600; i++, await sleep(100)) {
    if (child.exitCode !== null) throw new Error("the gateway ended");
    if (
      await fetch(`${base}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return;
  }
  throw new Error("the gateway did not become healthy");
}
