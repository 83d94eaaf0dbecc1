import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { PROJECT } from "./settings.ts";

export const WRANGLER_CONFIG = join(PROJECT, "wrangler.toml");

/** What the scripts read of `wrangler.toml`; wrangler's own type imports a package that is not published. */
export type Config = {
  name: string;
  main: string;
  d1_databases: { binding: string; database_name: string; database_id: string; migrations_dir: string }[];
  queues: { consumers: { queue: string; dead_letter_queue: string }[] };
  r2_buckets: { bucket_name: string }[];
};

export async function readConfig(): Promise<Config> {
  const { experimental_readRawConfig } = await import("wrangler");
  return experimental_readRawConfig({ config: WRANGLER_CONFIG }).rawConfig as Config;
}

/** No metrics, no banner, no log files, and no `.env` besides `.dev.vars`. */
export const QUIET = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_WRITE_LOGS: "false",
  CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV: "false",
};

/** Keeps wrangler from reading `.dev.vars`, which it would prefer to the environment. */
export const NO_ENV_FILES = ["/dev/null"];

/** The program itself: `bin/wrangler.js` would start it as a child process, which this process could not end. */
const COMMAND = join(PROJECT, "node_modules", "wrangler", "wrangler-dist", "cli.js");

export type Outcome = { ok: boolean; stdout: string; stderr: string };

/** Runs wrangler to its end. Secrets are passed as `input`, never as arguments, which the process list shows. */
export async function runWrangler(
  args: string[],
  { input, show = false, env = {} }: { input?: string; show?: boolean; env?: Record<string, string> } = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, ["--no-warnings", COMMAND, ...args], {
    cwd: PROJECT,
    env: { ...process.env, ...QUIET, ...env },
    stdio: [
      input !== undefined ? "pipe" : show ? "inherit" : "ignore",
      show ? "inherit" : "pipe",
      show ? "inherit" : "pipe",
    ],
  });
  child.stdin?.end(input);
  const [stdout, stderr, [code]] = await Promise.all([
    child.stdout === null ? "" : text(child.stdout),
    child.stderr === null ? "" : text(child.stderr),
    once(child, "close") as Promise<[number | null]>,
  ]);
  return { ok: code === 0, stdout, stderr };
}
