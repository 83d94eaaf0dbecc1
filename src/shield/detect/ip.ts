import type { Find } from "./find.ts";

const V4 = /\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\w|\.\d)/g;
const V6 = /(?<![\w:.])(?:[A-Fa-f0-9]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[A-Fa-f0-9]{0,4})(?![\w:])/g;

/** Most texts have nothing like it. */
const LIKE_V4 = /\d\.\d{1,3}\.\d/;
const LIKE_V6 = /[A-Fa-f0-9:]:[A-Fa-f0-9]{0,4}:/;

export function findAddresses(text: string, found: Find[]): void {
  if (LIKE_V4.test(text)) collect(text, V4, found, (_, at) => text[at - 1] !== ".");
  if (LIKE_V6.test(text)) collect(text, V6, found, isV6);
}

/** RFC 4291, 2.2: eight groups, or fewer with one `::`. `a::b` is a name in some languages: a digit makes it an address. */
function isV6(address: string): boolean {
  if (!/\d/.test(address)) return false;
  const groups = address.split(":").length + Number(address.includes("."));
  const shortened = address.split("::").length - 1;
  return shortened === 0 ? groups === 8 : shortened === 1 && groups <= 8 && address.length > 3;
}

function collect(text: string, pattern: RegExp, found: Find[], accepts: (value: string, at: number) => boolean): void {
  for (const { index, 0: value } of text.matchAll(pattern))
    if (accepts(value, index)) found.push({ start: index, end: index + value.length, kind: "ip" });
}
