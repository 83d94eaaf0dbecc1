import { decodeSse } from "../../../src/wire/sse.ts";

const SAID = new Set(["content", "text", "delta", "arguments", "partial_json", "to"]);

/** What an answer says, its pieces joined: of a whole answer, a stream of events, or the frames of a socket, one a line. */
export function saidIn(text: string): string {
  const strings: string[] = [];
  for (const json of text.startsWith("{") ? [text, ...text.split("\n")] : dataOf(text)) {
    const before = strings.length;
    try {
      JSON.parse(json, (key, value: unknown) => {
        if (typeof value === "string" && SAID.has(key)) strings.push(value);
        return value;
      });
      if (json === text) break;
    } catch {
      // `[DONE]`, or frames that are no JSON together.
      strings.length = before;
    }
  }
  return strings.join("");
}

const dataOf = (text: string): string[] => decodeSse(new TextEncoder().encode(text)).map(({ data }) => data ?? "");
