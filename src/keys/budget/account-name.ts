/** An account's name is the id of its object with a suffix. A tag may contain any character, an id neither `#` nor `^`. */
export const nameTagAccount = (organization: string, tag: string): string => `${organization}#${tag}`;

/** The account of a key that is charged as the parent of the calling key. */
export const namePayerAccount = (key: string): string => `${key}^`;

/** The inverse. `isPayer`: the key is charged as the parent of the calling key. */
export function parseAccountName(name: string): { id: string; tag?: string; isPayer: boolean } {
  const hash = name.indexOf("#");
  if (hash > 0) return { id: name.slice(0, hash), tag: name.slice(hash + 1), isPayer: false };
  const isPayer = name.endsWith("^");
  return { id: isPayer ? name.slice(0, -1) : name, isPayer };
}
