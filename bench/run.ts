import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { measureDepths, measure, measureStreamMemory, type Pace, warmUp } from "./measure.ts";
import { type RunningServer, waitUntilIdle } from "./process.ts";
import { startProvider } from "./provider.ts";
import type { Results } from "./report/figures.ts";
import type { Origins } from "./requests.ts";
import { ROUTES, type Route } from "./routes.ts";
import { type Scenario, SCENARIOS } from "./scenarios.ts";
import { createScratchDir, type Server } from "./servers.ts";

export type RunLength = {
  mode: Results["mode"];
  rounds: number;
  pace: Pace;
  /** Before the measurement, for each route: a just-in-time compiler needs to have run the code. */
  warmSeconds: number;
  scenarios: readonly Scenario[];
  /** Whether a scenario is measured on a route. Absent: each on each that supports it. */
  measures?: (route: Route, scenario: Scenario) => boolean;
  /** The numbers of turns of a session at which the next turn is timed, and how many times. */
  depths: number[];
  samples: number;
  /** How many streams are open at the same time; 0: memory is not measured. */
  streams: number;
  /** Calls that each server has answered when its memory is last measured, or fewer if `longest` seconds pass. */
  calls: number;
  longest: number;
};

export const QUICK: RunLength = {
  mode: "quick",
  rounds: 1,
  pace: { seconds: 0.15, cpuSeconds: 0.3 },
  warmSeconds: 0.6,
  scenarios: SCENARIOS.filter(({ isLong }) => isLong !== true),
  depths: [1, 10, 100],
  samples: 20,
  streams: 250,
  calls: 0,
  longest: 0,
};

export const FULL: RunLength = {
  mode: "full",
  rounds: 5,
  pace: { seconds: 1.5, cpuSeconds: 3 },
  warmSeconds: 5,
  scenarios: SCENARIOS,
  depths: [1, 10, 100, 1000],
  samples: 100,
  streams: 1000,
  calls: 100_000,
  longest: 180,
};

/**
 * Before a round. Five seconds after its last call a session has an alarm, after ten the local runtime evicts it and copies
 * its write-ahead log: what was there before must not fall into the round. Milliseconds.
 */
const SETTLE_MS = 11_000;

type Log = (text: string) => void;

/** What the steps of a run share. `routes`: those whose server is running. */
type Run = {
  length: RunLength;
  upstream: string;
  running: ReadonlyMap<string, RunningServer>;
  routes: readonly Route[];
  results: Results;
  log: Log;
};

/** Measures these servers side by side. The results include the servers that cannot be measured, with the reason. */
export async function run(servers: readonly Server[], length: RunLength, log: Log, routes = ROUTES): Promise<Results> {
  const start = Date.now();
  const upstream = await startProvider();
  const results: Results = {
    at: new Date(start).toISOString(),
    mode: length.mode,
    machine: `${cpus().length} cores (${cpus()[0]?.model ?? "?"}), Node ${process.version}`,
    rounds: length.rounds,
    seconds: 0,
    servers: {},
    cells: {},
    depths: [],
  };
  const running = await startAll(servers, { upstream, results, log });
  const available = routes.filter(({ server }) => server === "upstream" || running.has(server));
  const whole: Run = { length, upstream, running, routes: available, results, log };
  if (length.streams > 0) await measureOpenStreams(servers, whole);
  for (const route of available) await warmUpRoute(route, whole);
  for (let round = 0; round < length.rounds; round++) {
    await sleep(SETTLE_MS);
    await measureRound(round, whole);
  }
  if (running.has("rhone") && length.depths.length > 0) {
    log("a session's turn at depth");
    results.depths = await measureDepths(originsOf("rhone", whole), length.depths, length.samples);
  }
  for (const [id, server] of running) {
    await callMany(
      available.find((route) => route.server === id)!,
      server,
      whole,
    );
    results.servers[id]!.afterBytes = server.memory();
    await server.stop();
  }
  results.seconds = Math.round((Date.now() - start) / 1000);
  return results;
}

const originsOf = (server: string, { running, upstream }: Run): Origins => ({
  origin: running.get(server)?.origin ?? upstream,
  upstream,
});

/** A route that fails here is not measured: each of its cells has the reason. */
async function warmUpRoute(route: Route, whole: Run): Promise<void> {
  const { length, results, log } = whole;
  if (route.needsTranscript) return;
  log(`warming up: ${route.label}`);
  const failed = await warmUp(route, { origins: originsOf(route.server, whole), seconds: length.warmSeconds });
  if (failed === undefined) return;
  log(`${route.id}: ${failed}`);
  for (const scenario of length.scenarios) (results.cells[route.id] ??= {})[scenario.id] = { cells: [], failed };
}

/** Measures each scenario on all routes. Each round starts with another route, so that none is always the first. */
async function measureRound(round: number, whole: Run): Promise<void> {
  const { length, routes, log } = whole;
  const at = (round * 5) % routes.length;
  for (const scenario of length.scenarios) {
    log(`round ${round + 1} of ${length.rounds}: ${scenario.label}`);
    for (const route of [...routes.slice(at), ...routes.slice(0, at)])
      if (length.measures?.(route, scenario) ?? (route.needsTranscript !== true || scenario.hasTranscript))
        await measureCell(route, scenario, whole);
  }
}

/** Adds one measurement. A scenario that fails once on a route is not measured there again. */
async function measureCell(route: Route, scenario: Scenario, whole: Run): Promise<void> {
  const { length, running, results, log } = whole;
  const cells = ((results.cells[route.id] ??= {})[scenario.id] ??= { cells: [] });
  if (cells.failed !== undefined) return;
  const origins = originsOf(route.server, whole);
  try {
    const cell = await measure(route, scenario, { origins, running: running.get(route.server), pace: length.pace });
    cells.cells.push(cell);
    addCalls(results, route, cell.calls);
    if (cell.error !== undefined) log(`${route.id}: ${cell.errors} calls failed: ${cell.error}`);
  } catch (error) {
    cells.failed = (error as Error).message.slice(0, 300);
    log(`${route.id}: ${cells.failed}`);
  }
}

/** Starts all servers and does not return; for another load generator. */
export async function hold(servers: readonly Server[], log: Log): Promise<never> {
  const upstream = await startProvider();
  const results = { servers: {} } as Results;
  const running = await startAll(servers, { upstream, results, log });
  console.log(`provider: ${upstream}/v1/chat/completions`);
  for (const [id, { origin }] of running) console.log(`${id}: ${origin}/v1/chat/completions`);
  console.log(
    "The model bench-w1024 answers with 1 KiB, bench-s100x10 with 100 events 10 ms apart. Control-C stops everything.",
  );
  return await new Promise<never>(() => {});
}

async function startAll(
  servers: readonly Server[],
  { upstream, results, log }: { upstream: string; results: Results; log: Log },
): Promise<Map<string, RunningServer>> {
  const running = new Map<string, RunningServer>();
  for (const server of servers) {
    const { id, label } = server;
    const missing = server.missing?.();
    const version = missing === undefined ? server.version?.() : undefined;
    const entry = (results.servers[id] = { label: version === undefined ? label : `${label} ${version}` });
    try {
      if (missing !== undefined) throw new Error(missing);
      const started = await server.start({ upstream, dir: createScratchDir() });
      running.set(id, started);
      await waitUntilIdle(started);
      Object.assign(entry, { coldStartMs: started.coldStartMs, restBytes: started.memoryByProcess(), afterCalls: 1 });
      log(`${id}: started in ${Math.round(started.coldStartMs)} ms`);
    } catch (error) {
      const failed = (error as Error).message.trim();
      Object.assign(entry, { failed });
      log(`${id}: ${failed}`);
    }
  }
  return running;
}

/** The first route of a server is measured in its new process; each further route has another new process. */
async function measureOpenStreams(servers: readonly Server[], whole: Run): Promise<void> {
  const { upstream, running, routes, results, log } = whole;
  const { streams } = whole.length;
  const used = new Set<string>();
  for (const route of routes) {
    if (!route.holdsStreams) continue;
    log(`${streams} open streams: ${route.label}`);
    const of = (results.cells[route.id] ??= {});
    const isFirst = !used.has(route.server);
    used.add(route.server);
    const server = isFirst
      ? running.get(route.server)!
      : await servers.find(({ id }) => id === route.server)!.start({ upstream, dir: createScratchDir() });
    try {
      const memory = await measureStreamMemory(route, {
        origins: { origin: server.origin, upstream },
        running: server,
        streams,
      });
      of["open-streams"] = { cells: [], ...memory };
    } catch (error) {
      of["open-streams"] = { cells: [], failed: (error as Error).message };
    }
    if (isFirst) addCalls(results, route, streams);
    else await server.stop();
  }
}

/** Makes `length.calls` calls, or as many as fit into `length.longest` seconds: a slow server would need hours. */
async function callMany(route: Route, server: RunningServer, whole: Run): Promise<void> {
  const { length, results, log } = whole;
  if (length.calls === 0) return;
  log(`${route.server}: up to ${length.calls} calls`);
  const scenario: Scenario = { id: "many", label: "", answer: { kind: "whole", bytes: 1024 }, concurrency: 32 };
  const pace = { seconds: 2, cpuSeconds: 2 };
  const origins = originsOf(route.server, whole);
  for (const end = Date.now() + length.longest * 1000; Date.now() < end;) {
    if ((results.servers[route.server]!.afterCalls ?? 0) >= length.calls) return;
    const { calls } = await measure(route, scenario, { origins, running: server, pace });
    addCalls(results, route, calls);
  }
}

function addCalls(results: Results, { server }: Route, calls: number): void {
  const of = results.servers[server];
  if (of !== undefined) of.afterCalls = (of.afterCalls ?? 0) + calls;
}
