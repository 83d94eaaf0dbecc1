import type { Find } from "./find.ts";
import { isPlaceholder, isRandom } from "./secrets.ts";

/** Words of names that hold secrets. `max_tokens` and `tokenizer` do not. */
const NAME =
  /(?<!PII_)(?:token(?!s|iz)|secret(?!s?[_-]?manager)|passwo?r?d|passphrase|pwd|api_?-?key|access_?-?key|private_?-?key|credential|authorization|client_?-?id|bearer|basic)/gi;
/** What may stand between such a word and its value: the rest of the name, quotes, a type, a sign. */
const SIGN = /([\w.\- ]{0,24})(?:["'`\])]{1,3}\s{0,3},|["'`\])]{0,3}\s{0,3}(?:[:?.]{0,3}=>?|:|>|\|\|))[\s"'`=]{0,12}/y;
/** Such a name is of something about a secret. */
const ABOUT =
  /(?:id|ids|name|length|len|size|url|uri|path|file|type|kind|count|ttl|version|expir\w*|_at|field|label|store|manager) *$/i;
const VALUE = /[A-Za-z0-9_.~+/=%@!#$^&*|:-]{6,256}/y;
/** RFC 9110, 11.6.2: a scheme, spaces, and what it takes. */
const SCHEME = /^(?:bearer|basic|token)$/i;
const SPACES = / {1,4}(?=[\w.~+/-]{16})/y;
const CLIENT_ID = /^client/i;
const PASSWORD = /^(?:passw|pwd|passphrase)/i;

/**
 * `name = value`, in the manner of any language, and what follows a scheme of authorization: the value, if its name says that it is
 * secret and it does not look like code.
 */
export function findAssignments(text: string, found: Find[]): void {
  NAME.lastIndex = 0;
  for (let match; (match = NAME.exec(text)) !== null;) {
    const start = findStart(text, match[0], NAME.lastIndex);
    if (start === undefined) continue;
    VALUE.lastIndex = start;
    const value = VALUE.exec(text)?.[0].replace(/[.,:]+$/, "");
    if (value === undefined || /[([]/.test(text[start + value.length] ?? "")) continue;
    const isQuoted = /["'`]/.test(text[start - 1]!);
    const accepts = PASSWORD.test(match[0]) ? isPassword(value, isQuoted) : value.length >= MIN && isRandom(value);
    if (!accepts) continue;
    found.push({ start, end: start + value.length, kind: "secret" });
    NAME.lastIndex = start + value.length;
  }
}

/** Characters of the shortest value that was not chosen by people. */
const MIN = 10;

/** Where a value may start behind a word of a name. */
function findStart(text: string, word: string, end: number): number | undefined {
  SPACES.lastIndex = end;
  if (SCHEME.test(word) && SPACES.test(text)) return SPACES.lastIndex;
  SIGN.lastIndex = end;
  const sign = SIGN.exec(text);
  return sign === null || (ABOUT.test(sign[1]!) && !CLIENT_ID.test(word)) ? undefined : SIGN.lastIndex;
}

/** People choose passwords: quoted, anything but a word for one; otherwise with a digit or a sign among the letters. */
const isPassword = (value: string, isQuoted: boolean): boolean =>
  !isPlaceholder(value) && (isQuoted ? !/^[A-Za-z_. ]*$/.test(value) : /\d/.test(value) && /[A-Za-z]/.test(value));
