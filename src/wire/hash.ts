import { createHash, timingSafeEqual } from "node:crypto";

/** SHA-256 as 43 characters of base64url. Native and synchronous, in workerd as in Node. */
export const sha256 = (text: string): string => createHash("sha256").update(text).digest("base64url");

/** Compares two secrets in a time that tells nothing of where they differ, nor of their lengths. */
export function equalSecrets(a: string, b: string): boolean {
  return timingSafeEqual(createHash("sha256").update(a).digest(), createHash("sha256").update(b).digest());
}
