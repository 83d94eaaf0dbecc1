import {
  medianAdded,
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

/** Four panels of bars; less is better in the first three. Drawn without a library: four panels do not need one. */
export function chart(results: Results): string {
  const routes = listMeasuredRoutes(results).filter(({ id }) => id !== "direct");
  const bars = (of: (route: string) => Pick<Bar, "value" | "upTo">): Bar[] =>
    routes.flatMap(({ id, label }) => {
      const bar = { id, label, ...of(id) };
      return Number.isFinite(bar.value) ? [bar] : [];
    });
  const panels: Panel[] = [
    {
      title: "Latency added to a call, ms",
      note: "concurrency 1, answer of 1 KiB; bar p50, line p99",
      bars: bars((route) => ({
        value: medianAdded(results, route, "whole-c1", totalP50),
        upTo: medianAdded(results, route, "whole-c1", totalP99),
      })),
    },
    {
      title: "Time to first token added, ms",
      note: "stream of 100 events; bar p50, line p99",
      bars: bars((route) => ({
        value: medianAdded(results, route, "stream-100", firstP50),
        upTo: medianAdded(results, route, "stream-100", firstP99),
      })),
    },
    {
      title: "CPU per streamed event, µs",
      note: "32 streams at once, an event each 10 ms; a stream of 100 less one of 10",
      bars: bars((route) => ({ value: computeCpuPerEvent(results, route) })),
    },
    {
      title: "Calls per second (more is better)",
      note: "concurrency 32, answer of 1 KiB, two cores for all",
      bars: bars((route) => ({ value: medianOf(results, route, "whole-c32", ({ perSecond }) => perSecond) })),
    },
  ];
  const height = PANEL.top + Math.max(...panels.map((panel) => panel.bars.length)) * PANEL.row + 24;
  const size = { width: 2 * PANEL.width + 3 * GAP, height: 62 + 2 * height + 2 * GAP };
  const drawnPanels = panels.map((panel, i) => {
    const x = GAP + (i % 2) * (PANEL.width + GAP);
    const y = 62 + Math.floor(i / 2) * (height + GAP);
    return `<g transform="translate(${x} ${y})">${drawPanel(panel)}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" viewBox="0 0 ${size.width} ${size.height}" font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="${GAP}" y="28" font-size="18" font-weight="600" fill="#16202c">Side by side on one machine</text>
<text x="${GAP}" y="46" fill="#5b6776">${escape(`${results.at.slice(0, 10)}, ${results.mode} run, ${formatRounds(results.rounds)}; scales are logarithmic; ${results.machine}`)}</text>
${drawnPanels.join("\n")}
</svg>
`;
}

type Bar = { id: string; label: string; value: number; upTo?: number };
type Panel = { title: string; note: string; bars: Bar[] };

/** Pixels. */
const GAP = 24;
const PANEL = { width: 560, top: 46, row: 22, label: 222, number: 76 };

const COLOURS: readonly (readonly [ids: RegExp, colour: string])[] = [
  [/^rhone/, "#0b7285"],
  [/^proxy/, "#868e96"],
  [/./, "#e8a33d"],
];

function drawPanel({ title, note, bars }: Panel): string {
  const room = PANEL.width - PANEL.label - PANEL.number;
  const values = bars.flatMap(({ value, upTo = value }) => [value, upTo]).filter((value) => value > 0);
  // From a power of ten to the largest value; every bar has a visible length.
  const low = 10 ** Math.floor(Math.log10(Math.min(...values)) - 0.2);
  const high = Math.max(...values) * 1.05;
  const position = (value: number): number => (Math.log(Math.max(value, low) / low) / Math.log(high / low)) * room;
  const ticks = listDecades(low, high).map(
    (
      value,
    ) => `<line x1="${fixed(PANEL.label + position(value))}" x2="${fixed(PANEL.label + position(value))}" y1="${PANEL.top - 6}" y2="${PANEL.top + bars.length * PANEL.row}" stroke="#e3e7ec"/>
<text x="${fixed(PANEL.label + position(value))}" y="${PANEL.top + bars.length * PANEL.row + 14}" fill="#8a94a1" font-size="10" text-anchor="middle">${formatTick(value)}</text>`,
  );
  const rows = bars.map(({ id, label, value, upTo }, i) => {
    const y = PANEL.top + i * PANEL.row;
    const colour = COLOURS.find(([ids]) => ids.test(id))![1];
    const end = PANEL.label + position(Math.max(value, upTo ?? 0));
    const numbers = upTo === undefined ? formatNumber(value) : `${formatNumber(value)} / ${formatNumber(upTo)}`;
    const whisker =
      upTo === undefined
        ? ""
        : `<line x1="${fixed(PANEL.label + position(value))}" x2="${fixed(PANEL.label + position(upTo))}" y1="${y + 8}" y2="${y + 8}" stroke="${colour}" stroke-width="2"/>`;
    return `<text x="${PANEL.label - 8}" y="${y + 12}" fill="#16202c" text-anchor="end">${escape(label)}</text>
<rect x="${PANEL.label}" y="${y + 1}" width="${fixed(Math.max(2, position(value)))}" height="14" rx="2" fill="${colour}"/>${whisker}
<text x="${fixed(end + 6)}" y="${y + 12}" fill="#16202c" font-size="11">${numbers}</text>`;
  });
  return `<text y="14" font-size="14" font-weight="600" fill="#16202c">${escape(title)}</text>
<text y="30" fill="#5b6776">${escape(note)}</text>
${ticks.join("\n")}
${rows.join("\n")}`;
}

function listDecades(low: number, high: number): number[] {
  const from = Math.ceil(Math.log10(low) - 1e-9);
  const to = Math.floor(Math.log10(high));
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => 10 ** (from + i));
}

const formatTick = (value: number): string =>
  value >= 1 ? value.toLocaleString("en-US") : String(Number(value.toPrecision(1)));
const fixed = (value: number): string => value.toFixed(1);
const escape = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
