import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { sha256 } from "../wire/hash.ts";

/**
 * Keys for credentials at rest, newest first: AES-256-GCM (NIST SP 800-38D). `RHONE_CREDENTIALS_KEY` has one key or, while
 * it is being replaced, several separated by commas: the first encrypts, all of them decrypt. Format of a ciphertext:
 * `{name of the key}.{nonce}.{text and tag}`, in base64url. `name`: the first 8 characters of the key's SHA-256.
 */
export type VaultKeys = readonly { name: string; key: Buffer }[];

const ALGORITHM = "aes-256-gcm";
/** Length of GCM's authentication tag, at the end of the ciphertext. Bytes. */
const TAG_BYTES = 16;

/** Reads RHONE_CREDENTIALS_KEY. undefined: one of the keys is not 32 bytes in base64 or base64url. */
export function parseVaultKeys(setting: string): VaultKeys | undefined {
  const keys = setting.split(",").map((text) => Buffer.from(text.trim(), "base64"));
  if (keys.some(({ length }) => length !== 32)) return undefined;
  return keys.map((key) => ({ key, name: sha256(key.toString("base64")).slice(0, 8) }));
}

/** Keys for one purpose, each from a secret of its own. */
export const deriveVaultKeys = (secrets: readonly string[], purpose: string): VaultKeys =>
  secrets.map((secret) => {
    const key = createHmac("sha256", secret).update(purpose).digest();
    return { key, name: sha256(key.toString("base64")).slice(0, 8) };
  });

/** Encrypts with the newest key. `owner`: whom the text belongs to; it is authenticated, so a copy for another owner cannot be decrypted. */
export function encrypt(text: string, owner: string, [newest]: VaultKeys): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv(ALGORITHM, newest!.key, nonce).setAAD(Buffer.from(owner));
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return [newest!.name, nonce.toString("base64url"), sealed.toString("base64url")].join(".");
}

/** The inverse of `encrypt`. undefined: the key is not among these, or text or owner were changed. */
export function decrypt(text: string, owner: string, keys: VaultKeys): string | undefined {
  const [name, nonce = "", body = ""] = text.split(".");
  const found = keys.find((one) => one.name === name);
  if (found === undefined) return undefined;
  const sealed = Buffer.from(body, "base64url");
  try {
    const decipher = createDecipheriv(ALGORITHM, found.key, Buffer.from(nonce, "base64url"), {
      authTagLength: TAG_BYTES,
    })
      .setAAD(Buffer.from(owner))
      .setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]).toString("utf8");
  } catch {
    return undefined;
  }
}

/** Whether a ciphertext is of the newest key; others are encrypted again when they are read. */
export const isEncryptedWith = (text: string, [newest]: VaultKeys): boolean => text.startsWith(`${newest!.name}.`);
