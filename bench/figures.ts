import type { Cell, Depth } from "./measure.ts";
import { median } from "./numbers.ts";
import { WAYS } from "./ways.ts";

/** All that a run has found, as it stands in `results.json`. Milliseconds and bytes. */
export type Found = {
  at: string;
  mode: "quick" | "full" | "check";
  machine: string;
  rounds: number;
  seconds: number;
  servers: Record<string, FoundServer>;
  /** By way, then by scenario: a cell for each round. */
  cells: Record<string, Record<string, FoundCells>>;
  depths: Depth[];
};

export type FoundServer = {
  label: string;
  /** Why it was not measured. */
  failed?: string;
  coldStartMs?: number;
  restBytes?: number;
  afterCalls?: number;
  afterBytes?: number;
};

export type FoundCells = { cells: Cell[]; failed?: string; bytesPerStream?: number; bytesPerSession?: number };

export const cellsOf = (found: Found, way: string, scenario: string): FoundCells | undefined =>
  found.cells[way]?.[scenario];

/** The median over the rounds. */
export function figure(found: Found, way: string, scenario: string, of: (cell: Cell) => number | undefined): number {
  const cells = (cellsOf(found, way, scenario)?.cells ?? []).filter(({ calls }) => calls > 0);
  return median(cells.map((cell) => of(cell) ?? Number.NaN));
}

/** Of a cell's times: which of them. */
export type Pick = (cell: Cell) => number;
export const totalP50: Pick = ({ total }) => total.p50;
export const totalP99: Pick = ({ total }) => total.p99;
export const firstP50: Pick = ({ first }) => first.p50;
export const firstP99: Pick = ({ first }) => first.p99;

/**
 * What the way adds to the provider's own time, by rounds: a call is compared with one made straight to the provider a
 * few seconds before or after. Both quantiles are taken from the direct call's median: a p99 says by how much one call
 * in a hundred is later than calls usually are without a gateway.
 */
export function addedByRound(found: Found, way: string, scenario: string, pick: Pick): number[] {
  const usual = pick === firstP50 || pick === firstP99 ? firstP50 : totalP50;
  const direct = cellsOf(found, "direct", scenario)?.cells ?? [];
  const cells = cellsOf(found, way, scenario)?.cells ?? [];
  return cells.map((cell, round) => (direct[round] === undefined ? Number.NaN : pick(cell) - usual(direct[round])));
}

export const added = (found: Found, way: string, scenario: string, pick: Pick): number =>
  median(addedByRound(found, way, scenario, pick));

/** How many times what the floor adds, in the same round. */
export function addedToFloor(found: Found, way: string, scenario: string, pick: Pick): number {
  const floor = addedByRound(found, "floor", scenario, pick);
  return median(addedByRound(found, way, scenario, pick).map((value, round) => value / floor[round]!));
}

/** How many times the floor's process time for a call, in the same round. */
export const cpuToFloor = (found: Found, way: string, scenario: string): number =>
  overFloor(found, way, (of) => cellsOf(found, of, scenario)?.cells.map(({ cpuMs }) => cpuMs ?? Number.NaN) ?? []);

/** How many times the floor's process time for an event, in the same round. */
export const eventCpuToFloor = (found: Found, way: string): number =>
  overFloor(found, way, (of) => eventCpuByRound(found, of));

function overFloor(found: Found, way: string, byRound: (way: string) => number[]): number {
  const floor = byRound("floor");
  return median(byRound(way).map((value, round) => value / floor[round]!));
}

/** Microseconds of process time for each event of a stream: what a stream of 100 takes more than one of 10. */
export const cpuPerEvent = (found: Found, way: string): number => median(eventCpuByRound(found, way));

function eventCpuByRound(found: Found, way: string): number[] {
  const long = cellsOf(found, way, "paced-100")?.cells ?? [];
  const short = cellsOf(found, way, "paced-10")?.cells ?? [];
  return long.map(({ cpuMs = Number.NaN }, round) => ((cpuMs - (short[round]?.cpuMs ?? Number.NaN)) / 90) * 1000);
}

/** Microseconds that each further event of a stream takes longer than without a gateway. */
export function addedPerEvent(found: Found, way: string): number {
  const long = added(found, way, "stream-1000", totalP50);
  const short = added(found, way, "stream-10", totalP50);
  return ((long - short) / 990) * 1000;
}

/** The ways that were measured, in the order of the tables. */
export const measuredWays = (found: Found): { id: string; label: string }[] =>
  WAYS.filter(({ id }) => found.cells[id] !== undefined).map(({ id, label, server }) => {
    const version = /\d[\d.]*$/.exec(found.servers[server]?.label ?? "")?.[0];
    return { id, label: version === undefined ? label : label.replace(",", ` ${version},`) };
  });

/** A budget of DESIGN 7, and what came of it. */
export type Budget = { what: string; limit: number; measured: number; unit: string };

export function budgets(found: Found): Budget[] {
  const perStream = (way: string): number => (cellsOf(found, way, "open-streams")?.bytesPerStream ?? Number.NaN) / 1024;
  const [shallow] = found.depths;
  const deep = found.depths.at(-1);
  return [
    {
      what: "stateless relay, latency added p50",
      limit: 1.5,
      measured: addedToFloor(found, "rhone", "whole-c1", totalP50),
    },
    {
      what: "stateless relay, latency added p99",
      limit: 2,
      measured: addedToFloor(found, "rhone", "whole-c1", totalP99),
    },
    {
      what: "warm session, latency added p50",
      limit: 3,
      measured: addedToFloor(found, "rhone-warm", "whole-c1", totalP50),
    },
    {
      what: "relay, time to first token added",
      limit: 1.5,
      measured: addedToFloor(found, "rhone", "stream-100", firstP50),
    },
    {
      what: "translated, time to first token added",
      limit: 2.5,
      measured: addedToFloor(found, "rhone-translated", "stream-100", firstP50),
    },
    { what: "stateless relay, CPU per event", limit: 1.5, measured: eventCpuToFloor(found, "rhone") },
    { what: "stateful relay, CPU per event", limit: 4, measured: eventCpuToFloor(found, "rhone-warm") },
    { what: "translated, CPU per event", limit: 6, measured: eventCpuToFloor(found, "rhone-translated") },
  ]
    .map((one): Budget => ({ ...one, unit: "× floor" }))
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
