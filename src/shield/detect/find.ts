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

/**
 * A value in a text: UTF-16 offsets, `end` behind it. `from`: where it starts, if what is there belongs to another value. `core`:
 * what is behind it alone is no value.
 */
export type Find = { start: number; end: number; kind: Kind; from?: number; core?: number };

/**
 * Finds in the order of their places, each as far as none before it goes. Of two that start together a secret comes first, then the
 * longer one.
 */
export function withoutOverlaps(finds: readonly Find[]): Find[] {
  const sorted = finds.toSorted((a, b) => a.start - b.start || rankOf(a) - rankOf(b) || b.end - a.end);
  const apart: Find[] = [];
  let done = 0;
  for (const find of sorted) {
    if (done >= (find.core ?? find.end)) continue;
    apart.push(find.start >= done ? find : { from: find.start, ...find, start: done });
    done = find.end;
  }
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
