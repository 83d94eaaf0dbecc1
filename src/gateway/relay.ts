import type { GatewayError } from "../canonical/error.ts";
import type { Dialect } from "../canonical/types.ts";
import { concatBytes, encodeUtf8 } from "../wire/bytes.ts";
import { type SseEvent, SseSplitter } from "../wire/sse.ts";
import { teeRecorder } from "../wire/tee.ts";
import { annotateEvent } from "./annotate.ts";
import { type Answering, replyOf, settle, settleFailure } from "./answering.ts";
import { brokenOff, Hearing } from "./hearing.ts";
import { keepAlive } from "./keep-alive.ts";

/**
 * The provider's bytes, natively: JavaScript wakes for the first event, every 64 KiB of recording, and at the end,
 * where it tells the truth about a missing terminal event before it closes.
 */
export function relayNatively(answering: Answering): Response {
  const { asked, host, upstream, call, notes } = answering;
  const { client, blocks } = teeRecorder(upstream.body!);
  const recorded = record(answering, blocks);
  const { readable, writable } = new IdentityTransformStream();
  const relayed = (async () => {
    try {
      await begin(client, writable, asked.surface.dialect.id, call.annotate ? notes.rhone() : undefined);
      await client.pipeTo(writable, { preventClose: true, preventAbort: true });
    } catch {
      // Either end may have failed. If it was the provider's, the client is still there to be told.
      if (asked.rhone.on_disconnect === "cancel") answering.cancel();
      // A branch that nobody reads would hold the rest of the stream.
      if (!client.locked) await client.cancel().catch(() => {});
    }
    const error = await recorded;
    const writer = writable.getWriter();
    if (error !== undefined)
      await writer.write(
        encodeUtf8(asked.surface.dialect.encodeStream(replyOf(answering)).push({ type: "error", error })),
      );
    await writer.close();
  })();
  // A client that leaves ends its own branch only: the recorder reads on.
  host.keepAlive(Promise.allSettled([relayed, recorded]));
  const type = upstream.headers.get("content-type")!;
  return new Response(readable, { headers: { "content-type": type } });
}

/** Resolves when the call is on record: to the error that the client has not been told yet. */
async function record(answering: Answering, blocks: AsyncIterable<Uint8Array>): Promise<GatewayError | undefined> {
  const { dialect, target, host, notes } = answering;
  const hearing = new Hearing(dialect.decodeStream(target.issuer));
  try {
    for await (const block of blocks) {
      notes.firstByteAt ??= host.now();
      hearing.push(block);
    }
    hearing.end();
    const { response, error } = hearing.folded;
    if (response === undefined) throw error;
    await settle(answering, response);
    return undefined;
  } catch (thrown) {
    const error = brokenOff(thrown);
    await settleFailure(answering, error, hearing.folded);
    return error.upstream === undefined ? error : undefined;
  }
}

/** Passes on what there is up to the first event, with `rhone` in that event; the rest is left to the pipe. */
async function begin(
  body: ReadableStream<Uint8Array>,
  writable: WritableStream<Uint8Array>,
  dialect: Dialect,
  rhone: object | undefined,
): Promise<void> {
  const reader = body.getReader();
  const writer = writable.getWriter();
  const splitter = new SseSplitter();
  const events: SseEvent[] = [];
  const alive = keepAlive(dialect, (ping) => writer.write(ping).catch(() => {}));
  try {
    while (!events.some(({ data }) => data !== undefined)) {
      const { value, done } = await reader.read();
      if (done) break;
      events.push(...splitter.push(value));
    }
    events.push(...splitter.flush());
    const first = rhone === undefined ? -1 : events.findIndex(({ data }) => data !== undefined);
    await writer.write(
      concatBytes(events.map((event, i) => (i === first ? annotateEvent(dialect, event, rhone!) : event.raw))),
    );
  } finally {
    alive.stop();
    reader.releaseLock();
    writer.releaseLock();
  }
}
