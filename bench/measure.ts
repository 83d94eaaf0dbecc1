import { rhoneCall, type Wires } from "./asks.ts";
import { agentFor, exchange } from "./client.ts";
import { type Load, load, type Quantiles } from "./load.ts";
import { quantile } from "./numbers.ts";
import { type Running, untilIdle } from "./process.ts";
import type { Scenario } from "./scenarios.ts";
import { sessionOf, type Way } from "./ways.ts";

/** One way in one scenario in one round. */
export type Cell = Load & {
  /** Process time of the contender for each call, with all that follows an answer (records, logs). Milliseconds. */
  cpuMs?: number;
};

/** `seconds`: how long a cell should load; its number of calls follows from how quick the way is. */
export type Pace = { seconds: number; cpuSeconds: number };

const MIN_CALLS = 8;
/** Calls a second, by way and scenario, from the cell before or from its first calls. */
const rates = new Map<string, number>();

/** Calls that are counted nowhere. Gives the reason why the way cannot be measured at all, if there is one. */
export async function warmUp(
  way: Way,
  { wires, seconds }: { wires: Wires; seconds: number },
): Promise<string | undefined> {
  const scenes = [
    { kind: "whole", bytes: 1024 },
    { kind: "stream", events: 100, everyMs: 0 },
  ] as const;
  for (const scene of scenes) {
    for (const end = Date.now() + (seconds * 1000) / scenes.length; Date.now() < end;) {
      const plan = { calls: 32, concurrency: 4 };
      const lanes = await way.prepare(wires, scene, plan).catch((thrown: Error) => thrown.message);
      if (typeof lanes === "string") return lanes;
      const { calls, error } = await load(lanes.send, plan);
      lanes.close();
      if (calls === 0) return error;
    }
  }
  return undefined;
}

/** Throws when the way cannot do this at all. */
export async function measure(
  way: Way,
  scenario: Scenario,
  { wires, running, pace }: { wires: Wires; running: Running | undefined; pace: Pace },
): Promise<Cell> {
  const { scene, concurrency, more, calls: wanted } = scenario;
  const key = `${way.id} ${scenario.id}`;
  if (wanted === undefined && !rates.has(key)) {
    const calls = Math.min(concurrency, 8);
    const lanes = await way.prepare(wires, scene, { calls, concurrency: calls, more });
    const { calls: answered, error, perSecond } = await load(lanes.send, { concurrency: calls, calls });
    lanes.close();
    if (answered === 0) throw new Error(error);
    rates.set(key, perSecond);
  }
  const seconds = scenario.withCpu === true ? pace.cpuSeconds : pace.seconds;
  const calls = wanted ?? Math.max(Math.ceil(rates.get(key)! * seconds), concurrency, MIN_CALLS);
  const lanes = await way.prepare(wires, scene, { calls, concurrency, more });
  try {
    if (running !== undefined && lanes.sessions !== undefined) await untilIdle(running);
    const before = running?.cpuMs() ?? 0;
    const loaded = await load(lanes.send, { concurrency, calls });
    rates.set(key, loaded.perSecond || rates.get(key)!);
    if (running === undefined) return loaded;
    // Also so that what it still has to do is not in the way of whoever comes next.
    await untilIdle(running);
    if (scenario.withCpu !== true) return loaded;
    return { ...loaded, cpuMs: (running.cpuMs() - before) / (loaded.calls + loaded.errors) };
  } finally {
    lanes.close();
  }
}

/** A second between events, and many of them: the streams stay open while they are looked at. */
const SLOW = { kind: "stream", events: 60, everyMs: 1000 } as const;
const OPEN_MS = 30_000;

/**
 * What the contender holds in memory for each open stream, and for each session that it keeps in memory for them, where
 * it does. Bytes. Throws unless all of them are open at once.
 */
export async function memoryOfStreams(
  way: Way,
  { wires, running, streams }: { wires: Wires; running: Running; streams: number },
): Promise<{ bytesPerStream: number; bytesPerSession?: number }> {
  await untilIdle(running);
  const rest = running.memory();
  const lanes = await way.prepare(wires, SLOW, { calls: streams, concurrency: streams });
  try {
    await untilIdle(running);
    const before = running.memory();
    const failed = new Promise<string>((resolve) => {
      for (let i = 0; i < streams; i++) lanes.send(i, i).catch((thrown: Error) => resolve(thrown.message));
      setTimeout(() => resolve(`not open after ${OPEN_MS} ms`), OPEN_MS).unref();
    });
    // Once all are open, an event each second is next to no work.
    const idle = untilIdle(running, { longestMs: OPEN_MS, ticks: 8 }).then(() => undefined);
    const reason = await Promise.race([failed, idle]);
    if (reason !== undefined) throw new Error(`${streams} streams could not be held open: ${reason}`);
    const bytesPerStream = (running.memory() - before) / streams;
    const { sessions } = lanes;
    return { bytesPerStream, ...(sessions !== undefined && { bytesPerSession: (before - rest) / sessions }) };
  } finally {
    lanes.close();
  }
}

export type Depth = { turns: number; stateful: Quantiles; stateless: Quantiles };

/**
 * The next turn of a session of this many turns, beside a stateless call that brings the very same transcript: what
 * differs is what the session costs, what both have in common are the bytes that go to the provider anyway.
 */
export async function depths(wires: Wires, turns: readonly number[], samples: number): Promise<Depth[]> {
  const agent = agentFor(1);
  const scene = { kind: "whole", bytes: 400 } as const;
  const stateful = rhoneCall("stateful");
  let reply = "";
  const onBody = (text: string): void => {
    const { choices } = JSON.parse(text) as { choices: { message: { content: string } }[] };
    reply = choices[0]!.message.content;
  };
  const session = await sessionOf(stateful(wires, scene, { messages: [user(0)] }), agent);
  const inSession = (i: number): ReturnType<typeof stateful> => {
    const call = stateful(wires, scene, { messages: [user(i)] });
    return { ...call, headers: { ...call.headers, "x-rhone-session-id": session } };
  };
  const found: Depth[] = [];
  let at = 1;
  try {
    for (const depth of turns) {
      for (; at < depth; at++) await exchange(inSession(at), { agent, onBody });
      const times: number[] = [];
      const controls: number[] = [];
      for (let i = 0; i < samples; i++, at++) {
        times.push((await exchange(inSession(at), { agent, onBody })).totalMs);
        const past = Array.from({ length: at }, (_, k) => [user(k), { role: "assistant", content: reply }]).flat();
        const control = rhoneCall("stateless")(wires, scene, { messages: [...past, user(at)] });
        controls.push((await exchange(control, { agent })).totalMs);
      }
      found.push({ turns: depth, stateful: quantilesOf(times), stateless: quantilesOf(controls) });
    }
  } finally {
    agent.destroy();
  }
  return found;
}

const user = (i: number): object => ({ role: "user", content: `Turn ${i}: what does the river say?` });

const quantilesOf = (times: number[]): Quantiles => ({ p50: quantile(times, 0.5), p99: quantile(times, 0.99) });
