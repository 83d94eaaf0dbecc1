import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { fold } from "../../src/canonical/accumulator.ts";
import { hashTurn } from "../../src/canonical/turn-hash.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { decodeSse, type SseEvent } from "../../src/wire/sse.ts";
import { hashCorpus, hashFixtures, type HashList, type TurnCode } from "../support/recorded-turns.ts";

const written = JSON.parse(readFileSync(join(import.meta.dirname, "../fixtures/turn-hashes.json"), "utf8")) as HashList;
const code: TurnCode<SseEvent> = { dialects: DIALECTS, decodeSse, fold: (events) => fold(events), hash: hashTurn };
const corpus = process.env.RHONE_CORPUS;

/**
 * The hashes of turns are stored, and a transcript that a client sends again is recognized by them: those of every
 * recording stay what they were when scripts/turn-hashes.ts wrote them down.
 */
it.runIf(corpus === undefined)("turns of the fixtures have the hashes that they had", () => {
  const hashes = hashFixtures(code);
  // A fixture that was added since has no hash from then.
  for (const [name, digest] of Object.entries(written.fixtures)) expect([name, hashes[name]]).toEqual([name, digest]);
});

it.runIf(corpus !== undefined)("turns of the corpus have the hashes that they had", () => {
  expect(hashCorpus(corpus!, code)).toEqual(written.corpus);
});
