import {
  added,
  addedPerEvent,
  addedToFloor,
  budgets,
  cellsOf,
  cpuPerEvent,
  figure,
  firstP50,
  firstP99,
  type Found,
  measuredWays,
  totalP50,
  totalP99,
} from "./figures.ts";
import { shown } from "./numbers.ts";

/** The tables, as they stand in docs/performance.md. */
export function report(found: Found): string {
  return [
    `Run of ${found.at}, ${found.mode}: ${found.rounds} interleaved rounds, ${found.seconds} s. ${found.machine}. Milliseconds unless noted otherwise; medians over the rounds.`,
    ...unmeasured(found),
    `### Latency added to a call (answer of 1 KiB)\n\n${latency(found)}`,
    `### Streams\n\n${streams(found)}`,
    `### Shapes: latency added, concurrency 1\n\n${shapes(found)}`,
    `### Processes\n\n${processes(found)}`,
    ...(found.depths.length === 0 ? [] : [`### A session's turn at depth\n\n${depth(found)}`]),
    `### Budgets\n\n${budget(found)}`,
  ]
    .join("\n\n")
    .concat("\n");
}

function unmeasured(found: Found): string[] {
  const lines = Object.values(found.servers).flatMap(({ label, failed }) =>
    failed === undefined ? [] : [`- **${label}** was not measured: ${failed.split("\n")[0]}`],
  );
  return lines.length === 0 ? [] : [lines.join("\n")];
}

function latency(found: Found): string {
  const rows = measuredWays(found).map(({ id, label }) => [
    label,
    ...[1, 8, 32, 128].map((concurrency) => pair(found, id, `whole-c${concurrency}`)),
    ...[1, 8, 32, 128].map((concurrency) =>
      shown(figure(found, id, `whole-c${concurrency}`, ({ perSecond }) => perSecond)),
    ),
    id === "direct" ? "" : shown(addedToFloor(found, id, "whole-c1", totalP50)),
    shown(figure(found, id, "whole-c8", ({ cpuMs }) => cpuMs)),
  ]);
  const head = ["way", ...["1", "8", "32", "128"].map((n) => `+p50 / +p99 at ${n}`), "calls/s at 1", "8", "32", "128"];
  return table([...head, "× floor, p50 at 1", "CPU ms/call"], rows);
}

/** What is added, or, for the provider itself, its own time. */
function pair(found: Found, way: string, scenario: string): string {
  const cells = cellsOf(found, way, scenario);
  if (cells?.failed !== undefined) return "failed";
  const errors = (cells?.cells ?? []).reduce((sum, one) => sum + one.errors, 0);
  const note = errors === 0 ? "" : ` (${errors} failed)`;
  if (way === "direct")
    return `(${shown(figure(found, way, scenario, totalP50))} / ${shown(figure(found, way, scenario, totalP99))})${note}`;
  return `${shown(added(found, way, scenario, totalP50))} / ${shown(added(found, way, scenario, totalP99))}${note}`;
}

function streams(found: Found): string {
  const first = (id: string, scenario: string): string =>
    id === "direct"
      ? `(${shown(figure(found, id, scenario, firstP50))} / ${shown(figure(found, id, scenario, firstP99))})`
      : `${shown(added(found, id, scenario, firstP50))} / ${shown(added(found, id, scenario, firstP99))}`;
  const rows = measuredWays(found).map(({ id, label }) => [
    label,
    ...["stream-10", "stream-100", "stream-1000"].map((scenario) =>
      cellsOf(found, id, scenario)?.failed === undefined ? first(id, scenario) : "failed",
    ),
    pair(found, id, "stream-1000"),
    id === "direct" ? "" : shown(addedPerEvent(found, id)),
    shown(figure(found, id, "paced-100", ({ cpuMs }) => cpuMs)),
    shown(cpuPerEvent(found, id)),
  ]);
  const firsts = [10, 100, 1000].map((n) => `first token +p50 / +p99, ${n} events`);
  return table(
    ["way", ...firsts, "whole stream of 1 000", "added µs/event", "CPU ms/stream of 100", "CPU µs/event"],
    rows,
  );
}

function shapes(found: Found): string {
  const rows = measuredWays(found).map(({ id, label }) => [
    label,
    ...["whole-c1", "whole-100k", "whole-1m", "tools", "vision"].map((scenario) => pair(found, id, scenario)),
  ]);
  return table(
    ["way", "answer 1 KiB", "answer 100 KiB", "answer 1 MiB", "request 100 KiB, tool calls", "request 1 MiB, an image"],
    rows,
  );
}

function processes(found: Found): string {
  const perStream = (way: string): string => {
    const cells = cellsOf(found, way, "open-streams");
    if (cells?.bytesPerStream === undefined) return cells?.failed ?? "–";
    const session = cells.bytesPerSession === undefined ? "" : ` + ${shown(cells.bytesPerSession / 1024)} its session`;
    return `${shown(cells.bytesPerStream / 1024)}${session}`;
  };
  const rows = Object.entries(found.servers)
    .filter(([, { failed }]) => failed === undefined)
    .map(([id, { label, coldStartMs, restBytes, afterCalls, afterBytes }]) => [
      label,
      shown(coldStartMs),
      mib(restBytes),
      id === "rhone"
        ? `${perStream("rhone")} relayed, ${perStream("rhone-translated")} translated, ${perStream("rhone-warm")} in sessions`
        : perStream(id),
      `${mib(afterBytes)} (${afterCalls?.toLocaleString("en-US")} calls)`,
    ]);
  return table(
    ["server", "cold start ms", "memory at rest, MiB", "KiB for each open stream", "memory at the end, MiB"],
    rows,
  );
}

function depth(found: Found): string {
  return table(
    ["turns before", "stateful p50 / p99", "stateless, the same transcript p50 / p99", "the session's own, p50"],
    found.depths.map(({ turns, stateful, stateless }) => [
      String(turns),
      `${shown(stateful.p50)} / ${shown(stateful.p99)}`,
      `${shown(stateless.p50)} / ${shown(stateless.p99)}`,
      shown(stateful.p50 - stateless.p50),
    ]),
  );
}

function budget(found: Found): string {
  return table(
    ["what", "budget", "measured", ""],
    budgets(found).map(({ what, limit, measured, unit }) => [
      what,
      `≤ ${limit} ${unit}`,
      Number.isNaN(measured) ? "not measured" : `${shown(measured)} ${unit}`,
      Number.isNaN(measured) ? "" : measured <= limit ? "met" : "**over**",
    ]),
  );
}

const table = (head: string[], rows: string[][]): string =>
  [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

const mib = (bytes: number | undefined): string => (bytes === undefined ? "–" : shown(bytes / 1024 / 1024));
