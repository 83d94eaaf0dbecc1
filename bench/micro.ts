import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { findLongestKnownPrefix, hashAfter } from "../src/canonical/turn-hash.ts";
import type { Dialect, StreamEvent } from "../src/canonical/types.ts";
import { DIALECTS } from "../src/dialects/index.ts";
import { encodeUtf8 } from "../src/wire/bytes.ts";
import { parseJson } from "../src/wire/json.ts";
import { findMembers, removeMember, replaceMember, splice } from "../src/wire/splice.ts";
import { decodeSse, type SseEvent, SseSplitter } from "../src/wire/sse.ts";
import { median, formatNumber } from "./report/numbers.ts";
import { HERE } from "./requests.ts";

/**
 * `npm run bench:micro`: times the frequently executed parts alone, in this process. Each is printed with its time
 * relative to the saved baseline; a loop that uses nothing of this project is timed in the same run, and shows which
 * share of a difference is due to the machine. `--save` makes this run the baseline.
 */
const BASELINE = join(HERE, "baseline.json");
const ROUNDS = 7;
/** Of each part in each round. Milliseconds. */
const ROUND_MS = 60;
/** The size of a network read. Bytes. */
const CHUNK = 4096;

const { values: options } = parseArgs({ options: { save: { type: "boolean", default: false } } });
const corpus = process.env.RHONE_CORPUS ?? resolve(HERE, "../../shared/corpus");
// Set before recordings.ts is imported, which reads the corpus if the variable names it, else the fixtures.
if (existsSync(corpus)) process.env.RHONE_CORPUS = corpus;
const { recordings } = await import("../test/support/recordings");

/** The context of the encoded answers: one dialect repeats the request in its first and last events. */
const REPLY = {
  created: 1_750_000_000,
  request: DIALECTS["openai-chat"].decodeRequest({
    model: "m",
    messages: [{ role: "user", content: "?" }],
    stream: true,
  }),
};

/** One pass over a part's input. */
type Part = { name: string; bytes: number; events?: number; pass: () => unknown };

const parts: Part[] = [...listWireParts(), ...listHashParts(), ...listDialectParts()];
// Interleaved, so that a slow second of the machine affects all parts.
const times = new Map<string, number[]>();
const calibrationTimes: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  calibrationTimes.push(timePass(calibrate));
  for (const { name, pass } of parts) times.set(name, [...(times.get(name) ?? []), timePass(pass)]);
}
const unit = median(calibrationTimes);
const results = parts.map(({ name, bytes, events }) => {
  const ms = median(times.get(name)!);
  return {
    name,
    mbPerSecond: bytes / 1e6 / (ms / 1000),
    ...(events !== undefined && { eventsPerSecond: events / (ms / 1000) }),
    relative: ms / bytes / unit,
  };
});
const saved = existsSync(BASELINE)
  ? (JSON.parse(readFileSync(BASELINE, "utf8")) as { calibrationMs: number; parts: typeof results })
  : undefined;

console.log(
  `The machine's own loop: ${formatNumber(unit)} ms${saved ? `, ${formatNumber(saved.calibrationMs)} for the baseline` : ""}.\n`,
);
console.log("| part | MB/s | events/s | time, × baseline |\n| --- | ---: | ---: | ---: |");
for (const { name, mbPerSecond, eventsPerSecond, relative } of results) {
  const before = saved?.parts.find((one) => one.name === name)?.relative;
  const ratio = before === undefined ? "new" : formatNumber(relative / before);
  console.log(`| ${name} | ${formatNumber(mbPerSecond)} | ${formatNumber(eventsPerSecond)} | ${ratio} |`);
}
if (options.save) {
  writeFileSync(BASELINE, `${JSON.stringify({ calibrationMs: unit, parts: results }, null, 1)}\n`);
  console.log(`\nSaved as the baseline: ${BASELINE}`);
}

function listWireParts(): Part[] {
  const turn = { role: "user", content: 'What does "the river" say?\nIt says: "nothing", and again "nothing".' };
  const request = JSON.stringify({
    model: "provider/model",
    messages: Array.from({ length: 1000 }, () => turn),
    rhone: { session_id: "sess_x" },
    stream: true,
  });
  const sse = encodeUtf8(
    `data: ${JSON.stringify({ id: "x", choices: [{ index: 0, delta: { content: "word " } }] })}\n\n`.repeat(2000),
  );
  return [
    {
      name: "splice: model replaced, rhone removed",
      bytes: request.length,
      pass: () => {
        const all = findMembers(request);
        return splice(request, [...replaceMember(all, "model", '"model"'), ...removeMember(all, "rhone")]);
      },
    },
    { name: "JSON with numbers as written", bytes: request.length, pass: () => parseJson(request) },
    { name: "SSE decode", bytes: sse.length, events: 2000, pass: () => countEvents(sse) },
  ];
}

function listHashParts(): Part[] {
  const items = Array.from({ length: 400 }, (_, i) => ({
    role: i % 2 === 0 ? "user" : "assistant",
    content: `Turn ${i}: the river carries what it is given, and every call finds its way down to the sea.`,
  }));
  const messages = DIALECTS["openai-chat"].decodeMessages(items);
  const bytes = JSON.stringify(items).length;
  return [
    { name: "chain: the name of a transcript of 400", bytes, pass: () => hashAfter("", messages) },
    {
      name: "chain: a resent transcript of 400 recognised",
      bytes,
      pass: () => findLongestKnownPrefix(messages, (name) => name),
    },
  ];
}

/** The recorded streams of each dialect: decoded, and encoded in each other dialect. */
function listDialectParts(): Part[] {
  const wires = Object.values(DIALECTS).filter(({ id }) => id !== "native");
  return wires.flatMap((wire): Part[] => {
    const streams = recordings(wire.id).flatMap(({ sse }) => (sse === undefined ? [] : [encodeUtf8(sse)]));
    const bytes = streams.reduce((sum, one) => sum + one.length, 0);
    const events = streams.reduce((sum, one) => sum + decodeSse(one).length, 0);
    const decoded = streams.map((one) => decodeStream(wire.id, decodeSse(one)));
    const others = wires.filter((other) => other.id !== wire.id);
    return [
      {
        // The number is part of the name, so that only runs over the same recordings are compared.
        name: `${wire.id} stream: decode (${streams.length} recordings)`,
        bytes,
        events,
        pass: () => streams.map((one) => decodeStream(wire.id, decodeSse(one))),
      },
      ...others.map((other) => ({
        name: `${wire.id} stream → ${other.id}: encode (${streams.length} recordings)`,
        bytes,
        events,
        pass: () => decoded.map((stream) => encodeStream(other.id, stream)),
      })),
    ];
  });
}

function countEvents(bytes: Uint8Array): number {
  const splitter = new SseSplitter();
  let events = 0;
  for (let at = 0; at < bytes.length; at += CHUNK) events += splitter.push(bytes.subarray(at, at + CHUNK)).length;
  return events + splitter.flush().length;
}

function decodeStream(dialect: Dialect, events: readonly SseEvent[]): StreamEvent[] {
  const decoder = DIALECTS[dialect].decodeStream();
  return [...events.flatMap((event) => decoder.push(event)), ...decoder.end()];
}

function encodeStream(dialect: Dialect, events: readonly StreamEvent[]): number {
  const encoder = DIALECTS[dialect].encodeStream(REPLY);
  return events.reduce((sum, event) => sum + encoder.push(event).length, 0);
}

/** The milliseconds of a pass. */
function timePass(pass: () => unknown): number {
  let passes = 0;
  const start = performance.now();
  let end = start;
  for (; end - start < ROUND_MS; end = performance.now(), passes++) pass();
  return (end - start) / passes;
}

/** Processes text, JSON and bytes as the parts do, without code of this project. Must not change: the baseline depends on it. */
function calibrate(): number {
  const value = { words: Array.from({ length: 2000 }, (_, i) => `word ${i} of "many"`), at: 12_345.678 };
  const text = JSON.stringify(value);
  const bytes = new TextEncoder().encode(text);
  let sum = 0;
  for (const byte of bytes) sum = (sum * 31 + byte) | 0;
  return sum + Object.keys(JSON.parse(text) as object).length + text.split(",").length;
}
