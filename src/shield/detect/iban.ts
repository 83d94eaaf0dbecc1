import type { Find } from "./find.ts";

/** Characters of an IBAN by country. Source: SWIFT's IBAN registry, release 99. */
const LENGTHS: Record<string, number> = Object.fromEntries(
  (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 " +
    "FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 " +
    "LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 " +
    "RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
  )
    .split(" ")
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
);

/** Characters of the longest IBAN, in groups. */
export const MAX_IBAN = 42;

const SHAPE = /\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,31}/g;

/** Account numbers whose country, length and checksum are right, with or without groups. */
export function findIbans(text: string, found: Find[]): void {
  SHAPE.lastIndex = 0;
  for (let match; (match = SHAPE.exec(text)) !== null;) {
    const end = endOf(match[0]);
    if (end === undefined) SHAPE.lastIndex = match.index + 4;
    else {
      found.push({ start: match.index, end: match.index + end, kind: "iban" });
      SHAPE.lastIndex = match.index + end;
    }
  }
}

/** Where the IBAN at the start of a text ends: what follows it in groups is not a part of it. */
function endOf(text: string): number | undefined {
  const length = LENGTHS[text.slice(0, 2).toUpperCase()];
  if (length === undefined) return undefined;
  let end = 0;
  for (let count = 0; count < length; end++) {
    if (end >= text.length) return undefined;
    if (text[end] !== " " && text[end] !== "-") count++;
  }
  if (/[A-Za-z0-9]/.test(text[end] ?? "")) return undefined;
  const written = text.slice(0, end);
  // In groups, letters are large: small ones are words.
  if (/[ -]/.test(written) && /[a-z]/.test(written)) return undefined;
  return isChecked(written.replace(/[ -]/g, "").toUpperCase()) ? end : undefined;
}

/** ISO 7064, MOD 97-10. */
function isChecked(iban: string): boolean {
  let rest = 0;
  for (const character of iban.slice(4) + iban.slice(0, 4)) {
    const value = parseInt(character, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest === 1;
}
