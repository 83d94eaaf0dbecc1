import { isObject, type Json } from "../wire/json.ts";

/**
 * Beginning of a text in which a client carries a provider's sealed item for the gateway, where the client's wire has a place
 * for sealed items of its own provider. Its first character is rare in requests, which makes the search for it fast.
 */
export const CARRIED = "~rhone-sealed.";

/** The seal of an item that has such a text: the id of no provider has a tilde. */
export const CARRIED_SEAL = "~carried";

/** Whether there can be such a text in some JSON. */
export const mayCarry = (json: string): boolean => json.includes(CARRIED);

/** The text in a wire item: Anthropic's `signature`, `encrypted_content` in Responses. */
export function carriedTextOf(item: Json): string | undefined {
  return isObject(item) ? [item.signature, item.encrypted_content].find(isCarried) : undefined;
}

const isCarried = (value: Json | undefined): value is string => typeof value === "string" && value.startsWith(CARRIED);

/**
 * The seal of a wire item: its `issuer` if it is sealed and of an answer, also of another gateway of this kind; that of what
 * a client carries if it is of a request.
 */
export function sealOf(item: Json, isSealed: (item: Json) => boolean, issuer: string | undefined): { seal?: string } {
  if (issuer !== undefined && isSealed(item)) return { seal: issuer };
  return carriedTextOf(item) === undefined ? {} : { seal: CARRIED_SEAL };
}
