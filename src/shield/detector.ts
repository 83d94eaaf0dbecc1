import { findAssignments } from "./detect/assignments.ts";
import { findEmails } from "./detect/email.ts";
import { BLANK, type Find, type Kind, withoutOverlaps } from "./detect/find.ts";
import { findIbans } from "./detect/iban.ts";
import { findAddresses } from "./detect/ip.ts";
import { findNumbers } from "./detect/numbers.ts";
import { toItsEnd } from "./detect/open-secret.ts";
import { findPrivateKeys } from "./detect/pem.ts";
import { findSecrets } from "./detect/secrets.ts";

const NUMBERS: readonly Kind[] = ["card", "ssn", "phone"];

/**
 * Finds the values of these kinds in a text that `normalizeText` has read, from a place of it on; what stands before says what some
 * of them are. Takes time in proportion to the text, for any text.
 */
export function findValues(text: string, kinds: ReadonlySet<Kind>, from = 0): Find[] {
  const found: Find[] = [];
  if (kinds.has("email")) findEmails(text, found);
  if (kinds.has("secret")) {
    findPrivateKeys(text, found);
    findSecrets(text, found);
  }
  if (kinds.has("ip")) findAddresses(text, found);
  if (kinds.has("iban")) findIbans(text, found);
  let finds = settle(found, from, text);
  if (kinds.has("secret")) {
    const assigned: Find[] = [];
    findAssignments(withBlanks(text, finds), assigned);
    if (assigned.length > 0) finds = settle([...finds, ...assigned], from, text);
  }
  if (!NUMBERS.some((kind) => kinds.has(kind))) return finds;
  const numbers = findNumbers(withBlanks(text, finds), kinds, from);
  return numbers.length > 0 ? settle([...finds, ...numbers], from, text) : finds;
}

const settle = (found: readonly Find[], from: number, text: string): Find[] =>
  withoutOverlaps(found.flatMap((find) => (find.start < from ? [] : toItsEnd(find, text))));

/** The text without what is something already, which is no part of anything else. */
export function withBlanks(text: string, finds: readonly Find[]): string {
  if (finds.length === 0) return text;
  const parts: string[] = [];
  let at = 0;
  for (const { start, end } of finds) {
    parts.push(text.slice(at, start), BLANK.repeat(end - start));
    at = end;
  }
  return parts.join("") + text.slice(at);
}
