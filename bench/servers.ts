import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../scripts/port.ts";
import { agentFor, exchange } from "./client.ts";
import { type Running, start } from "./process.ts";
import { type Ask, CACHE, HERE, KEY, litellmCall, portkeyCall, rhoneCall, bifrostCall, plainCall } from "./asks.ts";

/** What is installed apart, and how: by `npm run bench -- --install`, into directories that git does not see. */
export type Server = {
  id: string;
  label: string;
  /** What it is called in the table, with its version. Absent: the version is the repository's. */
  version?: () => string;
  /** Why it cannot be run. Absent: it can. */
  missing?: () => string | undefined;
  install?: () => void;
  start: (place: Place) => Promise<Running>;
};

/** `dir`: for its files, in memory where the machine has such a place, as a disk would be measured otherwise. */
export type Place = { upstream: string; dir: string };

const PORTKEY = join(HERE, "node_modules/@portkey-ai/gateway");
const LITELLM = join(CACHE, "litellm/bin/litellm");
const BIFROST = join(CACHE, "bifrost/bifrost-http");

/** In the order in which they stand in the tables. */
export const serversOf = (project: string): readonly Server[] => [
  {
    id: "floor",
    label: "bare workerd proxy",
    start: ({ upstream, dir }) =>
      serve(plainCall, { upstream, dir }, (port) => ({
        command: process.execPath,
        args: ["--no-warnings", join(HERE, "floor.ts"), String(port), upstream],
        serves: "workerd",
      })),
  },
  {
    id: "rhone",
    label: "Rhone Gateway",
    start: ({ upstream, dir }) =>
      serve(rhoneCall("stateless"), { upstream, dir }, (port) => ({
        command: process.execPath,
        args: ["--no-warnings", join(project, "scripts/serve.ts")],
        cwd: project,
        serves: "workerd",
        env: {
          PORT: String(port),
          RHONE_STATE_DIR: join(dir, "state"),
          RHONE_ADMIN_KEY: KEY,
          RHONE_PROVIDERS: JSON.stringify([
            { id: "benchchat", dialect: "openai-chat", base_url: `${upstream}/v1`, api_key: "upstream-key" },
            { id: "benchanth", dialect: "anthropic", base_url: `${upstream}/v1`, api_key: "upstream-key" },
          ]),
        },
      })),
  },
  {
    id: "portkey",
    label: "Portkey",
    version: () => (JSON.parse(readFileSync(join(PORTKEY, "package.json"), "utf8")) as { version: string }).version,
    missing: () => (existsSync(PORTKEY) ? undefined : reasonOf("portkey")),
    install: () => run("portkey", "npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], HERE),
    start: ({ upstream, dir }) =>
      serve(portkeyCall("openai"), { upstream, dir }, (port) => ({
        command: process.execPath,
        // `--headless` leaves out its console page and the log stream for it: the production setting.
        args: ["--no-warnings", join(PORTKEY, "build/start-server.js"), `--port=${port}`, "--headless"],
        env: { NODE_ENV: "production" },
      })),
  },
  {
    id: "litellm",
    label: "LiteLLM proxy",
    version: () => /==(.*)/.exec(readFileSync(join(HERE, "requirements.txt"), "utf8"))?.[1] ?? "",
    missing: () => (existsSync(LITELLM) ? undefined : reasonOf("litellm")),
    install: () => {
      run("litellm", "python3", ["-m", "venv", join(CACHE, "litellm")]);
      const pip = ["-m", "pip", "install", "-q", "-r", join(HERE, "requirements.txt")];
      run("litellm", join(CACHE, "litellm/bin/python"), pip);
    },
    start: ({ upstream, dir }) => {
      const config = join(dir, "litellm.yaml");
      writeFileSync(config, litellmConfig(upstream));
      return serve(litellmCall("openai"), { upstream, dir }, (port) => ({
        command: LITELLM,
        // A worker for each core, as its page on benchmarks advises.
        args: [
          "--config",
          config,
          "--host",
          "127.0.0.1",
          "--port",
          String(port),
          "--num_workers",
          "2",
          "--run_gunicorn",
        ],
        env: { LITELLM_MODE: "PRODUCTION", LITELLM_LOCAL_MODEL_COST_MAP: "True" },
        cwd: dir,
      }));
    },
  },
  {
    id: "bifrost",
    label: "Bifrost",
    version: () =>
      spawnSync("go", ["version", "-m", BIFROST], { encoding: "utf8" }).stdout.match(/mod\s\S+\s(\S+)/)?.[1] ?? "",
    missing: () => (existsSync(BIFROST) ? undefined : reasonOf("bifrost")),
    install: () =>
      run("bifrost", "go", ["install", "github.com/maximhq/bifrost/transports/bifrost-http@latest"], HERE, {
        GOBIN: join(CACHE, "bifrost"),
      }),
    start: ({ upstream, dir }) => {
      mkdirSync(join(dir, "bifrost"), { recursive: true });
      writeFileSync(join(dir, "bifrost/config.json"), JSON.stringify(bifrostConfig(upstream)));
      return serve(bifrostCall("openai"), { upstream, dir }, (port) => ({
        command: BIFROST,
        args: ["-app-dir", join(dir, "bifrost"), "-host", "127.0.0.1", "-port", String(port)],
        cwd: dir,
      }));
    },
  },
];

/** A directory for a run's files, in memory where there is such a place; it goes away with the process. */
export function scratch(): string {
  const dir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "rhone-bench-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function serve(
  ask: Ask,
  { upstream, dir }: Place,
  how: (port: number) => {
    command: string;
    args: string[];
    env?: Record<string, string>;
    cwd?: string;
    serves?: string;
  },
): Promise<Running> {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const agent = agentFor(1);
  const call = ask({ origin, upstream }, { kind: "whole", bytes: 1024 });
  const running = await start({
    ...how(port),
    origin,
    logFile: join(dir, `${port}.log`),
    isReady: async () => (await exchange(call, { agent })).bytes > 0,
  });
  agent.destroy();
  return running;
}

/** Runs a step of an installation; one that fails leaves its reason where `missing` finds it. */
function run(id: string, command: string, args: string[], cwd = HERE, env: Record<string, string> = {}): void {
  mkdirSync(CACHE, { recursive: true });
  rmSync(reasonFile(id), { force: true });
  console.log(`$ ${command} ${args.join(" ")}`);
  // The machine may have other work than this.
  const { status, stderr, error } = spawnSync("nice", ["-n", "15", command, ...args], {
    cwd,
    env: { ...process.env, ...env },
    encoding: "utf8",
    stdio: ["ignore", "inherit", "pipe"],
  });
  if (status === 0) return;
  const lines = (error?.message ?? stderr)
    .trim()
    .split("\n")
    .filter((line) => !line.startsWith("npm warn"));
  // Whose registry it was is of no interest.
  const reason = lines
    .slice(-2)
    .map((line) => line.trim().replace(/https?:\S+/g, "the registry:"))
    .join(" ");
  writeFileSync(reasonFile(id), reason);
  throw new Error(reason);
}

const reasonFile = (id: string): string => join(CACHE, `${id}.failed`);

const reasonOf = (id: string): string =>
  existsSync(reasonFile(id))
    ? `could not be installed: ${readFileSync(reasonFile(id), "utf8")}`
    : "not installed: npm run bench -- --install";

const litellmConfig = (upstream: string): string => `
model_list:
  - model_name: "openai/*"
    litellm_params: { model: "openai/*", api_base: "${upstream}/v1", api_key: upstream-key }
  - model_name: "anthropic/*"
    litellm_params: { model: "anthropic/*", api_base: "${upstream}", api_key: upstream-key }
litellm_settings: { request_timeout: 600, num_retries: 0 }
general_settings: { master_key: ${KEY} }
`;

const bifrostConfig = (upstream: string): object => {
  const row = {
    keys: [{ name: "bench", value: "upstream-key", models: ["*"], weight: 1 }],
    network_config: { base_url: upstream, default_request_timeout_in_seconds: 600 },
    concurrency_and_buffer_size: { concurrency: 1000, buffer_size: 5000 },
  };
  return {
    client: { drop_excess_requests: false, initial_pool_size: 1000, enable_logging: true },
    providers: { openai: row, anthropic: row },
    config_store: { enabled: false },
  };
};
