import type { Find, Kind } from "./detect/find.ts";
import type { NameList } from "./detect/names.ts";

/** A pattern of a profile. `reach`: characters of the longest match that counts; a stream holds back as many. */
export type CustomPattern = { find: (text: string) => Find[]; reach: number };

/** What is looked for. `allowed`: what is only counted: of no part of what the others find. */
export type Rules = {
  kinds: ReadonlySet<Kind>;
  names?: NameList;
  patterns?: readonly CustomPattern[];
  allowed?: Rules;
};

/** All that is found without a list or a pattern. */
export const ALL_KINDS: ReadonlySet<Kind> = new Set([
  "secret",
  "email",
  "phone",
  "card",
  "iban",
  "ssn",
  "national_id",
  "ip",
]);
