import { join } from "node:path";
import { checkRouting } from "../routing.ts";
import { readSettings, type Settings } from "../settings.ts";
import { UserError, runScript } from "../user-error.ts";
import { type Config, QUIET, readConfig } from "../wrangler.ts";
import { waitUntilHealthy } from "./health.ts";
import { migrate } from "./migrate.ts";
import { HOST, tryPort } from "./port.ts";
import { endChildrenOnExit, endWithRuntime, waitForSignals } from "./process-group.ts";
import { lockState } from "./state-lock.ts";

export type LocalGateway = {
  settings: Settings;
  config: Config;
  /** The directory with the files of D1, R2 and the Durable Objects; the same for `start` and `serve`. */
  persistDir: string;
};

/**
 * Runs the gateway for `npm start` and `npm run serve`, which differ only in how they serve the worker on its port: `serve`
 * starts it, or becomes it. Then the gateway is waited for, and how to call it is printed.
 */
export function runGateway(serve: (local: LocalGateway) => Promise<void>): Promise<void> {
  endChildrenOnExit();
  Object.assign(process.env, { WRANGLER_LOG: "error", CLOUDFLARE_CF_FETCH_ENABLED: "false", ...QUIET, ...process.env });
  return runScript(async () => {
    const settings = readSettings();
    for (const warning of settings.warnings) console.error(`Provider row left out: ${warning}`);
    for (const warning of await checkRouting(settings.secrets)) console.error(`Target left out: ${warning}`);
    await requireFreePort(settings.port);
    lockState(settings.stateDir);
    try {
      const config = await readConfig();
      // wrangler dev appends `v3` to its path; Miniflare expects the whole path.
      const persistDir = join(settings.stateDir, "v3");
      await migrate(config, persistDir);
      await serve({ settings, config, persistDir });
      await waitUntilHealthy(settings.port);
    } catch (error) {
      await waitForSignals();
      throw error;
    }
    endWithRuntime();
    console.log(formatBanner(settings));
  });
}

async function requireFreePort(port: number): Promise<void> {
  try {
    await tryPort(port);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === "EADDRINUSE" ? "something else is listening there" : code;
    throw new UserError(`PORT: expected a free port, but ${HOST}:${port} cannot be used (${reason})`);
  }
}

/** How to call the gateway, for the terminal. */
export function formatBanner({ port, adminKey, adminKeyFile }: Settings): string {
  const isGenerated = adminKeyFile !== undefined;
  const key = isGenerated
    ? `${adminKey}  (generated; export RHONE_ADMIN_KEY=$(cat ${adminKeyFile}) in another terminal)`
    : "RHONE_ADMIN_KEY, as given";
  const call = (body: object): string => `curl -s http://${HOST}:${port}/v1/chat/completions \\
  -H "authorization: Bearer ${isGenerated ? adminKey : "$RHONE_ADMIN_KEY"}" -H "content-type: application/json" \\
  -d '${JSON.stringify(body)}'`;
  return `
Rhone Gateway is ready at http://${HOST}:${port}
Key: ${key}

Try it; the model "demo" needs no provider:

${call({ model: "demo", messages: [{ role: "user", content: "My name is Alice." }] })}

The answer has a rhone.session_id. Send it with the next call, which then needs only the new message:

${call({
  model: "demo",
  rhone: { session_id: "sess_…" },
  messages: [{ role: "user", content: "What is my name?" }],
})}
`;
}
