import { expect, it } from "vitest";
import type { Find, Kind } from "../../src/shield/detect/find.ts";
import { findValues } from "../../src/shield/detector.ts";
import type { Rules } from "../../src/shield/rules.ts";
import { makeLookAlikes, makeSentences } from "../support/shield/labelled.ts";

const RULES: Rules = { kinds: new Set(["email", "phone", "card", "iban", "ssn", "ip", "secret"]) };

type Score = { all: number; found: number; wrong: number };

function scoreAll(): Map<Kind, Score> {
  const scores = new Map<Kind, Score>();
  const scoreOf = (kind: Kind): Score => {
    if (!scores.has(kind)) scores.set(kind, { all: 0, found: 0, wrong: 0 });
    return scores.get(kind)!;
  };
  for (const { text, values } of [...makeSentences(4_000), ...makeLookAlikes(2_500)]) {
    const finds = findValues(text, RULES);
    const isOf = (find: Find, value: Find): boolean =>
      find.kind === value.kind && find.start <= value.start && find.end >= value.end;
    for (const value of values) {
      scoreOf(value.kind).all++;
      if (finds.some((find) => isOf(find, value))) scoreOf(value.kind).found++;
    }
    for (const find of finds) if (!values.some((value) => isOf(find, value))) scoreOf(find.kind).wrong++;
  }
  return scores;
}

it.each([
  ["email", 0.99, 0.99],
  ["iban", 0.99, 0.99],
  ["ssn", 0.99, 0.99],
  ["ip", 0.99, 0.99],
  ["card", 0.99, 0.99],
  ["phone", 0.95, 0.95],
] as const)("of values of the kind %s, %d are found, and of what is found %d are of it", (kind, recall, precision) => {
  const { all, found, wrong } = scores.get(kind)!;
  expect(all).toBeGreaterThan(400);
  expect(found / all).toBeGreaterThanOrEqual(recall);
  expect(found / (found + wrong)).toBeGreaterThanOrEqual(precision);
});

const scores = scoreAll();
