import type { Find } from "./find.ts";
import { isPlaceholder, isRandom } from "./secrets.ts";

/** Words of names that hold secrets. `max_tokens` and `tokenizer` do not. */
const NAME =
  /(?<!PII_)(?:token(?!s|iz)|secret(?!s?[_-]?manager)|passwo?r?d|passphrase|pwd|api_?-?key|access_?-?key|private_?-?key|credential|authorization|client_?-?id)/gi;
/** What may stand between such a word and its value: the rest of the name, quotes, a type, a sign. */
const SIGN = /([\w.\- ]{0,24})(?:["'`\])]{1,3}\s{0,3},|["'`\])]{0,3}\s{0,3}(?:[:?.]{0,3}=>?|:|>|\|\|))[\s"'`=]{0,12}/y;
/** Such a name is of something about a secret. */
const ABOUT =
  /(?:id|ids|name|length|len|size|url|uri|path|file|type|kind|count|ttl|version|expir\w*|_at|field|label|store|manager) *$/i;
const VALUE = /[A-Za-z0-9_.~+/=%@!#$^&*|:-]{6,256}/y;
const CLIENT_ID = /^client/i;
const PASSWORD = /^(?:passw|pwd|passphrase)/i;

/** `name = value`, in the manner of any language: the value, if its name says that it is secret and it does not look like code. */
export function findAssignments(text: string, found: Find[]): void {
  NAME.lastIndex = 0;
  for (let match; (match = NAME.exec(text)) !== null;) {
    SIGN.lastIndex = NAME.lastIndex;
    const sign = SIGN.exec(text);
    if (sign === null || (ABOUT.test(sign[1]!) && !CLIENT_ID.test(match[0]))) continue;
    VALUE.lastIndex = SIGN.lastIndex;
    const value = VALUE.exec(text)?.[0].replace(/[.,:]+$/, "");
    if (value === undefined) continue;
    const start = SIGN.lastIndex;
    const isQuoted = /["'`]$/.test(sign[0]);
    const accepts = PASSWORD.test(match[0]) ? isPassword(value, isQuoted) : value.length >= 10 && isRandom(value);
    if (!accepts || /[([]/.test(text[start + value.length] ?? "")) continue;
    found.push({ start, end: start + value.length, kind: "secret" });
    NAME.lastIndex = start + value.length;
  }
}

/** People choose passwords: quoted, anything but a word for one; otherwise with a digit or a sign among the letters. */
const isPassword = (value: string, isQuoted: boolean): boolean =>
  !isPlaceholder(value) && (isQuoted ? !/^[A-Za-z_. ]*$/.test(value) : /\d/.test(value) && /[A-Za-z]/.test(value));
