import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseEnv } from "node:util";
import { parseVaultKeys } from "../src/keys/vault.ts";
import { readProviders, listSettingNames } from "../src/providers/registry.ts";
import { ConfigError, readConfig } from "../src/routing/config.ts";
import { UserError } from "./user-error.ts";

export const PROJECT = join(import.meta.dirname, "..");

export type Settings = {
  port: number;
  /** Absolute; exists and can be written. */
  stateDir: string;
  adminKey: string;
  /** The file that holds the key if it was generated. */
  adminKeyFile?: string;
  /** The secrets and settings of the worker. */
  secrets: Record<string, string>;
  /** One for each provider row that is left out, with the reason. */
  warnings: string[];
};

/** Reads the settings of `npm start` and `npm run serve`: the environment, then `.dev.vars`. */
export function readSettings(): Settings {
  const environment = readEnvironment();
  const port = readPort(environment.PORT);
  const warnings = checkProviders(environment);
  checkKeySettings(environment);
  const stateDir = readStateDir(environment.RHONE_STATE_DIR);
  const key: Pick<Settings, "adminKey" | "adminKeyFile"> =
    environment.RHONE_ADMIN_KEY === undefined
      ? readOrCreateAdminKey(stateDir)
      : { adminKey: environment.RHONE_ADMIN_KEY };
  if (!isAdminKey(key.adminKey))
    throw new UserError(`${key.adminKeyFile ?? "RHONE_ADMIN_KEY"}: expected ${ADMIN_KEY_SHAPE}`);
  return {
    port,
    stateDir,
    ...key,
    warnings,
    // Of D1 there is only this process's own, so the way through the queue would only cost.
    secrets: {
      ...workerSecrets(environment),
      RHONE_ADMIN_KEY: key.adminKey,
      RHONE_RECORDS_VIA: "direct",
      RHONE_SHIELD_KEY: environment.RHONE_SHIELD_KEY ?? readOrCreateShieldKey(stateDir),
    },
  };
}

export const ADMIN_KEY_SHAPE = "rhone_sk_ and 8 to 256 letters, digits, - or _";
export const isAdminKey = (text: string): boolean => /^rhone_sk_[A-Za-z0-9_-]{8,256}$/.test(text);
export const makeAdminKey = (): string => `rhone_sk_${randomBytes(32).toString("base64url")}`;

/** A new secret of the shield. It is never replaced: with another one, values have other tags. */
export const makeShieldKey = (): string => randomBytes(32).toString("base64");

type Environment = Record<string, string | undefined>;

/** `.dev.vars` and the environment, which takes precedence. An empty value counts as absent: a shell can unset a setting so. */
export function readEnvironment(): Environment {
  const file = join(PROJECT, ".dev.vars");
  const all = { ...(existsSync(file) && parseEnv(readFileSync(file, "utf8"))), ...process.env };
  const environment: Environment = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
  const { RHONE_CONFIG: config } = environment;
  return config === undefined ? environment : { ...environment, RHONE_CONFIG: readConfigText(config) };
}

/** JSON, or the path of a file with it. */
function readConfigText(environment: string): string {
  if (environment.trimStart().startsWith("{")) return environment;
  try {
    return readFileSync(resolve(PROJECT, environment), "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UserError(
      `RHONE_CONFIG: expected JSON or the path of a file with it, got ${quote(environment)} (${code})`,
    );
  }
}

/**
 * The settings that the worker reads: `RHONE_…`, the credentials and base URLs of the built-in provider rows, and the secrets that the
 * configuration lists for tools.
 */
export function workerSecrets(environment: Environment): Record<string, string> {
  const names = [...listSettingNames(), "RHONE_CONFIG", "RHONE_KEY_TTL", "RHONE_CREDENTIALS_KEY", "RHONE_SHIELD_KEY"];
  names.push(...listToolSecretNames(environment.RHONE_CONFIG));
  return Object.fromEntries(
    names.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
}

/** None of an invalid configuration: `checkRouting` says what is wrong with that. */
function listToolSecretNames(config: string | undefined): string[] {
  try {
    return [...readConfig(config).toolSecrets.keys()];
  } catch (error) {
    if (error instanceof ConfigError) return [];
    throw error;
  }
}

/** Returns a warning for each invalid row of the lists, since the other rows work; throws a `UserError` for any other fault. */
export function checkProviders(environment: Environment): string[] {
  const { problems } = readProviders(environment);
  const failure = problems.find((problem) => !/^RHONE_(PROVIDERS|PRICES)\[/.test(problem));
  if (failure !== undefined) throw new UserError(failure);
  return problems;
}

/** Throws a `UserError` if a setting of keys or credentials is invalid; see docs/keys.md. */
export function checkKeySettings({ RHONE_KEY_TTL: ttl, RHONE_CREDENTIALS_KEY: vault }: Environment): void {
  if (ttl !== undefined && ttl !== "optional" && ttl !== "required")
    throw new UserError(`RHONE_KEY_TTL: expected required or optional, got ${quote(ttl)}`);
  if (vault !== undefined && parseVaultKeys(vault) === undefined)
    throw new UserError("RHONE_CREDENTIALS_KEY: expected 32 bytes in base64, or new,old while it is being replaced");
}

function readPort(text = "8787"): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535)
    throw new UserError(`PORT: expected a whole number from 1 to 65535, got ${quote(text)}`);
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
    throw new UserError(`RHONE_STATE_DIR: expected a directory that can be written, got ${quote(text)} (${code})`);
  }
  return dir;
}

/**
 * Creates a directory that only its owner can read: the state holds conversations and the generated key.
 * (`mkdirSync` with `recursive` never returns if the system answers ENOENT for an existing parent, as below /proc.)
 */
function makeDir(dir: string): void {
  if (existsSync(dir)) return;
  makeDir(dirname(dir));
  mkdirSync(dir, { mode: 0o700 });
}

function readOrCreateAdminKey(stateDir: string): Pick<Settings, "adminKey" | "adminKeyFile"> {
  const adminKeyFile = join(stateDir, "admin-key");
  if (!existsSync(adminKeyFile)) writeFileSync(adminKeyFile, `${makeAdminKey()}\n`, { mode: 0o600 });
  return { adminKey: readFileSync(adminKeyFile, "utf8").trim(), adminKeyFile };
}

/** It stays with the state: what stands for values follows from it. */
function readOrCreateShieldKey(stateDir: string): string {
  const file = join(stateDir, "shield-key");
  if (!existsSync(file)) writeFileSync(file, `${makeShieldKey()}\n`, { mode: 0o600 });
  return readFileSync(file, "utf8").trim();
}

const quote = (text: string): string => JSON.stringify(text);
