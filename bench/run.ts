import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpus } from "node:os";
import { join } from "node:path";
import { HERE, type Wires } from "./asks.ts";
import type { Found } from "./figures.ts";
import { depths, measure, memoryOfStreams, type Pace, warmUp } from "./measure.ts";
import { type Running, untilIdle } from "./process.ts";
import { type Scenario, SCENARIOS } from "./scenarios.ts";
import { scratch, type Server } from "./servers.ts";
import { WAYS, type Way } from "./ways.ts";

export type Length = {
  mode: Found["mode"];
  rounds: number;
  pace: Pace;
  /** Before anything is counted, for each way: a just-in-time compiler wants to have seen the code. */
  warmSeconds: number;
  scenarios: readonly Scenario[];
  /** A session's turns at which the next one is timed, and how often. */
  depths: number[];
  samples: number;
  /** How many streams are held open at once; none, where memory is not looked at. */
  streams: number;
  /** What each contender has answered when its memory is looked at for the last time, or as many as fit into the seconds. */
  calls: number;
  longest: number;
};

export const QUICK: Length = {
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

export const FULL: Length = {
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

type Say = (text: string) => void;

/** Measures these servers side by side. What cannot be measured is in what comes back, with the reason. */
export async function run(servers: readonly Server[], length: Length, say: Say, ways = WAYS): Promise<Found> {
  const began = Date.now();
  const upstream = await provider();
  const found: Found = {
    at: new Date(began).toISOString(),
    mode: length.mode,
    machine: `${cpus().length} cores (${cpus()[0]?.model ?? "?"}), Node ${process.version}`,
    rounds: length.rounds,
    seconds: 0,
    servers: {},
    cells: {},
    depths: [],
  };
  const running = await startAll(servers, { upstream, found, say });
  const wiresOf = (server: string): Wires => ({ origin: running.get(server)?.origin ?? upstream, upstream });
  const there = ways.filter(({ server }) => server === "upstream" || running.has(server));

  if (length.streams > 0) await openStreams(servers, there, { upstream, running, found, say, streams: length.streams });
  for (const way of there) {
    say(`warming up: ${way.label}`);
    const failed = await warmUp(way, { wires: wiresOf(way.server), seconds: length.warmSeconds });
    if (failed === undefined) continue;
    say(`${way.id}: ${failed}`);
    for (const scenario of length.scenarios) (found.cells[way.id] ??= {})[scenario.id] = { cells: [], failed };
  }
  for (let round = 0; round < length.rounds; round++) {
    for (const scenario of length.scenarios) {
      say(`round ${round + 1} of ${length.rounds}: ${scenario.label}`);
      // Each round begins with another contender, so that none is always first.
      const at = (round * 5) % there.length;
      for (const way of [...there.slice(at), ...there.slice(0, at)]) {
        const cells = ((found.cells[way.id] ??= {})[scenario.id] ??= { cells: [] });
        if (cells.failed !== undefined) continue;
        const { pace } = length;
        const how = { wires: wiresOf(way.server), running: running.get(way.server), pace };
        const cell = await measure(way, scenario, how).catch((thrown: Error) => {
          cells.failed = thrown.message.slice(0, 300);
          say(`${way.id}: ${cells.failed}`);
        });
        if (cell === undefined) continue;
        cells.cells.push(cell);
        count(found, way, cell.calls);
        if (cell.error !== undefined) say(`${way.id}: ${cell.errors} calls failed: ${cell.error}`);
      }
    }
  }
  if (running.has("rhone") && length.depths.length > 0) {
    say("a session's turn at depth");
    found.depths = await depths(wiresOf("rhone"), length.depths, length.samples);
  }
  for (const [id, server] of running) {
    await many(
      there.find((way) => way.server === id)!,
      { wires: wiresOf(id), server, found, length, say },
    );
    found.servers[id]!.afterBytes = server.memory();
    await server.stop();
  }
  found.seconds = Math.round((Date.now() - began) / 1000);
  return found;
}

/** Starts everything and does not come back; for another load generator. */
export async function hold(servers: readonly Server[], say: Say): Promise<never> {
  const upstream = await provider();
  const found = { servers: {} } as Found;
  const running = await startAll(servers, { upstream, found, say });
  console.log(`provider: ${upstream}/v1/chat/completions`);
  for (const [id, { origin }] of running) console.log(`${id}: ${origin}/v1/chat/completions`);
  console.log(
    "The model bench-w1024 answers with 1 KiB, bench-s100x10 with 100 events 10 ms apart. Control-C ends it all.",
  );
  return await new Promise<never>(() => {});
}

async function startAll(
  servers: readonly Server[],
  { upstream, found, say }: { upstream: string; found: Found; say: Say },
): Promise<Map<string, Running>> {
  const running = new Map<string, Running>();
  for (const server of servers) {
    const { id, label } = server;
    const missing = server.missing?.();
    const version = missing === undefined ? server.version?.() : undefined;
    const noted = (found.servers[id] = { label: version === undefined ? label : `${label} ${version}` });
    try {
      if (missing !== undefined) throw new Error(missing);
      const started = await server.start({ upstream, dir: scratch() });
      running.set(id, started);
      await untilIdle(started);
      Object.assign(noted, { coldStartMs: started.coldStartMs, restBytes: started.memory(), afterCalls: 1 });
      say(`${id}: started in ${Math.round(started.coldStartMs)} ms`);
    } catch (thrown) {
      const failed = (thrown as Error).message.trim();
      Object.assign(noted, { failed });
      say(`${id}: ${failed}`);
    }
  }
  return running;
}

/** The first way of a server is looked at in its fresh process; each further one gets a process of its own. */
async function openStreams(
  servers: readonly Server[],
  ways: readonly Way[],
  how: { upstream: string; running: Map<string, Running>; found: Found; say: Say; streams: number },
): Promise<void> {
  const { upstream, running, found, say, streams } = how;
  const used = new Set<string>();
  for (const way of ways) {
    if (!way.holdsStreams) continue;
    say(`${streams} open streams: ${way.label}`);
    const of = (found.cells[way.id] ??= {});
    const isFirst = !used.has(way.server);
    used.add(way.server);
    const own = isFirst
      ? running.get(way.server)!
      : await servers.find(({ id }) => id === way.server)!.start({ upstream, dir: scratch() });
    try {
      const memory = await memoryOfStreams(way, { wires: { origin: own.origin, upstream }, running: own, streams });
      of["open-streams"] = { cells: [], ...memory };
    } catch (thrown) {
      of["open-streams"] = { cells: [], failed: (thrown as Error).message };
    }
    if (isFirst) count(found, way, streams);
    else await own.stop();
  }
}

/** As many calls as wanted, or as fit into the time that there is: a slow contender would need hours. */
async function many(
  way: Way,
  { wires, server, found, length, say }: { wires: Wires; server: Running; found: Found; length: Length; say: Say },
): Promise<void> {
  if (length.calls === 0) return;
  say(`${way.server}: up to ${length.calls} calls`);
  const scenario: Scenario = { id: "many", label: "", scene: { kind: "whole", bytes: 1024 }, concurrency: 32 };
  const pace = { seconds: 2, cpuSeconds: 2 };
  for (const end = Date.now() + length.longest * 1000; Date.now() < end;) {
    if ((found.servers[way.server]!.afterCalls ?? 0) >= length.calls) return;
    const { calls } = await measure(way, scenario, { wires, running: server, pace });
    count(found, way, calls);
  }
}

function count(found: Found, { server }: Way, calls: number): void {
  const of = found.servers[server];
  if (of !== undefined) of.afterCalls = (of.afterCalls ?? 0) + calls;
}

/** The scripted provider's origin; its process ends with this one. */
async function provider(): Promise<string> {
  const child = spawn(process.execPath, [join(HERE, "upstream.ts")], { stdio: ["ignore", "pipe", "inherit", "ipc"] });
  const [line] = (await once(child.stdout!, "data")) as [Buffer];
  return `http://127.0.0.1:${Number(line.toString("utf8"))}`;
}
