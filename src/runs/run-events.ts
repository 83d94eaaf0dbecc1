import { ClientStream } from "../gateway/output/client-stream.ts";
import { keepAlive } from "../gateway/output/keep-alive.ts";
import { EVENT_STREAM } from "../gateway/reply/headers.ts";
import type { EventBuffer } from "../session/stream/event-buffer.ts";
import { encodeUtf8 } from "../wire/bytes.ts";
import type { Run } from "./state/run.ts";

/** After a restart, events go on with numbers that no client has seen: those of the newest events may be lost. */
const LOST_EVENTS = 100_000;

/** What has happened in a run, as its stream says. `data` has the members beside `run_id` and `event_id`. */
export type RunEvent = { type: string; [member: string]: unknown };

/**
 * The streams of a session's runs. A stream ends where its run ends or waits, and goes on when the run does. It is buffered with those
 * of the session's calls, and all sockets of the session get its events.
 */
export class RunEvents {
  readonly #buffer: EventBuffer;
  readonly #waitUntil: (work: Promise<unknown>) => void;

  constructor(buffer: EventBuffer, waitUntil: (work: Promise<unknown>) => void) {
    this.#buffer = buffer;
    this.#waitUntil = waitUntil;
  }

  /** A run starts, or goes on. `isRestarted`: its object has been started anew in between. */
  open(run: Run, { isRestarted = false } = {}): void {
    run.events = Math.max(run.events, this.#buffer.countEvents(run.id) ?? 0) + (isRestarted ? LOST_EVENTS : 0);
    this.#buffer.start(run.id, run.events);
  }

  emit(run: Run, { type, ...data }: RunEvent): void {
    this.#buffer.append(run.id, encodeEvent(run, ++run.events, { type, ...data }), { blocks: 1, events: 1 });
  }

  /** Writes what is only in memory: a crash loses none of it from then on. */
  flush(): void {
    this.#buffer.flush();
  }

  /** The runs whose stream a crash has left without an end. */
  listBroken(): string[] {
    return this.#buffer.listUnended().filter((id) => id.startsWith("run_"));
  }

  /** A run has ended, or waits. */
  close(run: Run): void {
    this.#buffer.end(run.id);
  }

  /**
   * The events of a run after the number `after`, up to where it ends or waits. Where they are no longer buffered, the event that says
   * so: `last`.
   */
  follow(run: Run, after: number, last: RunEvent): Response {
    const headers = {
      "content-type": EVENT_STREAM,
      "cache-control": "no-cache",
      "x-rhone-run-id": run.id,
      "x-rhone-session-id": run.sessionId,
    };
    if (this.#buffer.countEvents(run.id) === undefined)
      return new Response(encodeEvent(run, run.events, last), { headers });
    const client = new ClientStream(() => {});
    const alive = keepAlive("native", (ping) => client.ping(ping));
    this.#waitUntil(this.#send(run.id, after, client).finally(alive.stop));
    return new Response(client.body, { headers });
  }

  async #send(id: string, after: number, client: ClientStream): Promise<void> {
    for await (const bytes of this.#buffer.readStream(id, after)) {
      if (client.isGone) return;
      await client.send(bytes);
    }
    await client.close();
  }
}

const encodeEvent = ({ id }: Run, number: number, { type, ...data }: RunEvent): Uint8Array<ArrayBuffer> =>
  encodeUtf8(
    `event: ${type}\ndata: ${JSON.stringify({ type, event_id: number, run_id: id, ...data })}\n\n`,
  ) as Uint8Array<ArrayBuffer>;
