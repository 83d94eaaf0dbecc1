import { deleteAuditEvents, pendingAuditEvents } from "../store/audit-outbox.ts";
import { writeAuditEvents } from "../store/audit.ts";
import type { Sql } from "../store/sql.ts";

/** Retry interval. The platform drops an alarm after six failures, so it is set again before each attempt. Milliseconds. */
const RETRY_MS = 5_000;

/**
 * Writes an object's audit events to D1, at least once and in order: right after a change, and by alarm while D1 is
 * unavailable.
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

  /** Publishes all pending events. Never throws. The alarm is set first, so that a crash in between loses none. */
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
      console.error("audit events not written to D1, retrying", cause);
    }
  }
}
