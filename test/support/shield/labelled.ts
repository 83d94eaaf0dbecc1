import type { Find, Kind } from "../../../src/shield/detect/find.ts";

/** A text, and the values in it. */
export type Labelled = { text: string; values: Find[] };

/** The same numbers in each run. */
function makeRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const random = makeRandom(7);
const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
const digits = (count: number): string => Array.from({ length: count }, () => random(10)).join("");
const hex = (count: number): string => Array.from({ length: count }, () => random(16).toString(16)).join("");

function withLuhn(start: string, length: number): string {
  const body = start + digits(length - start.length - 1);
  for (let check = 0; check < 10; check++) if (isLuhn(body + check)) return body + check;
  throw new Error("no check digit");
}

function isLuhn(number: string): boolean {
  let sum = 0;
  for (let i = 0; i < number.length; i++) {
    const digit = Number(number.at(-1 - i)) * (i % 2 === 0 ? 1 : 2);
    sum += digit > 9 ? digit - 9 : digit;
  }
  return sum % 10 === 0;
}

const inGroups = (text: string, sizes: readonly number[], mark: string): string => {
  let at = 0;
  return sizes.map((size) => text.slice(at, (at += size))).join(mark);
};

function makeIban(): string {
  const [country, body] = pick([
    ["DE", digits(18)],
    ["GB", `NWBK${digits(14)}`],
    ["FR", digits(23)],
    ["NL", `ABNA${digits(10)}`],
    ["NO", digits(11)],
    ["MT", `MALT${digits(23)}`],
  ] as const);
  const numbers = Array.from(`${body}${country}00`, (letter) => parseInt(letter, 36)).join("");
  const iban = `${country}${String(98n - (BigInt(numbers) % 97n)).padStart(2, "0")}${body}`;
  return random(2) === 0 ? iban : iban.replace(/(.{4})(?=.)/g, "$1 ");
}

function makeCard(): string {
  const [start, length, groups] = pick([
    ["4", 16, [4, 4, 4, 4]],
    ["51", 16, [4, 4, 4, 4]],
    ["2230", 16, [4, 4, 4, 4]],
    ["37", 15, [4, 6, 5]],
    ["6011", 16, [4, 4, 4, 4]],
    ["3530", 16, [4, 4, 4, 4]],
    ["36", 14, [4, 6, 4]],
  ] as const);
  const card = withLuhn(start, length);
  return pick([card, inGroups(card, groups, " "), inGroups(card, groups, "-")]);
}

const makePhone = (): string =>
  pick([
    () => `+${1 + random(98)} ${digits(3)} ${digits(3)} ${digits(4)}`,
    () => `+49 (0) ${1 + random(9)}${digits(2)} ${digits(7)}`,
    () => `+44${digits(10)}`,
    () => `(${2 + random(8)}${digits(2)}) ${digits(3)}-${digits(4)}`,
    () => `${2 + random(8)}${digits(2)}-${digits(3)}-${digits(4)}`,
    () => `(0${digits(2)}) ${digits(3)} ${digits(4)} ext. ${1 + random(9)}${digits(2)}`,
  ])();

const NAMES = ["jane", "j.doe", "anna-maria", "o.neil+news", "user_42", "jürgen", "x"];
const HOSTS = ["example.com", "mail.example.co.uk", "straße.example.de", "a-b.example.org", "example.travel"];

const MAKE: Record<string, () => string> = {
  email: () => `${pick(NAMES)}${random(99)}@${pick(HOSTS)}`,
  iban: makeIban,
  card: makeCard,
  phone: makePhone,
  ssn: () => `${100 + random(500)}-${10 + random(89)}-${1_000 + random(8_999)}`,
  ip: () =>
    pick([
      () => [1 + random(223), random(256), random(256), random(256)].join("."),
      () => Array.from({ length: 8 }, () => hex(1 + random(4))).join(":"),
      () => `2001:db8::${hex(4)}:${hex(3)}`,
    ])(),
};

const SENTENCES = [
  "Please write to {email}, or call {phone} after five.",
  "My card is {card}, and the account {iban}.",
  'The user said: "{ssn} is mine, and {email} too."',
  "| {email} | {phone} | {ip} |",
  '{ip} - - [30/Nov/2026:10:00:00 +0000] "GET /users?mail={email} HTTP/1.1" 200',
  "Überweisung an {iban} (Rückfragen: {phone}).",
  '{"card":"{card}","ssn":"{ssn}","ip":"{ip}"}',
  "- {phone}\\n- {card}\\n- {iban}",
  "Der Server {ip} antwortet nicht; SSN {ssn}.",
  "カード番号は{card}です。メールは {email} へ。",
  "pay {card} 12/27 123 now",
  "from {ssn} to {iban}: {card}",
];

/** Sentences in some languages with values in them, whose checksums are right. */
export function makeSentences(count: number): Labelled[] {
  return Array.from({ length: count }, () => {
    let text = "";
    const values: Find[] = [];
    for (const part of pick(SENTENCES).split(/(\{\w+\})/)) {
      const kind = /^\{(\w+)\}$/.exec(part)?.[1];
      const value = kind === undefined ? part : MAKE[kind]!();
      if (kind !== undefined) values.push({ start: text.length, end: text.length + value.length, kind: kind as Kind });
      text += value;
    }
    return { text, values };
  });
}

/** What looks like it and is not: versions, dates, ids, hashes, measures, tables, code. */
export function makeLookAlikes(count: number): Labelled[] {
  const date = (): string => `20${10 + random(17)}-${10 + random(3)}-${10 + random(19)}`;
  const makers = [
    () => `commit ${hex(40)} at ${date()}T1${random(10)}:30:00Z took ${random(9_999)} ms`,
    () => `Order ${1 + random(9)}${digits(7 + random(3))} shipped on ${10 + random(19)}.${10 + random(3)}.2026`,
    () =>
      `v${random(20)}.${random(99)}.${random(999)} build ${digits(7)} id ${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`,
    () => `ISBN 978-3-${digits(2)}-${digits(6)}-${random(10)} and EAN 40${digits(11)}`,
    () => `const ratio = 0.${digits(12)}; // of 0x${hex(8)}`,
    () => `@user${random(99)} said: meet at 1${random(10)}:30 on page ${random(999)}-${1_000 + random(8_999)}`,
    () => `Table ${random(9)}: ${Array.from({ length: 8 }, () => random(10_000)).join(" ")}`,
    () => `https://example.com/a/${1 + random(9)}${digits(4 + random(5))}?t=17${digits(11)}`,
    () => `${date()} ${date()} 3.14159 1,234,567.89 ${random(99)}% 10^${random(9)} a::b std::map`,
    () => "The quick brown fox jumps over the lazy dog; who cares? It's 50/50 (or 60-40).",
  ];
  return Array.from({ length: count }, (_, i) => ({ text: makers[i % makers.length]!(), values: [] }));
}
