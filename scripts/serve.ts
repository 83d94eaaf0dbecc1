import { bundle } from "./bundle.ts";
import { runGateway } from "./gateway.ts";
import { Refusal } from "./refusal.ts";
import { runtimeOf } from "./runtime.ts";

/**
 * `npm run serve`: the gateway on the production runtime without wrangler's proxy. The worker has a socket of its own
 * on `PORT`; Miniflare's entry socket, with its worker in between, stays on a port nobody asks for.
 */
await runGateway(async (local) => {
  const runtime = await runtimeOf(await bundle(), local);
  try {
    await runtime.ready;
  } catch (error) {
    // A worker that throws in its modules has had its stack printed.
    throw new Refusal("The gateway could not start: the runtime did not take the worker", { cause: error });
  }
});
