import type { Miniflare } from "miniflare";
import type { Bundle } from "../bundle.ts";
import { PROJECT } from "../settings.ts";
import { WRANGLER_CONFIG } from "../wrangler.ts";
import type { LocalGateway } from "./gateway.ts";
import { NETWORK, PUBLIC_NETWORK } from "./networks.ts";
import { HOST } from "./port.ts";
import { mapSourcePositions } from "./source-positions.ts";

/** Starts the worker on the production runtime, with its own socket on the port of the settings. */
export async function createRuntime(
  { dir, main }: Pick<Bundle, "dir" | "main">,
  {
    settings,
    config,
    persistDir,
  }: Omit<LocalGateway, "settings"> & { settings: Pick<LocalGateway["settings"], "port" | "secrets"> },
): Promise<Miniflare> {
  const { Log, LogLevel, Miniflare, convertV4MiniflareOptions } = await import("miniflare");
  const { unstable_getMiniflareWorkerOptions } = await import("wrangler");
  // `modulesRules` say how source files are loaded; the bundle holds them already.
  const { modulesRules: _, ...worker } = unstable_getMiniflareWorkerOptions(WRANGLER_CONFIG).workerOptions;
  const readable = mapSourcePositions(main, PROJECT);
  return new Miniflare({
    ...convertV4MiniflareOptions({
      host: HOST,
      port: 0,
      cf: false,
      logRequests: false,
      log: new Log(LogLevel.ERROR),
      handleStructuredLogs: ({ level, message }) =>
        (level === "error" || level === "warn" ? console.error : console.log)(readable(message)),
      workers: [
        {
          ...worker,
          name: config.name,
          modulesRoot: dir,
          modules: [{ type: "ESModule", path: main }],
          // The former include `.dev.vars`; in the settings the environment takes precedence over that file.
          bindings: { ...(worker.bindings as object), ...settings.secrets },
          // Requests to providers go straight to the network: each `fetch` leads through a worker of Miniflare's.
          serviceBindings: { ...(worker.serviceBindings as object), NETWORK, PUBLIC_NETWORK },
          unsafeDirectSockets: [{ host: HOST, port: settings.port }],
        },
      ],
    }),
    resourcePersistencePath: persistDir,
  });
}
