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
import { HERE } from "./asks.ts";
import { median, shown } from "./numbers.ts";

/**
 * `npm run bench:micro`: the hot parts alone, in this process. Beside each figure stands how long the part takes
 * compared with the saved baseline; a loop that has nothing to do with this project is timed in the same run and says
 * how much of a difference is the machine's. `--save` makes this run the baseline.
 */
const BASELINE = join(HERE, "baseline.json");
const ROUNDS = 7;
/** Of each part in each round. Milliseconds. */
const ROUND_MS = 60;
/** As much as a network read brings at once. Bytes. */
const CHUNK = 4096;

const { values: options } = parseArgs({ options: { save: { type: "boolean", default: false } } });
const corpus = process.env.RHONE_CORPUS ?? resolve(HERE, "../../shared/corpus");
// Before `recordings.ts` looks: it takes the corpus where it is named, else the fixtures.
if (existsSync(corpus)) process.env.RHONE_CORPUS = corpus;
const { recordings } = await import("../test/laws/recordings.ts");

/** What is answered: one wire repeats it in its first and last events. */
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

const parts: Part[] = [...wireParts(), ...chainParts(), ...dialectParts()];
// Interleaved, so that a slow second of the machine does not fall upon one part alone.
const times = new Map<string, number[]>();
const ownLoop: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  ownLoop.push(timed(calibration));
  for (const { name, pass } of parts) times.set(name, [...(times.get(name) ?? []), timed(pass)]);
}
const unit = median(ownLoop);
const found = parts.map(({ name, bytes, events }) => {
  const ms = median(times.get(name)!);
  return {
    name,
    mbPerSecond: bytes / 1e6 / (ms / 1000),
    ...(events !== undefined && { eventsPerSecond: events / (ms / 1000) }),
    relative: ms / bytes / unit,
  };
});
const saved = existsSync(BASELINE)
  ? (JSON.parse(readFileSync(BASELINE, "utf8")) as { calibrationMs: number; parts: typeof found })
  : undefined;

console.log(
  `The machine's own loop: ${shown(unit)} ms${saved ? `, ${shown(saved.calibrationMs)} for the baseline` : ""}.\n`,
);
console.log("| part | MB/s | events/s | time, × baseline |\n| --- | ---: | ---: | ---: |");
for (const { name, mbPerSecond, eventsPerSecond, relative } of found) {
  const before = saved?.parts.find((one) => one.name === name)?.relative;
  const ratio = before === undefined ? "new" : shown(relative / before);
  console.log(`| ${name} | ${shown(mbPerSecond)} | ${shown(eventsPerSecond)} | ${ratio} |`);
}
if (options.save) {
  writeFileSync(BASELINE, `${JSON.stringify({ calibrationMs: unit, parts: found }, null, 1)}\n`);
  console.log(`\nSaved as the baseline: ${BASELINE}`);
}

function wireParts(): Part[] {
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
    { name: "SSE decode", bytes: sse.length, events: 2000, pass: () => rechunked(sse) },
  ];
}

function chainParts(): Part[] {
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

/** Each wire's recorded streams: read, and said anew in another wire's words. */
function dialectParts(): Part[] {
  const wires = Object.values(DIALECTS).filter(({ id }) => id !== "native");
  return wires.flatMap((wire): Part[] => {
    const streams = recordings(wire.id).flatMap(({ sse }) => (sse === undefined ? [] : [encodeUtf8(sse)]));
    const bytes = streams.reduce((sum, one) => sum + one.length, 0);
    const events = streams.reduce((sum, one) => sum + decodeSse(one).length, 0);
    const decoded = streams.map((one) => meaningOf(wire.id, decodeSse(one)));
    const others = wires.filter((other) => other.id !== wire.id);
    return [
      {
        // The baseline is of the same recordings, or of none.
        name: `${wire.id} stream: decode (${streams.length} recordings)`,
        bytes,
        events,
        pass: () => streams.map((one) => meaningOf(wire.id, decodeSse(one))),
      },
      ...others.map((other) => ({
        name: `${wire.id} stream → ${other.id}: encode (${streams.length} recordings)`,
        bytes,
        events,
        pass: () => decoded.map((stream) => said(other.id, stream)),
      })),
    ];
  });
}

function rechunked(bytes: Uint8Array): number {
  const splitter = new SseSplitter();
  let events = 0;
  for (let at = 0; at < bytes.length; at += CHUNK) events += splitter.push(bytes.subarray(at, at + CHUNK)).length;
  return events + splitter.flush().length;
}

function meaningOf(dialect: Dialect, events: readonly SseEvent[]): StreamEvent[] {
  const decoder = DIALECTS[dialect].decodeStream();
  return [...events.flatMap((event) => decoder.push(event)), ...decoder.end()];
}

function said(dialect: Dialect, events: readonly StreamEvent[]): number {
  const encoder = DIALECTS[dialect].encodeStream(REPLY);
  return events.reduce((sum, event) => sum + encoder.push(event).length, 0);
}

/** What a whole pass takes. Milliseconds. */
function timed(pass: () => unknown): number {
  let passes = 0;
  const began = performance.now();
  let ended = began;
  for (; ended - began < ROUND_MS; ended = performance.now(), passes++) pass();
  return (ended - began) / passes;
}

/** Text, JSON and bytes, as everything here; but nothing of this project. Never to be changed: the baseline leans on it. */
function calibration(): number {
  const value = { words: Array.from({ length: 2000 }, (_, i) => `word ${i} of "many"`), at: 12_345.678 };
  const text = JSON.stringify(value);
  const bytes = new TextEncoder().encode(text);
  let sum = 0;
  for (const byte of bytes) sum = (sum * 31 + byte) | 0;
  return sum + Object.keys(JSON.parse(text) as object).length + text.split(",").length;
}
