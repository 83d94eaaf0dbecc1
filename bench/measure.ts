import { setTimeout as sleep } from "node:timers/promises";
import { agentFor, exchange } from "./client.ts";
import { type LoadResult, load, type Quantiles, toQuantiles } from "./load.ts";
import { type RunningServer, waitUntilIdle } from "./process.ts";
import { buildRhoneCall, type Origins } from "./requests.ts";
import { startSession, type Route } from "./routes.ts";
import type { Scenario } from "./scenarios.ts";

/** The measurement of one route in one scenario in one round. */
export type Cell = LoadResult & {
  /** Process time of the server per call, including the work after an answer (records, logs). Milliseconds. */
  cpuMs?: number;
};

/** `seconds`: the duration of a cell; its number of calls is computed from the speed of the route. */
export type Pace = { seconds: number; cpuSeconds: number };

const MIN_CALLS = 8;
/** At least this many, though they take a slow machine longer: of fewer, what a process does once in a while would be a large part. */
const MIN_CPU_CALLS = 160;
/** Of requests with a long transcript. */
const MIN_LONG_CPU_CALLS = 48;
/** The just-in-time compiler counts calls, not seconds. */
const MIN_WARM_CALLS = 320;
/** Calls per second, by route and scenario, from the previous cell or from a few calls before the first. */
const rates = new Map<string, number>();

/** Makes calls that are not measured. Returns the reason why the route cannot be measured, if it cannot. */
export async function warmUp(
  route: Route,
  { origins, seconds }: { origins: Origins; seconds: number },
): Promise<string | undefined> {
  const answers = [
    { kind: "whole", bytes: 1024 },
    { kind: "stream", events: 100, everyMs: 0 },
  ] as const;
  for (const answer of answers) {
    const end = Date.now() + (seconds * 1000) / answers.length;
    for (let made = 0; Date.now() < end || made < MIN_WARM_CALLS;) {
      const plan = { calls: 32, concurrency: 4 };
      const callers = await route.prepare(origins, answer, plan).catch((error: Error) => error.message);
      if (typeof callers === "string") return callers;
      const { calls, error } = await load(callers.send, plan);
      callers.close();
      if (calls === 0) return error;
      made += calls;
    }
  }
  return undefined;
}

/** Measures a cell. Rejects if the route does not support the scenario. */
export async function measure(
  route: Route,
  scenario: Scenario,
  { origins, running, pace }: { origins: Origins; running: RunningServer | undefined; pace: Pace },
): Promise<Cell> {
  const { answer, concurrency, more, calls: fixedCalls } = scenario;
  const key = `${route.id} ${scenario.id}`;
  if (fixedCalls === undefined && !rates.has(key)) {
    const calls = Math.min(concurrency, 8);
    const callers = await route.prepare(origins, answer, { calls, concurrency: calls, more });
    const { calls: succeeded, error, perSecond } = await load(callers.send, { concurrency: calls, calls });
    callers.close();
    if (succeeded === 0) throw new Error(error);
    rates.set(key, perSecond);
  }
  const minCpuCalls = scenario.hasTranscript === true ? MIN_LONG_CPU_CALLS : MIN_CPU_CALLS;
  const [seconds, minCalls] = scenario.withCpu === true ? [pace.cpuSeconds, minCpuCalls] : [pace.seconds, MIN_CALLS];
  const calls = fixedCalls ?? Math.max(Math.ceil(rates.get(key)! * seconds), concurrency, minCalls);
  const callers = await route.prepare(origins, answer, { calls, concurrency, more });
  try {
    if (running !== undefined && callers.sessions !== undefined) await waitUntilIdle(running);
    const before = running?.cpuMs() ?? 0;
    const result = await load(callers.send, { concurrency, calls });
    rates.set(key, result.perSecond || rates.get(key)!);
    if (running === undefined) return result;
    await waitForRest(route, scenario, running);
    if (scenario.withCpu !== true) return result;
    const cpuMs = (running.cpuMs() - before) / (result.calls + result.errors);
    // A worker process that has ended takes its time with it.
    return cpuMs < 0 ? result : { ...result, cpuMs };
  } finally {
    callers.close();
  }
}

/**
 * Waits for the work that follows the answers, also without CPU figures: it must not slow the next measurement. This
 * gateway gathers records for a second before it writes them.
 */
async function waitForRest(route: Route, scenario: Scenario, running: RunningServer): Promise<void> {
  if (scenario.withCpu === true && route.server === "rhone") await sleep(1_200);
  await waitUntilIdle(running);
}

/** Many events with a second between them: the streams stay open during the measurement. */
const SLOW = { kind: "stream", events: 60, everyMs: 1000 } as const;
const OPEN_MS = 30_000;

/**
 * The memory of the server per open stream, and per session that it holds for the streams, in bytes. Rejects unless all
 * streams are open at the same time.
 */
export async function measureStreamMemory(
  route: Route,
  { origins, running, streams }: { origins: Origins; running: RunningServer; streams: number },
): Promise<{ bytesPerStream: number; bytesPerSession?: number }> {
  await waitUntilIdle(running);
  const idleBytes = running.memory();
  const callers = await route.prepare(origins, SLOW, { calls: streams, concurrency: streams });
  try {
    await waitUntilIdle(running);
    const before = running.memory();
    const failed = new Promise<string>((resolve) => {
      for (let i = 0; i < streams; i++) callers.send(i, i).catch((error: Error) => resolve(error.message));
      setTimeout(() => resolve(`not open after ${OPEN_MS} ms`), OPEN_MS).unref();
    });
    // Once all are open, an event each second is almost no work.
    const idle = waitUntilIdle(running, { longestMs: OPEN_MS, ticks: 8 }).then(() => undefined);
    const failure = await Promise.race([failed, idle]);
    if (failure !== undefined) throw new Error(`${streams} streams could not be held open: ${failure}`);
    const bytesPerStream = (running.memory() - before) / streams;
    const { sessions } = callers;
    return { bytesPerStream, ...(sessions !== undefined && { bytesPerSession: (before - idleBytes) / sessions }) };
  } finally {
    callers.close();
  }
}

export type Depth = { turns: number; stateful: Quantiles; stateless: Quantiles };

/**
 * Times the next turn of a session with this many turns, and a stateless call that sends the same transcript. Both send
 * the same bytes to the provider; the difference is the cost of the session.
 */
export async function measureDepths(origins: Origins, turns: readonly number[], samples: number): Promise<Depth[]> {
  const agent = agentFor(1);
  const answer = { kind: "whole", bytes: 400 } as const;
  const stateful = buildRhoneCall("stateful");
  let reply = "";
  const onBody = (text: string): void => {
    const { choices } = JSON.parse(text) as { choices: { message: { content: string } }[] };
    reply = choices[0]!.message.content;
  };
  const session = await startSession(stateful(origins, answer, { messages: [userMessage(0)] }), agent);
  const inSession = (i: number): ReturnType<typeof stateful> => {
    const call = stateful(origins, answer, { messages: [userMessage(i)] });
    return { ...call, headers: { ...call.headers, "x-rhone-session-id": session } };
  };
  const results: Depth[] = [];
  let turn = 1;
  try {
    for (const depth of turns) {
      for (; turn < depth; turn++) await exchange(inSession(turn), { agent, onBody });
      const times: number[] = [];
      const controls: number[] = [];
      for (let i = 0; i < samples; i++, turn++) {
        times.push((await exchange(inSession(turn), { agent, onBody })).totalMs);
        const past = Array.from({ length: turn }, (_, k) => [
          userMessage(k),
          { role: "assistant", content: reply },
        ]).flat();
        const control = buildRhoneCall("stateless")(origins, answer, { messages: [...past, userMessage(turn)] });
        controls.push((await exchange(control, { agent })).totalMs);
      }
      results.push({ turns: depth, stateful: toQuantiles(times), stateless: toQuantiles(controls) });
    }
  } finally {
    agent.destroy();
  }
  return results;
}

const userMessage = (i: number): object => ({ role: "user", content: `Turn ${i}: what does the river say?` });
