import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { sha256 } from "../wire/hash.ts";

/**
 * Credentials at rest: AES-256-GCM under a key of the deployment's. `RHONE_CREDENTIALS_KEY` holds one key or, while it is being
 * replaced, several with commas between: the first seals, all of them open. `{key's name}.{nonce}.{text and tag}`.
 */
export type VaultKeys = readonly { name: string; key: Buffer }[];

const ALGORITHM = "aes-256-gcm";
const TAG_BYTES = 16;

/** undefined: one of them is not 32 bytes in base64 or base64url. */
export function parseVaultKeys(setting: string): VaultKeys | undefined {
  const keys = setting.split(",").map((text) => Buffer.from(text.trim(), "base64"));
  if (keys.some(({ length }) => length !== 32)) return undefined;
  return keys.map((key) => ({ key, name: sha256(key.toString("base64")).slice(0, 8) }));
}

/** `place`: what the text belongs to; it opens nowhere else. */
export function encrypt(text: string, owner: string, [newest]: VaultKeys): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv(ALGORITHM, newest!.key, nonce).setAAD(Buffer.from(owner));
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return [newest!.name, nonce.toString("base64url"), sealed.toString("base64url")].join(".");
}

/** The inverse; undefined when the key is not among these, or something was changed. */
export function decrypt(text: string, owner: string, keys: VaultKeys): string | undefined {
  const [name, nonce = "", body = ""] = text.split(".");
  const found = keys.find((one) => one.name === name);
  if (found === undefined) return undefined;
  const sealed = Buffer.from(body, "base64url");
  try {
    const decipher = createDecipheriv(ALGORITHM, found.key, Buffer.from(nonce, "base64url"))
      .setAAD(Buffer.from(owner))
      .setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]).toString("utf8");
  } catch {
    return undefined;
  }
}

export const isEncryptedWith = (text: string, [newest]: VaultKeys): boolean => text.startsWith(`${newest!.name}.`);
