import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { freePort, HOST } from "../scripts/port.ts";
import { quantile } from "./numbers.ts";

/**
 * `npm run bench:faults -- [requests=10000] [at once=24]`: a served gateway under random faults of its provider, on every
 * surface, streamed and whole, with and without a session. Fails when a call hangs past its deadlines, when half an
 * answer is told as a success, when an answer names another model than gave it, or when a call is on record not once.
 *
 * More at once than a machine can carry shows no fault of the gateway's: its provider and its callers are late, too,
 * deadlines this short pass in the queue for the processor, and breakers open on targets that only seem to be silent.
 */
const [total = 10_000, atOnce = 24] = process.argv.slice(2).map(Number);

const FAULTS = [
  ...Array<string>(6).fill("none"),
  ..."500-once 500-always 429-bare flapping reset blackhole silent stall cut ended malformed malformed-first".split(
    " ",
  ),
  ..."unfinished error error-first context-length content-filter bad-key slow-first trickle html gzip".split(" "),
  "redirect",
];
const deadlines_ms = { headers: 1_500, first_content: 1_500, idle: 1_500, total: 15_000 };
/** A busy machine is late by this much. Milliseconds. */
const SLACK = 5_000;

const ENDS = {
  chat: /data: \[DONE\]|"finish_reason":\s*"stop"/,
  responses: /event: response\.completed|"status":\s*"completed"/,
  messages: /event: message_stop|"stop_reason":\s*"end_turn"/,
  gemini: /"finishReason":\s*"STOP"/,
};
/** What only an answer of that target can say, whichever way its text is cut. */
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
const wrong: string[] = [];
const outcomes = new Map<string, number>();
const calls: { id: string; outcome: string; model: string }[] = [];
const times: number[] = [];

try {
  await untilHealthy(gateway);
  const started = Date.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < total) await one(next++);
    }),
  );
  const seconds = (Date.now() - started) / 1000;
  await sleep(3_000);
  await checkRecords();
  const [p50, p99, most] = [0.5, 0.99, 1].map((part) => Math.round(quantile(times, part)));
  console.log(`${total} calls, ${atOnce} at once, ${seconds.toFixed(0)} s`, Object.fromEntries(outcomes));
  console.log(`a call took ${p50} ms (p50), ${p99} ms (p99), ${most} ms at most`);
  gateway.kill();
  await once(gateway, "exit");
  await checkDatabase();
  console.log(wrong.length === 0 ? "nothing wrong" : `${wrong.length} wrong:\n${wrong.slice(0, 20).join("\n")}`);
} finally {
  if (gateway.exitCode === null && gateway.signalCode === null) gateway.kill();
  await provider.terminate();
  await rm(state, { recursive: true, force: true });
}
process.exit(wrong.length === 0 ? 0 : 1);

async function one(i: number): Promise<void> {
  const fault = pick(FAULTS);
  const surface = pick(["chat", "responses", "messages", "gemini"] as const);
  const stream = Math.random() < 0.6;
  const context_mode = pick(["stateless", "stateful"]);
  // A hundred models in all, so that breakers open and close.
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
    const outcome = judged(response, text, surface, fault, at);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    const id = response.headers.get("x-rhone-call-id");
    if (id !== null) calls.push({ id, outcome, model: at });
  } catch (error) {
    wrong.push(`${at}: ${String(error)} after ${Date.now() - started} ms`);
  }
}

function judged(response: Response, text: string, surface: keyof typeof ENDS, fault: string, at: string): string {
  if (!response.ok) return `status ${response.status}`;
  const isEnded = ENDS[surface].test(text);
  const hasError = /"error":\s*\{|response\.failed|event: error/.test(text.replace(/"error":\s*null/g, ""));
  if (hasError && !isEnded) return "told as broken";
  if (!isEnded) {
    wrong.push(`${at}: neither an end nor an error: …${text.slice(-200)}`);
    return "cut";
  }
  const named = response.headers.get("x-rhone-model") ?? "";
  const who = named === "say" ? "other" : "own";
  if (!WORDS[who].test(text)) wrong.push(`${at}: ${named} is named, and it says ${text.slice(0, 300)}`);
  if (who === "own" && ["500-always", "html", "bad-key", "ended", "cut"].includes(fault))
    wrong.push(`${at}: a success of a target that has none`);
  return `answered by ${who}`;
}

/** What D1 has in the end: each call once, and no other. */
async function checkDatabase(): Promise<void> {
  const files = (await readdir(state, { recursive: true })).filter((file) => /D1Database.*\.sqlite$/.test(file));
  const ids = files.flatMap((file) => {
    const database = new DatabaseSync(join(state, file), { readOnly: true });
    const hasCalls = database.prepare("select 1 from sqlite_master where name = 'calls'").get() !== undefined;
    return hasCalls ? database.prepare("select id from calls").all() : [];
  });
  const kept = new Set(ids.map(({ id }) => id as string));
  const missing = calls.filter(({ id }) => !kept.has(id)).length;
  console.log(`${ids.length} calls in D1`);
  if (missing > 0 || ids.length !== calls.length) wrong.push(`${ids.length} calls in D1, ${missing} are missing`);
}

async function checkRecords(): Promise<void> {
  const ids = new Set(calls.map(({ id }) => id));
  if (ids.size !== calls.length) wrong.push(`${calls.length - ids.size} calls share an id`);
  let next = 0;
  const check = async (): Promise<void> => {
    while (next < calls.length) {
      const { id, outcome, model } = calls[next++]!;
      const found = await fetch(`${base}/v1/calls/${id}`, { headers: { authorization: `Bearer ${key}` } });
      const { status, attempts = [] } = (await found.json()) as { status?: string; attempts?: object[] };
      const expected = outcome.startsWith("answered") ? /^completed$/ : /^(failed|incomplete)$/;
      if (!expected.test(status ?? "")) wrong.push(`${model}: ${outcome}, on record as ${status}`);
      if (attempts.length > 5) wrong.push(`${model}: ${attempts.length} attempts`);
    }
  };
  await Promise.all(Array.from({ length: 16 }, check));
}

function pick<T>(all: readonly T[]): T {
  return all[Math.floor(Math.random() * all.length)]!;
}

async function untilHealthy(child: ChildProcess): Promise<void> {
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
