import { Agent, request } from "node:http";

/** A call as it goes over the wire. */
export type Call = { url: string; headers: Record<string, string>; body: Buffer };

/** One exchange as its client saw it. Milliseconds; `firstMs`: until the first bytes of the answer's body. */
export type Exchange = { totalMs: number; firstMs: number; bytes: number };

/** A contender that says nothing for so long is hung. */
const SILENCE_MS = 60_000;
/** Enough for any ending. Bytes. */
const TAIL = 256;

/** Connections are kept: only the first calls pay for them, and those are not counted. */
export const agentFor = (connections: number): Agent => new Agent({ keepAlive: true, maxSockets: connections });

/**
 * Makes one call and reads its answer to the end. Rejects unless the answer is whole: status 200, and `ending` at its
 * end. `onBody` gets the text, for the few calls whose answer matters.
 */
export function exchange(
  { url, headers, body }: Call,
  { agent, ending, onBody }: { agent: Agent; ending?: string | undefined; onBody?: (text: string) => void },
): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    let firstMs = Number.NaN;
    let bytes = 0;
    let last: Buffer | undefined;
    const all: Buffer[] = [];
    const outgoing = request(url, {
      method: "POST",
      agent,
      headers: { "content-type": "application/json", "content-length": body.length, ...headers },
    });
    outgoing.once("response", (incoming) => {
      incoming.on("data", (piece: Buffer) => {
        if (bytes === 0) firstMs = performance.now() - began;
        bytes += piece.length;
        // The ending may be cut in two.
        last = piece.length < TAIL && last !== undefined ? Buffer.concat([last, piece]).subarray(-TAIL) : piece;
        if (onBody !== undefined || incoming.statusCode !== 200) all.push(piece);
      });
      incoming.once("error", reject);
      incoming.once("end", () => {
        const totalMs = performance.now() - began;
        if (incoming.statusCode !== 200) {
          reject(new Error(`HTTP ${incoming.statusCode}: ${Buffer.concat(all).toString("utf8").slice(0, 300)}`));
        } else if (ending !== undefined && !last?.includes(ending)) {
          reject(new Error(`the answer does not end with ${ending}: …${last?.toString("utf8").slice(-200)}`));
        } else {
          onBody?.(Buffer.concat(all).toString("utf8"));
          resolve({ totalMs, firstMs, bytes });
        }
      });
    });
    outgoing.once("error", reject);
    outgoing.setTimeout(SILENCE_MS, () => outgoing.destroy(new Error(`nothing came for ${SILENCE_MS} ms`)));
    outgoing.end(body);
  });
}
