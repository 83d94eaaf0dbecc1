import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";

/**
 * `node bench/bare-proxy.ts <port> <upstream origin>`: the bare proxy that the benchmarks compare with. It
 * forwards the call and returns the answer, on the same runtime and served as scripts/serve.ts does.
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
        name: "proxy",
        compatibilityDate: "2026-10-15",
        modules: [{ type: "ESModule", path: "proxy.mjs", contents: script }],
        unsafeDirectSockets: [{ host: "127.0.0.1", port: Number(port) }],
      },
    ],
  }),
);
await runtime.ready;
for (const signal of ["SIGTERM", "SIGINT"])
  process.on(signal, () => void runtime.dispose().then(() => process.exit(0)));
