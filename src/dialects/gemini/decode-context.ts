import { sha256 } from "../../wire/hash.ts";
import type { JsonObject } from "../../wire/json.ts";

/**
 * Facts outside of a part that its block depends on: the issuer of signatures, and ids for calls without one.
 */
export type DecodeContext = { seal?: string; newId: (name: string) => string };

/**
 * Ids follow from position and name, so that a transcript that is decoded twice has the same ids. `scope`: of
 * an answer, the id of the gateway's call; it makes them unique within a session.
 */
export function newDecodeContext(seal: string | undefined, scope = ""): DecodeContext {
  let count = 0;
  const newId = (name: string): string => `call_${sha256(`${scope}/${count++}/${name}`).slice(0, 22)}`;
  return { ...(seal !== undefined && { seal }), newId };
}

/** The id of a call or a result; one without an id is assigned the next one. */
export function readToolId(
  item: JsonObject,
  name: string,
  { newId }: DecodeContext,
): { id: string; isIdAssigned?: true } {
  const id = idOf(item);
  return id === undefined ? { id: newId(name), isIdAssigned: true } : { id };
}

/** The id in the wire; many answers and most clients have none. */
export const idOf = (item: JsonObject): string | undefined =>
  typeof item.id === "string" && item.id !== "" ? item.id : undefined;
