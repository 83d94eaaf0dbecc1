import { PROJECT } from "../scripts/settings.ts";
import {
  compareAddedToProxy,
  compareCpuToProxy,
  compareEventCpuToProxy,
  medianOf,
  firstP50,
  type Results,
  totalP50,
} from "./report/figures.ts";
import { formatNumber } from "./report/numbers.ts";
import { ROUTES } from "./routes.ts";
import { type RunLength, run } from "./run.ts";
import { SCENARIOS } from "./scenarios.ts";
import { listServers } from "./servers.ts";

/**
 * `npm run bench:check`, for CI: fails if the gateway has become slow. It runs beside the bare proxy (bare-proxy.ts), and
 * compares ratios to the proxy in the same run, as medians over interleaved rounds: a busy machine slows both. The bounds
 * are about three times the ratios of a quiet machine, and a ratio above its bound is measured again before it counts:
 * the check finds changes that make a call several times slower. It needs only what `npm ci` installs.
 */
const BOUNDS: readonly { what: string; limit: number; ratio: (results: Results) => number }[] = [
  {
    what: "stateless relay, latency added",
    limit: 10,
    ratio: (results) => compareAddedToProxy(results, "rhone", "whole-c1", totalP50),
  },
  {
    what: "warm session, latency added",
    limit: 18,
    ratio: (results) => compareAddedToProxy(results, "rhone-warm", "whole-c1", totalP50),
  },
  {
    what: "relay, time to first token added",
    limit: 10,
    ratio: (results) => compareAddedToProxy(results, "rhone", "stream-100", firstP50),
  },
  {
    what: "translated, time to first token added",
    limit: 12,
    ratio: (results) => compareAddedToProxy(results, "rhone-translated", "stream-100", firstP50),
  },
  {
    what: "stateless relay, CPU per call",
    limit: 14,
    ratio: (results) => compareCpuToProxy(results, "rhone", "whole-c8"),
  },
  { what: "stateless relay, CPU per event", limit: 12, ratio: (results) => compareEventCpuToProxy(results, "rhone") },
  {
    what: "stateful relay, CPU per event",
    limit: 20,
    ratio: (results) => compareEventCpuToProxy(results, "rhone-warm"),
  },
  {
    what: "translated, CPU per event",
    limit: 18,
    ratio: (results) => compareEventCpuToProxy(results, "rhone-translated"),
  },
];

const CHECK: RunLength = {
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

const routes = ROUTES.filter(({ id }) => ["direct", "proxy", "rhone", "rhone-translated", "rhone-warm"].includes(id));
const servers = listServers(PROJECT).filter(({ id }) => id === "proxy" || id === "rhone");
const isFast = (await isWithinBounds()) || (console.log("\nOnce more:\n"), await isWithinBounds());
process.exit(isFast ? 0 : 1);

async function isWithinBounds(): Promise<boolean> {
  const results = await run(servers, CHECK, () => {}, routes);
  const ratios = BOUNDS.map(({ what, limit, ratio }) => ({ what, limit, measured: ratio(results) }));
  for (const { what, limit, measured } of ratios)
    console.log(
      `${what}: ${formatNumber(measured)} × the bare proxy's, at most ${limit}${measured <= limit ? "" : "  TOO SLOW"}`,
    );
  console.log(
    `\nA call through the bare proxy: ${formatNumber(medianOf(results, "proxy", "whole-c1", totalP50))} ms; ${results.rounds} rounds in ${results.seconds} s`,
  );
  const problems = listProblems(results);
  for (const problem of problems) console.error(problem);
  return problems.length === 0 && ratios.every(({ limit, measured }) => measured <= limit);
}

function listProblems({ servers: all, cells: cellsByRoute }: Results): string[] {
  const failedServers = Object.values(all).flatMap(({ label, failed }) =>
    failed === undefined ? [] : [`${label}: ${failed}`],
  );
  const failedCells = Object.entries(cellsByRoute).flatMap(([route, scenarios]) =>
    Object.entries(scenarios).flatMap(([scenario, { cells, failed }]) => {
      const error = failed ?? cells.find((cell) => cell.error !== undefined)?.error;
      return error === undefined ? [] : [`${route}, ${scenario}: ${error}`];
    }),
  );
  return [...failedServers, ...failedCells];
}
