import type { JsonObject } from "../../wire/json.ts";
import { createIdSource } from "../answer-calls.ts";

/**
 * Facts outside of a part that its block depends on: the issuer of signatures, and ids for calls without one.
 */
export type DecodeContext = { seal?: string; newId: (name: string) => string };

/**
 * Ids follow from position and name, so that a transcript that is decoded twice has the same ids. `scope`: of
 * an answer, the id of the gateway's call; it makes them unique within a session.
 */
export function newDecodeContext(seal: string | undefined, scope = ""): DecodeContext {
  return { ...(seal !== undefined && { seal }), newId: createIdSource(scope) };
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
