import { parentPort } from "node:worker_threads";
import { answer } from "../fake/dialects.ts";
import { listen } from "../fake/upstream.ts";

/**
 * The scripted provider in a thread of its own, which tells its URL. In vitest's own process the broken streams it is
 * made for meet a stack trace hook of vite's that throws.
 */
const { url } = await listen(answer);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort!.postMessage(url);
