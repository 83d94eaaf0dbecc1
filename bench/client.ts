import { Agent, request } from "node:http";

/** A call as it is sent. */
export type Call = { url: string; headers: Record<string, string>; body: Buffer };

/** An exchange as its client measures it. Milliseconds; `firstMs`: until the first bytes of the answer's body. */
export type Exchange = { totalMs: number; firstMs: number; bytes: number };

/** A server that sends nothing for this time counts as hung. */
const SILENCE_MS = 60_000;
/** Longer than any ending. Bytes. */
const TAIL = 256;

/** Connections are reused: only the first calls, which are not measured, open them. */
export const agentFor = (connections: number): Agent => new Agent({ keepAlive: true, maxSockets: connections });

/**
 * Makes one call and reads its answer to the end. Rejects unless the answer is whole: status 200, with `ending` at its
 * end. `onBody` receives the text.
 */
export function exchange(
  { url, headers, body }: Call,
  { agent, ending, onBody }: { agent: Agent; ending?: string | undefined; onBody?: (text: string) => void },
): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    let firstMs = Number.NaN;
    let bytes = 0;
    let last: Buffer | undefined;
    const chunks: Buffer[] = [];
    const outgoing = request(url, {
      method: "POST",
      agent,
      headers: { "content-type": "application/json", "content-length": body.length, ...headers },
    });
    outgoing.once("response", (incoming) => {
      incoming.on("data", (chunk: Buffer) => {
        if (bytes === 0) firstMs = performance.now() - start;
        bytes += chunk.length;
        // The ending may be cut in two.
        last = chunk.length < TAIL && last !== undefined ? Buffer.concat([last, chunk]).subarray(-TAIL) : chunk;
        if (onBody !== undefined || incoming.statusCode !== 200) chunks.push(chunk);
      });
      incoming.once("error", reject);
      incoming.once("end", () => {
        const totalMs = performance.now() - start;
        if (incoming.statusCode !== 200) {
          reject(new Error(`HTTP ${incoming.statusCode}: ${Buffer.concat(chunks).toString("utf8").slice(0, 300)}`));
        } else if (ending !== undefined && !last?.includes(ending)) {
          reject(new Error(`the answer does not end with ${ending}: …${last?.toString("utf8").slice(-200)}`));
        } else {
          onBody?.(Buffer.concat(chunks).toString("utf8"));
          resolve({ totalMs, firstMs, bytes });
        }
      });
    });
    outgoing.once("error", reject);
    outgoing.setTimeout(SILENCE_MS, () => outgoing.destroy(new Error(`no data for ${SILENCE_MS} ms`)));
    outgoing.end(body);
  });
}
