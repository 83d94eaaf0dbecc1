import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseEnv } from "node:util";
import { parseVaultKeys } from "../src/keys/vault.ts";
import { readProviders, listSettingNames } from "../src/providers/registry.ts";
import { Refusal } from "./refusal.ts";

export const PROJECT = join(import.meta.dirname, "..");

export type Settings = {
  port: number;
  /** Absolute; exists and can be written. */
  stateDir: string;
  adminKey: string;
  /** The file that holds the key when it was made up here. */
  adminKeyFile?: string;
  /** What the worker receives as secrets. */
  secrets: Record<string, string>;
  /** Provider rows that were left out, and why. */
  warnings: string[];
};

/** The settings of `npm start` and `npm run serve` (SPEC 20): the environment first, then `.dev.vars`. */
export function readSettings(): Settings {
  const given = readGiven();
  const port = readPort(given.PORT);
  const warnings = checkProviders(given);
  checkKeySettings(given);
  const stateDir = readStateDir(given.RHONE_STATE_DIR);
  const key: Pick<Settings, "adminKey" | "adminKeyFile"> =
    given.RHONE_ADMIN_KEY === undefined ? keptAdminKey(stateDir) : { adminKey: given.RHONE_ADMIN_KEY };
  if (!isAdminKey(key.adminKey))
    throw new Refusal(`${key.adminKeyFile ?? "RHONE_ADMIN_KEY"}: expected ${ADMIN_KEY_SHAPE}`);
  return { port, stateDir, ...key, warnings, secrets: { ...workerSecrets(given), RHONE_ADMIN_KEY: key.adminKey } };
}

export const ADMIN_KEY_SHAPE = "rhone_sk_ and 8 to 256 letters, digits, - or _";
export const isAdminKey = (text: string): boolean => /^rhone_sk_[A-Za-z0-9_-]{8,256}$/.test(text);
export const makeAdminKey = (): string => `rhone_sk_${randomBytes(32).toString("base64url")}`;

type Given = Record<string, string | undefined>;

/** An empty value is an absent one: that is how a shell switches a setting off. */
export function readGiven(): Given {
  const file = join(PROJECT, ".dev.vars");
  const all = { ...(existsSync(file) && parseEnv(readFileSync(file, "utf8"))), ...process.env };
  const given: Given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
  const { RHONE_CONFIG: config } = given;
  return config === undefined ? given : { ...given, RHONE_CONFIG: textOfConfig(config) };
}

/** JSON, or the path of a file with it. */
function textOfConfig(given: string): string {
  if (given.trimStart().startsWith("{")) return given;
  try {
    return readFileSync(resolve(PROJECT, given), "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Refusal(`RHONE_CONFIG: expected JSON or the path of a file with it, got ${quote(given)} (${code})`);
  }
}

/** `RHONE_PROVIDERS`, `RHONE_PRICES`, `RHONE_CONFIG`, and the credentials and origins of the shipped rows: what a worker needs to call providers. */
export function workerSecrets(given: Given): Record<string, string> {
  const names = [...listSettingNames(), "RHONE_CONFIG", "RHONE_KEY_TTL", "RHONE_CREDENTIALS_KEY"];
  return Object.fromEntries(names.flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])));
}

/** A bad row of the list is a warning, since the others stand; anything else that is wrong is refused. */
export function checkProviders(given: Given): string[] {
  const { problems } = readProviders(given);
  const refused = problems.find((problem) => !/^RHONE_(PROVIDERS|PRICES)\[/.test(problem));
  if (refused !== undefined) throw new Refusal(refused);
  return problems;
}

/** Throws what is wrong with the settings of keys and credentials; see docs/keys.md. */
export function checkKeySettings({ RHONE_KEY_TTL: ttl, RHONE_CREDENTIALS_KEY: vault }: Given): void {
  if (ttl !== undefined && ttl !== "optional" && ttl !== "required")
    throw new Refusal(`RHONE_KEY_TTL: expected required or optional, got ${quote(ttl)}`);
  if (vault !== undefined && parseVaultKeys(vault) === undefined)
    throw new Refusal("RHONE_CREDENTIALS_KEY: expected 32 bytes in base64, or new,old while it is being replaced");
}

function readPort(text = "8787"): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new Refusal(`PORT: expected a whole number from 1 to 65535, got ${quote(text)}`);
  return port;
}

function readStateDir(text = join(".rhone", "state")): string {
  const dir = resolve(PROJECT, text);
  try {
    makeDir(dir);
    readdirSync(dir);
    accessSync(dir, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Refusal(`RHONE_STATE_DIR: expected a directory that can be written, got ${quote(text)} (${code})`);
  }
  return dir;
}

/**
 * The state holds conversations and the made-up key: a directory that is created here is its owner's alone.
 * (`mkdirSync` with `recursive` never returns where the system refuses with ENOENT, as below /proc.)
 */
function makeDir(dir: string): void {
  if (existsSync(dir)) return;
  makeDir(dirname(dir));
  mkdirSync(dir, { mode: 0o700 });
}

function keptAdminKey(stateDir: string): Pick<Settings, "adminKey" | "adminKeyFile"> {
  const adminKeyFile = join(stateDir, "admin-key");
  if (!existsSync(adminKeyFile)) writeFileSync(adminKeyFile, `${makeAdminKey()}\n`, { mode: 0o600 });
  return { adminKey: readFileSync(adminKeyFile, "utf8").trim(), adminKeyFile };
}

const quote = (text: string): string => JSON.stringify(text);
