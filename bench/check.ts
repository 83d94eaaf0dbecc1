import { PROJECT } from "../scripts/settings.ts";
import { addedToFloor, cpuToFloor, eventCpuToFloor, figure, firstP50, type Found, totalP50 } from "./figures.ts";
import { shown } from "./numbers.ts";
import { type Length, run } from "./run.ts";
import { SCENARIOS } from "./scenarios.ts";
import { serversOf } from "./servers.ts";
import { WAYS } from "./ways.ts";

/**
 * `npm run bench:check`, in CI: has the gateway become slow? It runs beside the floor, and only ratios to the floor in
 * the same run are looked at, as medians over interleaved rounds: a busy machine slows both. The bounds are generous,
 * some three times what is measured on a quiet machine, and what is beyond one is measured once more before it counts:
 * they are there for what makes a call several times as dear. Needs nothing that `npm ci` has not installed.
 */
const BOUNDS: readonly { what: string; limit: number; ratio: (found: Found) => number }[] = [
  {
    what: "stateless relay, latency added",
    limit: 10,
    ratio: (found) => addedToFloor(found, "rhone", "whole-c1", totalP50),
  },
  {
    what: "warm session, latency added",
    limit: 18,
    ratio: (found) => addedToFloor(found, "rhone-warm", "whole-c1", totalP50),
  },
  {
    what: "relay, time to first token added",
    limit: 10,
    ratio: (found) => addedToFloor(found, "rhone", "stream-100", firstP50),
  },
  {
    what: "translated, time to first token added",
    limit: 12,
    ratio: (found) => addedToFloor(found, "rhone-translated", "stream-100", firstP50),
  },
  { what: "stateless relay, CPU per call", limit: 14, ratio: (found) => cpuToFloor(found, "rhone", "whole-c8") },
  { what: "stateless relay, CPU per event", limit: 12, ratio: (found) => eventCpuToFloor(found, "rhone") },
  { what: "stateful relay, CPU per event", limit: 20, ratio: (found) => eventCpuToFloor(found, "rhone-warm") },
  { what: "translated, CPU per event", limit: 18, ratio: (found) => eventCpuToFloor(found, "rhone-translated") },
];

const CHECK: Length = {
  mode: "check",
  rounds: 3,
  pace: { seconds: 0.25, cpuSeconds: 0.4 },
  warmSeconds: 0.6,
  scenarios: SCENARIOS.filter(({ id }) => ["whole-c1", "whole-c8", "stream-100", "paced-10", "paced-100"].includes(id)),
  depths: [],
  samples: 0,
  streams: 0,
  calls: 0,
  longest: 0,
};

const ways = WAYS.filter(({ id }) => ["direct", "floor", "rhone", "rhone-translated", "rhone-warm"].includes(id));
const servers = serversOf(PROJECT).filter(({ id }) => id === "floor" || id === "rhone");
const isFast = (await isWithinBounds()) || (console.log("\nOnce more:\n"), await isWithinBounds());
process.exit(isFast ? 0 : 1);

async function isWithinBounds(): Promise<boolean> {
  const found = await run(servers, CHECK, () => {}, ways);
  const ratios = BOUNDS.map(({ what, limit, ratio }) => ({ what, limit, measured: ratio(found) }));
  for (const { what, limit, measured } of ratios)
    console.log(`${what}: ${shown(measured)} × the floor's, at most ${limit}${measured <= limit ? "" : "  TOO SLOW"}`);
  console.log(
    `\nA call of the floor: ${shown(figure(found, "floor", "whole-c1", totalP50))} ms; ${found.rounds} rounds in ${found.seconds} s`,
  );
  const problems = problemsOf(found);
  for (const problem of problems) console.error(problem);
  return problems.length === 0 && ratios.every(({ limit, measured }) => measured <= limit);
}

function problemsOf({ servers: all, cells: ofWays }: Found): string[] {
  const unstarted = Object.values(all).flatMap(({ label, failed }) =>
    failed === undefined ? [] : [`${label}: ${failed}`],
  );
  const broken = Object.entries(ofWays).flatMap(([way, scenarios]) =>
    Object.entries(scenarios).flatMap(([scenario, { cells, failed }]) => {
      const error = failed ?? cells.find((cell) => cell.error !== undefined)?.error;
      return error === undefined ? [] : [`${way}, ${scenario}: ${error}`];
    }),
  );
  return [...unstarted, ...broken];
}
