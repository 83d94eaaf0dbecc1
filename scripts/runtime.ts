import type { Miniflare } from "miniflare";
import type { Bundle } from "./bundle.ts";
import type { Local } from "./gateway.ts";
import { HOST } from "./port.ts";
import { sourcePositions } from "./source-positions.ts";
import { WRANGLER_CONFIG } from "./wrangler.ts";

/** The worker on the production runtime, with a socket of its own on the settings' port. It starts by itself. */
export async function runtimeOf(
  { dir, main }: Pick<Bundle, "dir" | "main">,
  { settings, config, persistDir }: Omit<Local, "settings"> & { settings: Pick<Local["settings"], "port" | "secrets"> },
): Promise<Miniflare> {
  const { Log, LogLevel, Miniflare, convertV4MiniflareOptions } = await import("miniflare");
  const { unstable_getMiniflareWorkerOptions } = await import("wrangler");
  // Its `modulesRules` are for loading from source files, which are bundled already.
  const { modulesRules: _, ...worker } = unstable_getMiniflareWorkerOptions(WRANGLER_CONFIG).workerOptions;
  const readable = sourcePositions(main);
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
          // The former have read `.dev.vars` too; ours know that the environment wins over it.
          bindings: { ...(worker.bindings as object), ...settings.secrets },
          unsafeDirectSockets: [{ host: HOST, port: settings.port }],
        },
      ],
    }),
    resourcePersistencePath: persistDir,
  });
}
