import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { claim } from "./claim.ts";
import { endTogether, endWithRuntime, signalsFirst } from "./lifetime.ts";
import { migrate } from "./migrate.ts";
import { HOST, tryPort } from "./port.ts";
import { Refusal, runScript } from "./refusal.ts";
import { checkRouting } from "./routing.ts";
import { readSettings, type Settings } from "./settings.ts";
import { type Config, QUIET, readConfig } from "./wrangler.ts";

export type Local = {
  settings: Settings;
  config: Config;
  /** Where D1, R2 and the Durable Objects keep their files; the same for `start` and `serve`. */
  persistDir: string;
};

/** What `npm start` and `npm run serve` share: everything but how the worker is put on its port. */
export function runGateway(serve: (local: Local) => Promise<void>): Promise<void> {
  endTogether();
  Object.assign(process.env, { WRANGLER_LOG: "error", CLOUDFLARE_CF_FETCH_ENABLED: "false", ...QUIET, ...process.env });
  return runScript(async () => {
    const settings = readSettings();
    for (const warning of settings.warnings) console.error(`Provider row left out: ${warning}`);
    for (const warning of await checkRouting(settings.secrets)) console.error(`Target left out: ${warning}`);
    await refuseTakenPort(settings.port);
    claim(settings.stateDir);
    try {
      const config = await readConfig();
      // wrangler dev puts its files below `v3`; the path given to Miniflare includes it.
      const persistDir = join(settings.stateDir, "v3");
      await migrate(config, persistDir);
      await serve({ settings, config, persistDir });
      await untilHealthy(settings.port);
    } catch (error) {
      await signalsFirst();
      throw error;
    }
    endWithRuntime();
    console.log(banner(settings));
  });
}

async function refuseTakenPort(port: number): Promise<void> {
  try {
    await tryPort(port);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === "EADDRINUSE" ? "something else is listening there" : code;
    throw new Refusal(`PORT: expected a free port, but ${HOST}:${port} cannot be used (${reason})`);
  }
}

/** A worker that answers at all does so within a second or two; the minute is for a slow, busy machine. */
async function untilHealthy(port: number): Promise<void> {
  let last = "no answer";
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(50)) {
    try {
      const { status } = await fetch(`http://${HOST}:${port}/healthz`, { signal: AbortSignal.timeout(5000) });
      if (status === 200) return;
      last = `HTTP ${status}`;
    } catch (error) {
      last = String(error);
    }
  }
  throw new Refusal(`The gateway did not become healthy within a minute: GET /healthz gave ${last}`);
}

function banner({ port, adminKey, adminKeyFile }: Settings): string {
  const madeUp = adminKeyFile !== undefined;
  const key = madeUp ? `${adminKey}  (made up, kept in ${adminKeyFile})` : "RHONE_ADMIN_KEY, as given";
  const call = (body: object): string => `curl -s http://${HOST}:${port}/v1/chat/completions \\
  -H "authorization: Bearer ${madeUp ? adminKey : "$RHONE_ADMIN_KEY"}" -H "content-type: application/json" \\
  -d '${JSON.stringify(body)}'`;
  return `
Rhone Gateway is ready at http://${HOST}:${port}
Key: ${key}

Try it; the model "demo" needs no provider:

${call({ model: "demo", messages: [{ role: "user", content: "My name is Alice." }] })}

The answer has a rhone.session_id. Put it into the next call, and send only what is new:

${call({
  model: "demo",
  rhone: { session_id: "sess_…" },
  messages: [{ role: "user", content: "What is my name?" }],
})}
`;
}
