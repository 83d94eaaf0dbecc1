import { OutboundError } from "../outbound/bounded-fetch.ts";

/** How long what precedes a request may take. Milliseconds. */
export const PREPARATION_MS = 30_000;

/**
 * Does what has to be done before a request can be sent. If it takes too long, or breaks off, throws an `OutboundError` which says that
 * the request was not sent.
 */
export async function prepareSending<Value>(
  what: string,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const end = new AbortController();
  const tooLong = new OutboundError(`${what} took longer than ${PREPARATION_MS} ms`, { isSent: false });
  const timer = setTimeout(() => end.abort(tooLong), PREPARATION_MS);
  try {
    return await work(end.signal);
  } catch (thrown) {
    if (!(thrown instanceof OutboundError) || !thrown.isSent) throw thrown;
    throw new OutboundError(`${what} failed: ${thrown.message}`, { isSent: false, cause: thrown });
  } finally {
    clearTimeout(timer);
  }
}
