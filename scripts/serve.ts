import { bundle } from "./bundle.ts";
import { runGateway } from "./local/gateway.ts";
import { createRuntime } from "./local/runtime.ts";
import { UserError } from "./user-error.ts";

/**
 * `npm run serve`: the gateway on the production runtime without wrangler's proxy. The worker has its own socket on
 * `PORT`; Miniflare's entry socket, which leads through a proxy worker, listens on another port and is not used.
 */
await runGateway(async (local) => {
  const runtime = await createRuntime(await bundle(), local);
  try {
    await runtime.ready;
  } catch (error) {
    // If a module of the worker threw, its stack trace is printed already.
    throw new UserError("The gateway could not start: the runtime rejected the worker", { cause: error });
  }
});
