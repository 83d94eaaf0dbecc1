import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";

/**
 * The floor: `node bench/floor.ts <port> <upstream origin>`. The least that a Worker can be: it passes the call on and
 * the answer back, natively. On the same runtime, and served the same way, as `scripts/serve.ts` serves the gateway.
 */
const [port, upstream] = process.argv.slice(2);
const script = `
export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    return fetch(${JSON.stringify(upstream)} + pathname, request);
  },
};`;
const runtime = new Miniflare(
  convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    logRequests: false,
    log: new Log(LogLevel.ERROR),
    workers: [
      {
        name: "floor",
        compatibilityDate: "2026-10-15",
        modules: [{ type: "ESModule", path: "floor.mjs", contents: script }],
        unsafeDirectSockets: [{ host: "127.0.0.1", port: Number(port) }],
      },
    ],
  }),
);
await runtime.ready;
for (const signal of ["SIGTERM", "SIGINT"])
  process.on(signal, () => void runtime.dispose().then(() => process.exit(0)));
