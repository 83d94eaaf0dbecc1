import type { Find } from "./find.ts";

/** Letters with marks are a part of addresses in Latin script; in other scripts a word stands beside them without a space. */
const LOCAL = /[A-Za-z0-9._%+\-À-ɏ]/;
const DOMAIN =
  /(?:[A-Za-z0-9À-ɏ](?:[A-Za-z0-9À-ɏ-]{0,62})\.){1,8}(?:[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{2,59})(?![A-Za-z0-9])/y;
/** RFC 5321, 4.5.3.1.1. */
const MAX_LOCAL = 64;
const SIGNS = ["@", "%40"];

/** E-mail addresses, from each `@` outwards: also one that is percent-encoded. */
export function findEmails(text: string, found: Find[]): void {
  for (const sign of SIGNS)
    for (let at = text.indexOf(sign); at >= 0; at = text.indexOf(sign, at + 1)) {
      const start = startOfLocal(text, at);
      if (start === at) continue;
      DOMAIN.lastIndex = at + sign.length;
      const domain = DOMAIN.exec(text);
      if (domain !== null) found.push({ start, end: DOMAIN.lastIndex, kind: "email", core: at });
    }
}

function startOfLocal(text: string, at: number): number {
  let start = at;
  while (start > 0 && at - start < MAX_LOCAL && LOCAL.test(text[start - 1]!)) start--;
  // No address starts with a dot or a dash: those are the sentence's.
  while (start < at && /[.\-%]/.test(text[start]!)) start++;
  return start;
}
