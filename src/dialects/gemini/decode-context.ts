import { sha256 } from "../../wire/hash.ts";
import type { JsonObject } from "../../wire/json.ts";

/** What a part's view depends on beside the part: who signed it, and which id a call without one gets. */
export type DecodeContext = { seal?: string; newId: (name: string) => string };

/** Ids follow from place and name, so that a transcript read twice has the same ones. `scope`: the answer's own id. */
export function newDecodeContext(seal: string | undefined, scope = ""): DecodeContext {
  let count = 0;
  const newId = (name: string): string => `call_${sha256(`${scope}/${count++}/${name}`).slice(0, 22)}`;
  return { ...(seal !== undefined && { seal }), newId };
}

/** The id that the wire itself says. */
export const idOf = (item: JsonObject): string | undefined =>
  typeof item.id === "string" && item.id !== "" ? item.id : undefined;
