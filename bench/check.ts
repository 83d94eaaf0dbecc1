import { PROJECT } from "../scripts/settings.ts";
import { measureRatio, medianOf, RATIOS, type Results, totalP50 } from "./report/figures.ts";
import { formatNumber, quantile } from "./report/numbers.ts";
import { ROUTES } from "./routes.ts";
import { type RunLength, run } from "./run.ts";
import { SCENARIOS } from "./scenarios.ts";
import { listServers } from "./servers.ts";

/**
 * `npm run bench:check`, for CI: fails if the gateway has become slow. It runs beside the bare proxy (bare-proxy.ts), and
 * compares ratios to the proxy in the same round: a busy machine slows both. The lower of two rounds counts, since what
 * disturbs a round seldom makes it faster. A bound is one and a half times the budget, or times what a quiet machine
 * measures where the budget is not met yet (docs/performance.md). A ratio above its bound is measured again, in seven
 * rounds of which the second lowest counts. It needs only what `npm ci` installs.
 */
const SLACK = 1.5;

/** What is measured of budgets that are not met, by route, scenario and kind. */
const NOT_MET: Record<string, number> = {
  "rhone whole-c1 p50": 2.5,
  "rhone whole-c1 cpu": 3,
  "rhone agent-100k p50": 2.6,
  "rhone agent-100k cpu": 3.4,
  "rhone agent-500k p50": 3.2,
  "rhone agent-500k cpu": 5.3,
  "rhone stream-100 first": 2,
  "rhone stream-100 p50": 4,
  "rhone stream-100 cpu": 3,
  "rhone paced-c1 cpu": 2.4,
  "rhone-translated whole-c1 p50": 2.5,
  "rhone-translated whole-c1 cpu": 3,
  "rhone-translated agent-100k p50": 3.6,
  "rhone-translated agent-100k cpu": 5.3,
  "rhone-translated stream-100 first": 2.8,
  "rhone-translated stream-100 cpu": 5.5,
  "rhone-translated paced-c1 cpu": 4.4,
  "rhone-warm whole-c1 p50": 4.4,
  "rhone-warm whole-c1 cpu": 4.8,
  "rhone-resent agent-300k p50": 5.1,
  "rhone-resent agent-300k cpu": 5.7,
  "rhone-conversation agent-300k p50": 5.1,
  "rhone-conversation agent-300k cpu": 5.7,
  "rhone-warm stream-100 first": 2.8,
  "rhone-warm stream-100 cpu": 6,
  "rhone-warm paced-c1 cpu": 4.8,
  "rhone-shielded stream-100 first": 2.8,
  "rhone-shielded stream-100 cpu": 6,
  "rhone-shielded paced-c1 cpu": 4.8,
  "rhone-cold whole-c1 p50": 5.5,
  "rhone-cold whole-c1 cpu": 6.4,
};

const BOUNDS = RATIOS.filter(({ of }) => of !== "p99").map((ratio) => {
  const key = `${ratio.route} ${ratio.scenario} ${ratio.of}`;
  return { ...ratio, bound: SLACK * (NOT_MET[key] ?? ratio.limit) };
});

/** Only what these ratios compare is measured. */
const lengthFor = (ratios: readonly { route: string; scenario: string }[], rounds: number): RunLength => ({
  mode: "check",
  rounds,
  pace: { seconds: 0.25, cpuSeconds: 0.4 },
  warmSeconds: 0.6,
  scenarios: SCENARIOS.filter(({ id }) => id === "whole-c1" || ratios.some(({ scenario }) => scenario === id)),
  measures: ({ id }, scenario) =>
    id === "direct" || id === "proxy" || ratios.some((ratio) => ratio.route === id && ratio.scenario === scenario.id),
  depths: [],
  samples: 0,
  streams: 0,
  calls: 0,
  longest: 0,
});

const routes = ROUTES.filter(({ id }) => id === "direct" || id === "proxy" || RATIOS.some(({ route }) => route === id));
const servers = listServers(PROJECT).filter(({ id }) => id === "proxy" || id === "rhone");
const slow = await findSlow(BOUNDS, { rounds: 2, at: 0 });
if (slow.length > 0) console.log("\nOnce more:\n");
process.exit(slow.length > 0 && (await findSlow(slow, { rounds: 7, at: 0.25 })).length > 0 ? 1 : 0);

/**
 * Measures, and returns those of the ratios that are above their bounds. `at`: the quantile over the rounds. Ends the process
 * if something could not be measured.
 */
async function findSlow(bounds: typeof BOUNDS, { rounds, at }: { rounds: number; at: number }): Promise<typeof BOUNDS> {
  const results = await run(servers, lengthFor(bounds, rounds), () => {}, routes);
  const ratios = bounds.map((ratio) => ({
    ...ratio,
    measured: measureRatio(results, ratio, (all) => quantile(all, at)),
  }));
  for (const { what, bound, measured } of ratios)
    console.log(
      `${what}: ${formatNumber(measured)} × the bare proxy's, at most ${formatNumber(bound)}${measured <= bound ? "" : "  TOO SLOW"}`,
    );
  console.log(
    `\nA call through the bare proxy: ${formatNumber(medianOf(results, "proxy", "whole-c1", totalP50))} ms; ${results.rounds} rounds in ${results.seconds} s`,
  );
  const problems = listProblems(results);
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
  return ratios.filter(({ bound, measured }) => !(measured <= bound));
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
