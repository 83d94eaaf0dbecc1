import type { Find } from "./find.ts";

const BEGIN = /-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----/g;
/** A line's end, also as `normalizeText` reads one that a program wrote in a text. */
const BREAK = "(?:[\\r\\n]|\\\\ )";
/** RFC 7468, 2 and 3; RFC 1421, 4.6 for the headers of encrypted keys; RFC 9580, 6.2. */
const BODY = new RegExp(
  `(?:${BREAK}|[ \\t])*(?:[A-Za-z][A-Za-z-]{1,30}: [^\\r\\n\\\\]{0,100}${BREAK}+)*${BREAK}*[ \\t]*[A-Za-z0-9+/=]{16}` +
    `(?:[A-Za-z0-9+/=]|${BREAK}[ \\t]{0,8})*(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?`,
  "y",
);

/** All that a body may start with. */
const UNFINISHED = new RegExp(
  `^(?:${BREAK}|[ \\t]|\\\\)*(?:[A-Za-z][A-Za-z-]{1,30}: ?[^\\r\\n\\\\]{0,100}(?:${BREAK}+|\\\\|$))*(?:[A-Za-z0-9+/=-]|${BREAK}[ \\t]{0,8}|\\\\$)*` +
    `(?:-----END[A-Z0-9 ]*-{0,4})?$`,
);

/** Private keys, from their first line to their last, or as far as there is key. */
export function findPrivateKeys(text: string, found: Find[]): void {
  if (!text.includes("PRIVATE KEY")) return;
  BEGIN.lastIndex = 0;
  for (let match; (match = BEGIN.exec(text)) !== null;) {
    BODY.lastIndex = BEGIN.lastIndex;
    if (BODY.exec(text) === null) continue;
    found.push({ start: match.index, end: BODY.lastIndex, kind: "secret" });
    BEGIN.lastIndex = BODY.lastIndex;
  }
}

const OPEN = /-----BEGIN(?: [A-Z0-9]*){0,5}-{0,5}$/;

/** Where a private key starts that may go on behind the end of a text; its length if there is none. */
export function openKeyAt(text: string): number {
  const at = text.lastIndexOf("-----BEGIN ");
  if (at < 0) return text.length;
  const rest = text.slice(at);
  if (OPEN.test(rest)) return at;
  BEGIN.lastIndex = 0;
  if (BEGIN.exec(rest)?.index !== 0) return text.length;
  return UNFINISHED.test(rest.slice(BEGIN.lastIndex)) ? at : text.length;
}
