import {
  medianAdded,
  computeAddedPerEvent,
  compareAddedToProxy,
  evaluateBudgets,
  cellsOf,
  computeCpuPerEvent,
  medianOf,
  firstP50,
  firstP99,
  type Results,
  listMeasuredRoutes,
  totalP50,
  totalP99,
} from "./figures.ts";
import { formatNumber, formatRounds } from "./numbers.ts";

/** The tables of docs/performance.md. */
export function report(results: Results): string {
  return [
    `Run of ${results.at}, ${results.mode}: ${formatRounds(results.rounds)}, ${results.seconds} s. ${results.machine}. Milliseconds unless noted otherwise; medians over the rounds.`,
    ...listUnmeasured(results),
    `### Latency added to a call (answer of 1 KiB)\n\n${formatLatency(results)}`,
    `### Streams\n\n${formatStreams(results)}`,
    `### Shapes: latency added, concurrency 1\n\n${formatShapes(results)}`,
    `### Processes\n\n${formatProcesses(results)}`,
    ...(results.depths.length === 0 ? [] : [`### A session's turn at depth\n\n${formatDepths(results)}`]),
    `### Budgets\n\n${formatBudgets(results)}`,
  ]
    .join("\n\n")
    .concat("\n");
}

/** The cell of a measurement that failed. The run logs the reason, and results.json has it. */
const NOT_MEASURED = "not measured";

function listUnmeasured(results: Results): string[] {
  const lines = Object.values(results.servers).flatMap(({ label, failed }) =>
    failed === undefined ? [] : [`- **${label}** was not measured.`],
  );
  return lines.length === 0 ? [] : [lines.join("\n")];
}

function formatLatency(results: Results): string {
  const rows = listMeasuredRoutes(results).map(({ id, label }) => [
    label,
    ...[1, 8, 32, 128].map((concurrency) => formatPair(results, id, `whole-c${concurrency}`)),
    ...[1, 8, 32, 128].map((concurrency) =>
      formatNumber(medianOf(results, id, `whole-c${concurrency}`, ({ perSecond }) => perSecond)),
    ),
    id === "direct" ? "" : formatNumber(compareAddedToProxy(results, id, "whole-c1", { pick: totalP50 })),
    formatNumber(medianOf(results, id, "whole-c1", ({ cpuMs }) => cpuMs)),
    formatNumber(medianOf(results, id, "whole-c8", ({ cpuMs }) => cpuMs)),
  ]);
  const head = [
    "route",
    ...["1", "8", "32", "128"].map((n) => `+p50 / +p99 at ${n}`),
    "calls/s at 1",
    "8",
    "32",
    "128",
  ];
  return toTable([...head, "× bare proxy, p50 at 1", "CPU ms/call at 1", "8"], rows);
}

/** The added time, or for the route `direct` the provider's own time. */
function formatPair(results: Results, route: string, scenario: string): string {
  const cells = cellsOf(results, route, scenario);
  if (cells?.failed !== undefined) return NOT_MEASURED;
  const errors = (cells?.cells ?? []).reduce((sum, one) => sum + one.errors, 0);
  const note = errors === 0 ? "" : ` (${errors} failed)`;
  if (route === "direct")
    return `(${formatNumber(medianOf(results, route, scenario, totalP50))} / ${formatNumber(medianOf(results, route, scenario, totalP99))})${note}`;
  return `${formatNumber(medianAdded(results, route, scenario, totalP50))} / ${formatNumber(medianAdded(results, route, scenario, totalP99))}${note}`;
}

function formatStreams(results: Results): string {
  const formatFirst = (id: string, scenario: string): string =>
    id === "direct"
      ? `(${formatNumber(medianOf(results, id, scenario, firstP50))} / ${formatNumber(medianOf(results, id, scenario, firstP99))})`
      : `${formatNumber(medianAdded(results, id, scenario, firstP50))} / ${formatNumber(medianAdded(results, id, scenario, firstP99))}`;
  const rows = listMeasuredRoutes(results).map(({ id, label }) => [
    label,
    ...["stream-10", "stream-100", "stream-1000"].map((scenario) =>
      cellsOf(results, id, scenario)?.failed === undefined ? formatFirst(id, scenario) : NOT_MEASURED,
    ),
    formatPair(results, id, "stream-1000"),
    id === "direct" ? "" : formatNumber(computeAddedPerEvent(results, id)),
    formatNumber(medianOf(results, id, "paced-100", ({ cpuMs }) => cpuMs)),
    formatNumber(computeCpuPerEvent(results, id)),
  ]);
  const firsts = [10, 100, 1000].map((n) => `first token +p50 / +p99, ${n} events`);
  return toTable(
    ["route", ...firsts, "whole stream of 1 000", "added µs/event", "CPU ms/stream of 100", "CPU µs/event"],
    rows,
  );
}

const AGENTS = ["agent-100k", "agent-300k", "agent-500k"];

function formatShapes(results: Results): string {
  const rows = listMeasuredRoutes(results).map(({ id, label }) => [
    label,
    ...["whole-100k", "whole-1m", ...AGENTS, "vision"].map((scenario) => formatPair(results, id, scenario)),
    ...AGENTS.map((scenario) => formatNumber(medianOf(results, id, scenario, ({ cpuMs }) => cpuMs))),
  ]);
  return toTable(
    [
      "route",
      "answer 100 KiB",
      "answer 1 MiB",
      "agent's request, 100 KiB",
      "300 KiB",
      "500 KiB",
      "request 1 MiB, an image",
      "CPU ms/call, agent's 100 KiB",
      "300 KiB",
      "500 KiB",
    ],
    rows,
  );
}

function formatProcesses(results: Results): string {
  const perStream = (route: string): string => {
    const cells = cellsOf(results, route, "open-streams");
    if (cells?.bytesPerStream === undefined) return cells?.failed === undefined ? "–" : NOT_MEASURED;
    const session =
      cells.bytesPerSession === undefined ? "" : ` + ${formatNumber(cells.bytesPerSession / 1024)} its session`;
    return `${formatNumber(cells.bytesPerStream / 1024)}${session}`;
  };
  const rows = Object.entries(results.servers)
    .filter(([, { failed }]) => failed === undefined)
    .map(([id, { label, coldStartMs, restBytes, afterCalls, afterBytes }]) => [
      label,
      formatNumber(coldStartMs),
      formatByProcess(restBytes),
      id === "rhone"
        ? `${perStream("rhone")} relayed, ${perStream("rhone-translated")} translated, ${perStream("rhone-warm")} in sessions`
        : perStream(id),
      `${toMib(afterBytes)} (${afterCalls?.toLocaleString("en-US")} calls)`,
    ]);
  return toTable(
    ["server", "cold start ms", "memory at rest, MiB", "KiB for each open stream", "memory at the end, MiB"],
    rows,
  );
}

function formatDepths(results: Results): string {
  return toTable(
    ["turns before", "stateful p50 / p99", "stateless, the same transcript p50 / p99", "the session's own, p50"],
    results.depths.map(({ turns, stateful, stateless }) => [
      String(turns),
      `${formatNumber(stateful.p50)} / ${formatNumber(stateful.p99)}`,
      `${formatNumber(stateless.p50)} / ${formatNumber(stateless.p99)}`,
      formatNumber(stateful.p50 - stateless.p50),
    ]),
  );
}

function formatBudgets(results: Results): string {
  return toTable(
    ["what", "budget", "measured", ""],
    evaluateBudgets(results).map(({ what, limit, measured, unit }) => [
      what,
      `≤ ${limit} ${unit}`,
      Number.isNaN(measured) ? NOT_MEASURED : `${formatNumber(measured)} ${unit}`,
      Number.isNaN(measured) ? "" : measured <= limit ? "met" : "**over**",
    ]),
  );
}

const toTable = (head: string[], rows: string[][]): string =>
  [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

/** `61 node + 118 workerd`, by size. */
const formatByProcess = (bytes: Record<string, number> = {}): string =>
  Object.entries(bytes)
    .toSorted(([, a], [, b]) => a - b)
    .map(([name, size]) => `${toMib(size)} ${name}`)
    .join(" + ");

const toMib = (bytes: number | undefined): string => (bytes === undefined ? "–" : formatNumber(bytes / 1024 / 1024));
