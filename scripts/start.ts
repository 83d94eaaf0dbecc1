import { runGateway } from "./local/gateway.ts";
import { PUBLIC_NETWORK } from "./local/networks.ts";
import { HOST } from "./local/port.ts";
import { stopWith } from "./local/process-group.ts";
import { NO_ENV_FILES, WRANGLER_CONFIG } from "./wrangler.ts";

/** `npm start`: the gateway on wrangler's local runtime, started by its API: no secret is in a command line. */
await runGateway(async ({ settings }) => {
  const { unstable_DevEnv } = await import("wrangler");
  const devEnv = new unstable_DevEnv();
  devEnv.on("buildFailed", () => fail("the worker does not build"));
  devEnv.on("error", ({ cause, message }: { cause?: Error; message?: string }) =>
    fail((cause?.message ?? message)?.split("\n")[0] ?? "wrangler's local runtime failed"),
  );
  const { ready } = await devEnv.startWorker({
    config: WRANGLER_CONFIG,
    envFiles: NO_ENV_FILES,
    bindings: {
      ...Object.fromEntries(
        Object.entries(settings.secrets).map(([name, value]) => [name, { type: "secret_text", value } as const]),
      ),
      // Handed to Miniflare as it is.
      PUBLIC_NETWORK: { type: "fetcher", fetcher: PUBLIC_NETWORK as never },
    },
    dev: {
      server: { hostname: HOST, port: settings.port },
      persist: settings.stateDir,
      // Neither an inspector nor the registry of running workers: gateways on one machine are independent.
      inspector: false,
      remote: false,
      watch: false,
    },
  });
  await ready;
});

/** After a failed build or start, wrangler prints the cause and waits for a change of the source, which never comes here. */
function fail(reason: string): void {
  void stopWith(`The gateway could not start: ${reason}`);
}
