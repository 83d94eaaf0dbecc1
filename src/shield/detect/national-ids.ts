import isIdentityCard from "validator/lib/isIdentityCard.js";
import isTaxID from "validator/lib/isTaxID.js";
import type { Find } from "./find.ts";
import { CONTEXT_LENGTH } from "./number-runs.ts";

type Form = { shape: string; accepts: (value: string) => boolean };

const compact = (value: string): string => value.replace(/[ -]/g, "");

/** INSEE: the key is 97 less the rest of the number, in which Corsica's departments count as 19 and 18. */
function isNir(value: string): boolean {
  const digits = compact(value).replace("2A", "19").replace("2B", "18");
  return /^[12]\d{14}$/.test(digits) && 97n - (BigInt(digits.slice(0, 13)) % 97n) === BigInt(digits.slice(13));
}

/** HMRC, NIM39110: letters that no number starts with. */
const isNino = (value: string): boolean => /^(?!BG|GB|KN|NK|NT|TN|ZZ)[A-Z]{2}\d{6}[A-D]$/.test(compact(value));

/** Numbers that their form tells, and for most of them a checksum. */
const FORMS: readonly Form[] = [
  // Italy: codice fiscale
  { shape: "[A-Z]{6}\\d{2}[A-EHLMPRST]\\d{2}[A-Z]\\d{3}[A-Z]", accepts: (value) => isTaxID(value, "it-IT") },
  // Spain: DNI and NIE
  { shape: "(?:\\d{8}|[XYZ]-?\\d{7})-?[A-HJ-NP-TV-Z]", accepts: (value) => isIdentityCard(compact(value), "ES") },
  // Finland: henkilötunnus; Sweden: personnummer
  {
    shape: "\\d{6}[-+A]\\d{3}[0-9A-FHJ-NPR-Y]",
    accepts: (value) => isTaxID(value, "fi-FI") || isTaxID(value, "sv-SE"),
  },
  // Brazil: CPF
  { shape: "\\d{3}\\.\\d{3}\\.\\d{3}-\\d{2}", accepts: (value) => isTaxID(value, "pt-BR") },
  // United Kingdom: National Insurance number
  { shape: "[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\\d{2} ?\\d{2} ?\\d{2} ?[A-D]", accepts: isNino },
  // France: NIR, with its key
  { shape: "[12] ?\\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\\d) ?\\d[\\dAB] ?\\d{3} ?\\d{3} ?\\d{2}", accepts: isNir },
];

/** Numbers of nothing but digits: a word before them has to name them. */
const NAMED: readonly { word: RegExp; accepts: (digits: string) => boolean }[] = [
  { word: /\bpesel\b/i, accepts: (digits) => isIdentityCard(digits, "PL") },
  { word: /\b(?:bsn|sofinummer|burgerservicenummer)\b/i, accepts: (digits) => isTaxID(digits, "nl-NL") },
  { word: /\b(?:steuer-?(?:id|identifikationsnummer)|idnr|tin)\b/i, accepts: (digits) => isTaxID(digits, "de-DE") },
  { word: /\bcpf\b/i, accepts: (digits) => isTaxID(digits, "pt-BR") },
  { word: /\baadhaar\b/i, accepts: (digits) => isIdentityCard(digits, "IN") },
  { word: /\b(?:sin|social insurance)\b/i, accepts: (digits) => isTaxID(digits, "en-CA") },
  { word: /\b(?:utr|tax reference)\b/i, accepts: (digits) => isTaxID(digits, "en-GB") },
];

/** The lookahead rejects most words by their first letters. */
const FORMED = new RegExp(
  `\\b(?=[A-Z]{0,6}\\d{2}|[XYZ]-\\d|[A-Z]{2} \\d\\d|[12] \\d\\d)(?:${FORMS.map(({ shape }) => shape).join("|")})(?![A-Za-z0-9_])`,
  "g",
);
const DIGITS = /(?<![\w-])\d(?:[ -]?\d){7,12}(?![\w-])/g;
const ANY_WORD = /\b(?:pesel|bsn|sofi|burger|steuer|idnr|tin|cpf|aadhaar|sin|social insurance|utr|tax reference)/i;

/** National identity and tax numbers. */
export function findNationalIds(text: string, found: Find[]): void {
  for (const { index, 0: value } of text.matchAll(FORMED))
    if (FORMS.some(({ accepts }) => accepts(value))) found.push(toFind(index, value));
  if (!ANY_WORD.test(text)) return;
  for (const { index, 0: value } of text.matchAll(DIGITS)) {
    const before = text.slice(Math.max(0, index - CONTEXT_LENGTH), index);
    if (NAMED.some(({ word, accepts }) => word.test(before) && accepts(compact(value))))
      found.push(toFind(index, value));
  }
}

const toFind = (start: number, value: string): Find => ({ start, end: start + value.length, kind: "national_id" });
