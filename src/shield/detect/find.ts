/** What a value is. Patterns of a profile have kinds of their own. */
export type Kind =
  | "secret"
  | "email"
  | "phone"
  | "card"
  | "iban"
  | "ssn"
  | "national_id"
  | "ip"
  | "name"
  | `pattern:${string}`;

/** A value in a text: UTF-16 offsets, `end` behind it. */
export type Find = { start: number; end: number; kind: Kind };

/**
 * Finds in the order of their places, none within another: of two that overlap, the one that starts first; of those a secret, then
 * the longer one.
 */
export function withoutOverlaps(finds: readonly Find[]): Find[] {
  const sorted = finds.toSorted((a, b) => a.start - b.start || rankOf(a) - rankOf(b) || b.end - a.end);
  const apart: Find[] = [];
  for (const find of sorted) if (find.start >= (apart.at(-1)?.end ?? 0)) apart.push(find);
  return apart;
}

/** Stands for each character of what is something already: of private use, it is part of no value, and of nothing before one. */
export const BLANK = "\ue000";

const rankOf = ({ kind }: Find): number => (kind === "secret" ? 0 : 1);

export const isDigit = (code: number): boolean => code >= 48 && code <= 57;
export const isUpper = (code: number): boolean => code >= 65 && code <= 90;
export const isLower = (code: number): boolean => code >= 97 && code <= 122;
/** A letter, a digit or an underscore of ASCII: what regular expressions call a word character. */
export const isWordCharacter = (code: number): boolean =>
  isDigit(code) || isUpper(code) || isLower(code) || code === 95;
