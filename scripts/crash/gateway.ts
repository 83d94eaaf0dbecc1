import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { bundle } from "../bundle.ts";
import type { LocalGateway } from "../local/gateway.ts";
import { migrate } from "../local/migrate.ts";
import { freePort, HOST } from "../local/port.ts";
import { createRuntime } from "../local/runtime.ts";
import { readSettings } from "../settings.ts";
import { UserError } from "../user-error.ts";
import { QUIET, readConfig } from "../wrangler.ts";

export type Gateway = { url: string };

const KEY = "rhone_sk_crash_checker";
const HEADERS = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
/** Every process that was started. The last workerd among them is the runtime. */
const children: ChildProcess[] = [];

/** Starts the gateway so that its runtime can be killed. `state`: where it stores; `config`: its RHONE_CONFIG. */
export async function startKillable(
  state: string,
  config?: object,
): Promise<{ gateway: Gateway; dispose: () => Promise<void> }> {
  Object.assign(process.env, { PORT: String(await freePort()), RHONE_STATE_DIR: state, RHONE_ADMIN_KEY: KEY });
  Object.assign(process.env, { WRANGLER_LOG: "error", CLOUDFLARE_CF_FETCH_ENABLED: "false", ...QUIET });
  if (config !== undefined) process.env.RHONE_CONFIG = JSON.stringify(config);
  const local: LocalGateway = { settings: readSettings(), config: await readConfig(), persistDir: join(state, "v3") };
  await migrate(local.config, local.persistDir);
  subscribe("child_process", (message) => void children.push((message as { process: ChildProcess }).process));
  const runtime = await createRuntime(await bundle(), local);
  await runtime.ready;
  const gateway: Gateway = { url: `http://${HOST}:${local.settings.port}` };
  await waitUntilHealthy(gateway.url);
  return { gateway, dispose: () => runtime.dispose() };
}

/** Kills the runtime (SIGKILL). Miniflare starts it again, with the same worker on the same port. */
export async function killRuntime({ url }: Gateway): Promise<void> {
  const runtime = children.findLast(({ spawnfile }) => spawnfile.endsWith("workerd"))!;
  const ended = new Promise((resolve) => runtime.once("exit", resolve));
  runtime.kill("SIGKILL");
  await ended;
  await waitUntilHealthy(url);
}

async function waitUntilHealthy(url: string): Promise<void> {
  for (const until = Date.now() + 60_000; Date.now() < until; await sleep(20)) {
    const answer = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(2000) }).catch(() => undefined);
    if (answer?.ok) return;
  }
  throw new UserError("The gateway did not answer within a minute");
}

export function post({ url }: Gateway, path: string, body: object): Promise<Response> {
  return fetch(url + path, { method: "POST", headers: HEADERS, body: JSON.stringify(body) });
}

export async function get<T>({ url }: Gateway, path: string): Promise<T> {
  const response = await fetch(url + path, { headers: HEADERS });
  if (!response.ok) throw new UserError(`GET ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}
