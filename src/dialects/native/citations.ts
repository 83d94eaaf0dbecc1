import type { Citation } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, numberOf, stringOf, withoutUndefined } from "../../wire/json.ts";

/** `start` and `end` are characters in the text of the block. */
export const decodeCitations = (citations: Json | undefined): Citation[] =>
  (Array.isArray(citations) ? citations : []).filter(isObject).map((cited) =>
    withoutUndefined({
      text: stringOf(cited.text),
      url: stringOf(cited.url),
      title: stringOf(cited.title),
      start: numberOf(cited.start),
      end: numberOf(cited.end),
    }),
  );

/** Inverse of `decodeCitations`. */
export const encodeCitation = ({ text, url, title, start, end }: Citation): JsonObject =>
  withoutUndefined({ text, url, title, start, end });
