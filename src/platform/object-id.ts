import { decodeObjectId } from "../wire/id.ts";

/**
 * The platform's form of an encoded object id (see wire/id.ts). `undefined` for text that is no object id, and for an id
 * of another namespace or deployment: `idFromString` throws for it.
 */
export function parseObjectId(
  namespace: Pick<DurableObjectNamespace, "idFromString">,
  objectId: string,
): DurableObjectId | undefined {
  const hex = decodeObjectId(objectId);
  if (hex === undefined) return undefined;
  try {
    return namespace.idFromString(hex);
  } catch {
    return undefined;
  }
}
