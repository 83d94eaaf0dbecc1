import { expect, it } from "vitest";
import { findValues } from "../../src/shield/detector.ts";
import type { Rules } from "../../src/shield/rules.ts";

const RULES: Rules = { kinds: new Set(["national_id"]) };
const found = (text: string): string[] => findValues(text, RULES).map(({ start, end }) => text.slice(start, end));

it.each([
  ["RSSMRA80A01H501U", "codice fiscale RSSMRA80A01H501U."],
  ["12345678Z", "DNI 12345678Z"],
  ["X1234567L", "(X1234567L)"],
  ["131052-308T", "hetu: 131052-308T"],
  ["111.444.777-35", "CPF 111.444.777-35, ok"],
  ["811218-9876", "personnummer 811218-9876"],
  ["AB 12 34 56 C", "NI number AB 12 34 56 C"],
  ["2 55 08 14 168 025 38", "sécu 2 55 08 14 168 025 38"],
  ["44051401359", "PESEL: 44051401359"],
  ["111222333", "BSN 111222333"],
])("%s is found", (value, text) => {
  expect(found(text)).toEqual([value]);
});

it.each([
  "RSSMRA80A01H501X",
  "12345678A",
  "131052-308X",
  "111.444.777-36",
  "811218-9875",
  "BSN 111222334",
  "44051401359 items",
])("%s is none", (text) => {
  expect(found(text)).toEqual([]);
});
