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
  restBytes?: number;
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
export function compareAddedToProxy(results: Results, route: string, scenario: string, pick: TimeOf): number {
  const proxy = listAdded(results, "proxy", scenario, pick);
  return median(listAdded(results, route, scenario, pick).map((value, round) => value / proxy[round]!));
}

/** The ratio of the process time of a call to the bare proxy's in the same round. */
export const compareCpuToProxy = (results: Results, route: string, scenario: string): number =>
  compareToProxy(
    results,
    route,
    (of) => cellsOf(results, of, scenario)?.cells.map(({ cpuMs }) => cpuMs ?? Number.NaN) ?? [],
  );

/** The ratio of the process time of an event to the bare proxy's in the same round. */
export const compareEventCpuToProxy = (results: Results, route: string): number =>
  compareToProxy(results, route, (of) => listEventCpu(results, of));

function compareToProxy(results: Results, route: string, byRound: (route: string) => number[]): number {
  const proxy = byRound("proxy");
  return median(byRound(route).map((value, round) => value / proxy[round]!));
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

export function evaluateBudgets(results: Results): Budget[] {
  const perStream = (route: string): number =>
    (cellsOf(results, route, "open-streams")?.bytesPerStream ?? Number.NaN) / 1024;
  const [shallow] = results.depths;
  const deep = results.depths.at(-1);
  return [
    {
      what: "stateless relay, latency added p50",
      limit: 1.5,
      measured: compareAddedToProxy(results, "rhone", "whole-c1", totalP50),
    },
    {
      what: "stateless relay, latency added p99",
      limit: 2,
      measured: compareAddedToProxy(results, "rhone", "whole-c1", totalP99),
    },
    {
      what: "warm session, latency added p50",
      limit: 3,
      measured: compareAddedToProxy(results, "rhone-warm", "whole-c1", totalP50),
    },
    {
      what: "relay, time to first token added",
      limit: 1.5,
      measured: compareAddedToProxy(results, "rhone", "stream-100", firstP50),
    },
    {
      what: "translated, time to first token added",
      limit: 2.5,
      measured: compareAddedToProxy(results, "rhone-translated", "stream-100", firstP50),
    },
    { what: "stateless relay, CPU per event", limit: 1.5, measured: compareEventCpuToProxy(results, "rhone") },
    { what: "stateful relay, CPU per event", limit: 4, measured: compareEventCpuToProxy(results, "rhone-warm") },
    { what: "translated, CPU per event", limit: 6, measured: compareEventCpuToProxy(results, "rhone-translated") },
  ]
    .map((one): Budget => ({ ...one, unit: "× bare proxy" }))
    .concat([
      { what: "memory per open stream, stateless relay", limit: 64, measured: perStream("rhone"), unit: "KiB" },
      { what: "memory per open stream, stateful", limit: 64, measured: perStream("rhone-warm"), unit: "KiB" },
      {
        what: `turn ${deep?.turns ?? "–"} over turn 1, without the transcript's bytes`,
        limit: 1,
        measured: ownMs(deep) - ownMs(shallow),
        unit: "ms",
      },
    ]);
}

const ownMs = (depth: Depth | undefined): number =>
  depth === undefined ? Number.NaN : depth.stateful.p50 - depth.stateless.p50;
