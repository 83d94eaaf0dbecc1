import type { Cell, Depth } from "../measure.ts";
import { ROUTES } from "../routes.ts";
import { median } from "./numbers.ts";

/** The results of a run, as stored in `results.json`. Milliseconds and bytes. */
export type Results = {
  at: string;
  mode: "quick" | "full" | "check";
  machine: string;
  rounds: number;
  seconds: number;
  servers: Record<string, ServerResult>;
  /** By route, then by scenario: a cell for each round. */
  cells: Record<string, Record<string, CellResults>>;
  depths: Depth[];
};

export type ServerResult = {
  label: string;
  /** The reason why it was not measured. */
  failed?: string;
  coldStartMs?: number;
  /** Of everything that was started, by the program's name. */
  restBytes?: Record<string, number>;
  afterCalls?: number;
  afterBytes?: number;
};

export type CellResults = { cells: Cell[]; failed?: string; bytesPerStream?: number; bytesPerSession?: number };

export const cellsOf = (results: Results, route: string, scenario: string): CellResults | undefined =>
  results.cells[route]?.[scenario];

/** The median over the rounds. */
export function medianOf(
  results: Results,
  route: string,
  scenario: string,
  of: (cell: Cell) => number | undefined,
): number {
  const cells = (cellsOf(results, route, scenario)?.cells ?? []).filter(({ calls }) => calls > 0);
  return median(cells.map((cell) => of(cell) ?? Number.NaN));
}

/** Selects one of a cell's times. */
export type TimeOf = (cell: Cell) => number;
export const totalP50: TimeOf = ({ total }) => total.p50;
export const totalP99: TimeOf = ({ total }) => total.p99;
export const firstP50: TimeOf = ({ first }) => first.p50;
export const firstP99: TimeOf = ({ first }) => first.p99;

/**
 * The time that the route adds to the provider's own, by rounds: a call is compared with one made directly to the
 * provider a few seconds before or after. The direct call's median is subtracted from both quantiles: a p99 is the delay
 * of one call in a hundred against the usual call without a gateway.
 */
export function listAdded(results: Results, route: string, scenario: string, pick: TimeOf): number[] {
  const usual = pick === firstP50 || pick === firstP99 ? firstP50 : totalP50;
  const direct = cellsOf(results, "direct", scenario)?.cells ?? [];
  const cells = cellsOf(results, route, scenario)?.cells ?? [];
  return cells.map((cell, round) => (direct[round] === undefined ? Number.NaN : pick(cell) - usual(direct[round])));
}

export const medianAdded = (results: Results, route: string, scenario: string, pick: TimeOf): number =>
  median(listAdded(results, route, scenario, pick));

/** The ratio of the added time to the bare proxy's in the same round. */
export const compareAddedToProxy = (
  results: Results,
  route: string,
  scenario: string,
  { pick, summarize = median }: { pick: TimeOf; summarize?: Summarize },
): number => compareToProxy(route, (of) => listAdded(results, of, scenario, pick), summarize);

/** The ratio of the process time of a call to the bare proxy's in the same round. */
export const compareCpuToProxy = (
  results: Results,
  route: string,
  scenario: string,
  summarize: Summarize = median,
): number =>
  compareToProxy(
    route,
    (of) => cellsOf(results, of, scenario)?.cells.map(({ cpuMs }) => cpuMs ?? Number.NaN) ?? [],
    summarize,
  );

/** The ratio of the process time of an event to the bare proxy's in the same round. */
export const compareEventCpuToProxy = (results: Results, route: string): number =>
  compareToProxy(route, (of) => listEventCpu(results, of), median);

/** What the ratios of all rounds come to. */
type Summarize = (ratios: number[]) => number;

function compareToProxy(route: string, byRound: (route: string) => number[], summarize: Summarize): number {
  const proxy = byRound("proxy");
  return summarize(byRound(route).map((value, round) => value / proxy[round]!));
}

/** Microseconds of process time per event of a stream: the difference between streams of 100 and of 10 events. */
export const computeCpuPerEvent = (results: Results, route: string): number => median(listEventCpu(results, route));

function listEventCpu(results: Results, route: string): number[] {
  const long = cellsOf(results, route, "paced-100")?.cells ?? [];
  const short = cellsOf(results, route, "paced-10")?.cells ?? [];
  return long.map(({ cpuMs = Number.NaN }, round) => ((cpuMs - (short[round]?.cpuMs ?? Number.NaN)) / 90) * 1000);
}

/** Microseconds that a gateway adds to each further event of a stream. */
export function computeAddedPerEvent(results: Results, route: string): number {
  const long = medianAdded(results, route, "stream-1000", totalP50);
  const short = medianAdded(results, route, "stream-10", totalP50);
  return ((long - short) / 990) * 1000;
}

/** The measured routes, in the order of the tables. */
export const listMeasuredRoutes = (results: Results): { id: string; label: string }[] =>
  ROUTES.filter(({ id }) => results.cells[id] !== undefined).map(({ id, label, server }) => {
    const version = /\d[\d.]*$/.exec(results.servers[server]?.label ?? "")?.[0];
    return { id, label: version === undefined ? label : label.replace(",", ` ${version},`) };
  });

/** A performance budget and its measured value. */
export type Budget = { what: string; limit: number; measured: number; unit: string };

/** What is compared with the bare proxy: time that a call or a first token takes longer, or process time of a call. */
type Ratio = { what: string; limit: number; route: string; scenario: string; of: "p50" | "p99" | "first" | "cpu" };

/** One row for each bound of a route in a scenario. */
const bounds = (what: string, route: string, scenario: string, limits: Partial<Record<Ratio["of"], number>>): Ratio[] =>
  (Object.entries(limits) as [Ratio["of"], number][]).map(([of, limit]) => ({
    what: `${what}: ${NAMES[of]}`,
    limit,
    route,
    scenario,
    of,
  }));

const NAMES: Record<Ratio["of"], string> = {
  p50: "added p50",
  p99: "added p99",
  first: "first token, added p50",
  cpu: "CPU",
};

/** The budgets that are ratios to the bare proxy. A p99 may be one and a half times its p50's bound. */
export const RATIOS: readonly Ratio[] = [
  ...bounds("relay, 1 KiB", "rhone", "whole-c1", { p50: 1.3, p99: 1.95, cpu: 1.7 }),
  ...bounds("relay, request of 100 KiB", "rhone", "agent-100k", { p50: 1.4, p99: 2.1, cpu: 2.2 }),
  ...bounds("relay, request of 500 KiB", "rhone", "agent-500k", { p50: 2, p99: 3, cpu: 2.8 }),
  ...bounds("relay, burst of 100 events", "rhone", "stream-100", { first: 1.3, p50: 2.3, cpu: 1.8 }),
  ...bounds("relay, paced stream", "rhone", "paced-c1", { cpu: 1.8 }),
  ...bounds("translated, 1 KiB", "rhone-translated", "whole-c1", { p50: 1.6, p99: 2.4, cpu: 1.8 }),
  ...bounds("translated, request of 100 KiB", "rhone-translated", "agent-100k", { p50: 3, p99: 4.5, cpu: 3.5 }),
  ...bounds("translated, burst of 100 events", "rhone-translated", "stream-100", { first: 1.5, cpu: 4.5 }),
  ...bounds("translated, paced stream", "rhone-translated", "paced-c1", { cpu: 2.7 }),
  ...bounds("warm session, 1 KiB", "rhone-warm", "whole-c1", { p50: 2.2, p99: 3.3, cpu: 2.5 }),
  ...bounds("session, 300 KiB sent again", "rhone-resent", "agent-300k", { p50: 2.2, p99: 3.3, cpu: 2.5 }),
  ...bounds("conversation, 300 KiB sent again", "rhone-conversation", "agent-300k", { p50: 2.2, p99: 3.3, cpu: 2.5 }),
  ...bounds("warm session, burst of 100 events", "rhone-warm", "stream-100", { first: 1.7, cpu: 5 }),
  ...bounds("warm session, paced stream", "rhone-warm", "paced-c1", { cpu: 2.6 }),
  ...bounds("shielded, burst of 100 events", "rhone-shielded", "stream-100", { first: 1.7, cpu: 5 }),
  ...bounds("shielded, paced stream", "rhone-shielded", "paced-c1", { cpu: 2.6 }),
  ...bounds("new session, 1 KiB", "rhone-cold", "whole-c1", { p50: 4, p99: 6, cpu: 5 }),
];

/** The measured value of a ratio. */
export function measureRatio(results: Results, { route, scenario, of }: Ratio, summarize: Summarize = median): number {
  if (of === "cpu") return compareCpuToProxy(results, route, scenario, summarize);
  const pick = { p50: totalP50, p99: totalP99, first: firstP50 }[of];
  return compareAddedToProxy(results, route, scenario, { pick, summarize });
}

export function evaluateBudgets(results: Results): Budget[] {
  const [shallow] = results.depths;
  const deep = results.depths.at(-1);
  const session = cellsOf(results, "rhone-warm", "open-streams")?.bytesPerSession ?? Number.NaN;
  const rest = Object.values(results.servers.rhone?.restBytes ?? { none: Number.NaN });
  return [
    ...RATIOS.map((ratio) => ({ ...ratio, measured: measureRatio(results, ratio), unit: "× bare proxy" })),
    {
      what: "p99 added with the shield on both sides, 4 KiB, 8 callers",
      limit: 30,
      measured: medianAdded(results, "rhone-shielded", "both-4k-c8", totalP99),
      unit: "ms",
    },
    { what: "memory at rest, all processes", limit: 200, measured: sum(rest) / MIB, unit: "MiB" },
    { what: "memory of a live session", limit: 0.4, measured: session / MIB, unit: "MiB" },
    {
      what: `turn ${deep?.turns ?? "–"} over turn 1, without the transcript's bytes`,
      limit: 1,
      measured: ownMs(deep) - ownMs(shallow),
      unit: "ms",
    },
  ];
}

const MIB = 1024 * 1024;
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const ownMs = (depth: Depth | undefined): number =>
  depth === undefined ? Number.NaN : depth.stateful.p50 - depth.stateless.p50;
