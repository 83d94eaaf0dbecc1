import { parentPort } from "node:worker_threads";
import { answer } from "../fake/dialects.ts";
import { listen } from "../fake/upstream.ts";
import { listenWire } from "../fake/wire.ts";

/**
 * The scripted providers in a thread of their own, which tells their URLs. In vitest's own process the broken streams it is
 * made for meet a stack trace hook of vite's that throws.
 */
const [{ url }, wire] = await Promise.all([listen(answer), listenWire()]);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort!.postMessage({ url, wireUrl: wire.url });
