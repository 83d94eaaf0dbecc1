import { hash, timingSafeEqual } from "node:crypto";
import { encodeUtf8 } from "./bytes.ts";

/** SHA-256 as 43 characters of base64url. Native and synchronous, in workerd as in Node. */
export const sha256 = (text: string): string => hash("sha256", text, "base64url");

/** Compares two secrets. The time taken depends neither on the position of the first difference nor on the lengths. */
export const areSecretsEqual = (a: string, b: string): boolean => areDigestsEqual(sha256(a), sha256(b));

/** Compares two digests of `sha256` in constant time. Digests have one length, so different lengths need no such care. */
export const areDigestsEqual = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(encodeUtf8(a), encodeUtf8(b));
