import { bundle } from "./bundle.ts";
import { runGateway } from "./gateway.ts";
import { HOST } from "./port.ts";
import { Refusal } from "./refusal.ts";
import { WRANGLER_CONFIG } from "./wrangler.ts";

/**
 * `npm run serve`: the gateway on the production runtime without wrangler's proxy. The worker has a socket of its own
 * on `PORT`; Miniflare's entry socket, with its worker in between, stays on a port nobody asks for.
 */
await runGateway(async ({ settings, config, persistDir }) => {
  const { Log, LogLevel, Miniflare, convertV4MiniflareOptions } = await import("miniflare");
  const { unstable_getMiniflareWorkerOptions } = await import("wrangler");
  const { dir, main } = await bundle();
  // Its `modulesRules` are for loading from source files, which are bundled already.
  const { modulesRules: _, ...worker } = unstable_getMiniflareWorkerOptions(WRANGLER_CONFIG).workerOptions;
  const runtime = new Miniflare({
    ...convertV4MiniflareOptions({
      host: HOST,
      port: 0,
      cf: false,
      logRequests: false,
      log: new Log(LogLevel.ERROR),
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
  try {
    await runtime.ready;
  } catch (error) {
    // A worker that throws in its modules has had its stack printed.
    throw new Refusal("The gateway could not start: the runtime did not take the worker", { cause: error });
  }
});
