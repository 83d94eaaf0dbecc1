import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../scripts/local/port.ts";
import { modelOf } from "./answers.ts";
import { agentFor, exchange } from "./client.ts";
import { type RunningServer, start } from "./process.ts";
import {
  type CallBuilder,
  CACHE,
  HERE,
  KEY,
  buildLitellmCall,
  buildPortkeyCall,
  buildRhoneCall,
  buildTensorzeroCall,
  buildPlainCall,
} from "./requests.ts";
import { SCENARIOS } from "./scenarios.ts";

/** A server that is measured. Other gateways are installed by `npm run bench -- --install`, into directories that git ignores. */
export type Server = {
  id: string;
  label: string;
  /** Its version, for the table. Absent: it is the repository's. */
  version?: () => string;
  /** The reason why it cannot be run, if it cannot. */
  missing?: () => string | undefined;
  install?: () => void;
  start: (context: StartContext) => Promise<RunningServer>;
};

/** `dir`: for its files, in memory if the machine has such a directory, so that the disk's speed is not measured. */
export type StartContext = { upstream: string; dir: string };

const PORTKEY = join(HERE, "node_modules/@portkey-ai/gateway");
const LITELLM = join(CACHE, "litellm/bin/litellm");
const TENSORZERO = join(CACHE, "tensorzero/bin/python");

/** In the order of the tables. */
export const listServers = (project: string): readonly Server[] => [
  {
    id: "proxy",
    label: "bare workerd proxy",
    start: ({ upstream, dir }) =>
      serve(buildPlainCall, { upstream, dir }, (port) => ({
        command: process.execPath,
        args: ["--no-warnings", join(HERE, "bare-proxy.ts"), String(port), upstream],
        serves: "workerd",
      })),
  },
  {
    id: "rhone",
    label: "Rhone Gateway",
    start: ({ upstream, dir }) =>
      serve(buildRhoneCall("stateless"), { upstream, dir }, (port) => ({
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
    missing: () => (existsSync(PORTKEY) ? undefined : readFailure("portkey")),
    install: () => runStep("portkey", "npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]),
    start: ({ upstream, dir }) =>
      serve(buildPortkeyCall("openai"), { upstream, dir }, (port) => ({
        command: process.execPath,
        // `--headless` disables its console page and its log stream, as in production.
        args: ["--no-warnings", join(PORTKEY, "build/start-server.js"), `--port=${port}`, "--headless"],
        env: { NODE_ENV: "production" },
      })),
  },
  {
    id: "litellm",
    label: "LiteLLM proxy",
    version: () => /==(.*)/.exec(readFileSync(join(HERE, "requirements.txt"), "utf8"))?.[1] ?? "",
    missing: () => (existsSync(LITELLM) ? undefined : readFailure("litellm")),
    install: () => installPython("litellm", "requirements.txt"),
    start: ({ upstream, dir }) => {
      const config = join(dir, "litellm.yaml");
      writeFileSync(config, litellmConfig(upstream));
      return serve(buildLitellmCall("openai"), { upstream, dir }, (port) => ({
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
    id: "tensorzero",
    label: "TensorZero",
    version: () => /==(.*)/.exec(readFileSync(join(HERE, "requirements-tensorzero.txt"), "utf8"))?.[1] ?? "",
    missing: () => (existsSync(TENSORZERO) ? undefined : readFailure("tensorzero")),
    install: () => installPython("tensorzero", "requirements-tensorzero.txt"),
    start: async ({ upstream, dir }) => {
      const config = join(dir, "tensorzero.toml");
      writeFileSync(config, tensorzeroConfig(upstream));
      return await startServer(buildTensorzeroCall, {
        upstream,
        dir,
        command: TENSORZERO,
        args: [join(HERE, "start_tensorzero.py"), config],
        env: { UPSTREAM_KEY: "upstream-key" },
      });
    },
  },
];

/** Creates a directory for the files of a run, in memory if possible. It is removed when this process ends. */
export function createScratchDir(): string {
  const dir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "rhone-bench-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

type Command = { command: string; args: string[]; env?: Record<string, string>; cwd?: string; serves?: string };

/** Starts a server on a free port. */
async function serve(
  build: CallBuilder,
  context: StartContext,
  commandFor: (port: number) => Command,
): Promise<RunningServer> {
  const port = await freePort();
  return await startServer(build, { ...context, ...commandFor(port), origin: `http://127.0.0.1:${port}` });
}

/** Starts a server and waits for its first answer. Without `origin` it chooses its port; see `start`. */
async function startServer(
  build: CallBuilder,
  { upstream, dir, ...command }: StartContext & Command & { origin?: string },
): Promise<RunningServer> {
  const agent = agentFor(1);
  const running = await start({
    ...command,
    logFile: join(dir, "server.log"),
    isReady: async (origin) => {
      const call = build({ origin, upstream }, { kind: "whole", bytes: 1024 });
      return (await exchange(call, { agent })).bytes > 0;
    },
  });
  agent.destroy();
  return running;
}

/** Installs a package with pip into an environment of its own. */
function installPython(id: string, requirements: string): void {
  runStep(id, "python3", ["-m", "venv", join(CACHE, id)]);
  runStep(id, join(CACHE, id, "bin/python"), ["-m", "pip", "install", "-q", "-r", join(HERE, requirements)]);
}

/** Runs a step of an installation. The reason of a failure is stored in a file, which `missing` reads. */
function runStep(
  id: string,
  command: string,
  args: string[],
  { cwd = HERE, env = {} }: { cwd?: string; env?: Record<string, string> } = {},
): void {
  mkdirSync(CACHE, { recursive: true });
  rmSync(failureFile(id), { force: true });
  console.log(`$ ${command} ${args.join(" ")}`);
  // At low priority: the machine may have other work.
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
  // The address of the registry does not matter.
  const reason = lines
    .slice(-2)
    .map((line) => line.trim().replace(/https?:\S+/g, "the registry:"))
    .join(" ");
  writeFileSync(failureFile(id), reason);
  throw new Error(reason);
}

const failureFile = (id: string): string => join(CACHE, `${id}.failed`);

const readFailure = (id: string): string =>
  existsSync(failureFile(id))
    ? `could not be installed: ${readFileSync(failureFile(id), "utf8")}`
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

/** Its models have to be listed. Without its database, which it needs for nothing but records. */
const tensorzeroConfig = (upstream: string): string =>
  [
    "gateway.observability.enabled = false",
    ...[...new Set(SCENARIOS.map(({ answer }) => modelOf(answer)))].map(
      (model) => `[models."${model}"]
routing = ["provider"]
[models."${model}".providers.provider]
type = "openai"
model_name = "${model}"
api_base = "${upstream}/v1/"
api_key_location = "env::UPSTREAM_KEY"`,
    ),
  ].join("\n");
