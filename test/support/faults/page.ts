import { expectOutcome, FAULTS, type Fault, FORMS, type Form, type Outcome } from "./table.ts";

const TEXTS: Record<Exclude<Outcome, number>, string> = {
  own: "the answer",
  other: "the fallback's answer",
  rescued: "continued by the fallback",
  broken: "a part, then an error event",
  error: "an error",
};
const toText = (outcome: Outcome): string => (typeof outcome === "number" ? `error ${outcome}` : TEXTS[outcome]);

const find = (wanted: Partial<Form>): Form =>
  FORMS.find((form) => Object.entries(wanted).every(([name, value]) => form[name as keyof Form] === value))!;

/** The columns of outcomes. */
const COLUMNS: [title: string, form: Form][] = [
  ["stream", find({ isStream: true, isContinued: false, hasFallback: true })],
  ['stream, `midstream: "continue"`', find({ isStream: true, isContinued: true, hasFallback: true })],
  ["whole answer", find({ isStream: false, hasFallback: true })],
  ["stream, no fallback", find({ isStream: true, hasFallback: false })],
  ["whole answer, no fallback", find({ isStream: false, hasFallback: false })],
];

function toRow(fault: Fault): string[] {
  const [, inStream] = fault.stream;
  const [, inWhole] = fault.whole;
  const requests = inStream === inWhole ? `${inStream}` : `${inStream}, whole ${inWhole}`;
  return [fault.does, ...COLUMNS.map(([, form]) => toText(expectOutcome(fault, form)[0])), requests];
}

/** The table of faults in Markdown. */
export function renderFaults(): string {
  const titles = ["the provider", ...COLUMNS.map(([title]) => title), "requests"];
  const rows = [titles, ...Object.values(FAULTS).map(toRow)];
  const widths = titles.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const [head, ...body] = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`);
  return [head, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...body].join("\n");
}
