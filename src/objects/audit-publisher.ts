import { deleteAuditEvents, pendingAuditEvents } from "../store/audit-outbox.ts";
import { writeAuditEvents } from "../store/audit.ts";
import type { Sql } from "../store/sql.ts";

/** The platform gives up an alarm after six failures; it is set anew long before. Milliseconds. */
const RETRY_MS = 5_000;

/**
 * Brings an object's changes to D1, each at least once and in their order. Whoever made a change need not wait for the
 * alarm; when D1 is away, the alarm tries on.
 */
export class AuditPublisher {
  readonly #sql: Sql;
  readonly #db: D1Database;
  readonly #storage: DurableObjectStorage;
  #publishing: Promise<void> = Promise.resolve();

  constructor(sql: Sql, db: D1Database, storage: DurableObjectStorage) {
    this.#sql = sql;
    this.#db = db;
    this.#storage = storage;
  }

  /** Never throws. The alarm is set before, so that a crash in between is made good. */
  async publish(): Promise<void> {
    if (pendingAuditEvents(this.#sql).length === 0) return;
    await this.#storage.setAlarm(Date.now() + RETRY_MS);
    this.#publishing = this.#publishing.then(() => this.#publishAll());
    await this.#publishing;
  }

  async #publishAll(): Promise<void> {
    try {
      for (let events = pendingAuditEvents(this.#sql); events.length > 0; events = pendingAuditEvents(this.#sql)) {
        await writeAuditEvents(this.#db, events);
        deleteAuditEvents(this.#sql, events);
      }
    } catch (cause) {
      console.error("changes wait for D1", cause);
    }
  }
}
