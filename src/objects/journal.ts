import { DurableObject } from "cloudflare:workers";
import { OUTBOX_ROWS, recordDeliveryFor } from "../platform/record-delivery.ts";
import { type FoundEntry, Journal, type JournalEntry } from "../session/call-journal.ts";
import { STREAM_RETENTION_MS } from "../session/stream/event-buffer.ts";
import { Alarm } from "../store/alarm.ts";
import { OutboxSender } from "../store/outbox-sender.ts";
import { objectStorage } from "./storage.ts";

/** The Durable Object that stores stateless calls of one isolate until their sessions are accessed. It composes and decides nothing. */
export class JournalObject extends DurableObject {
  readonly #journal: Journal;
  readonly #outbox: OutboxSender;
  readonly #alarm: Alarm;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const storage = objectStorage(ctx);
    this.#journal = new Journal(storage);
    const waitUntil = (work: Promise<unknown>): void => ctx.waitUntil(work);
    this.#alarm = new Alarm((at) => void ctx.storage.setAlarm(at), Date.now);
    this.#outbox = new OutboxSender({
      sql: storage.sql,
      delivery: recordDeliveryFor(env),
      batcher: OUTBOX_ROWS,
      alarm: this.#alarm,
      waitUntil,
      now: Date.now,
    });
  }

  /**
   * Stores entries. Resolves when they are durable, and their records on their way, to the ids of those that were refused:
   * their base is no entry any more, and they have to be sent whole.
   */
  async store(entries: readonly JournalEntry[]): Promise<string[]> {
    const refused = this.#journal.enter(entries);
    this.#outbox.scheduleCheck();
    await this.ctx.storage.sync();
    this.#outbox.send();
    return refused;
  }

  /** `store` for a Worker of an older version, whose entries are whole. */
  async enter(entries: readonly JournalEntry[]): Promise<void> {
    await this.store(entries);
  }

  /** The entry of a call; `undefined` if there is none or it belongs to another organisation. */
  find(org: string, id: string): FoundEntry | undefined {
    return this.#journal.find(org, id);
  }

  /** Deletes the entry of a call that its session has stored durably. */
  strike(org: string, id: string): void {
    this.#journal.remove(org, id);
  }

  override async alarm(): Promise<void> {
    this.#alarm.onAlarm();
    await this.#outbox.settle();
    if (this.#journal.dropExpiredStreams(Date.now())) this.#alarm.scheduleWithin(STREAM_RETENTION_MS);
  }
}
