import { loadText, storeText } from "../../session/overflow.ts";
import { hasTable } from "../../session/schema.ts";
import { enqueue } from "../../store/outbox.ts";
import type { StoredRecord } from "../../store/records.ts";
import type { Storage } from "../../store/sql.ts";
import { parseJson } from "../../wire/json.ts";
import {
  type Notification,
  type NotificationType,
  toCheckpointPayload,
  toNotifications,
  toRunPayload,
  typeOfStatus,
} from "./notification.ts";
import { type Owner, toCheckpointRecord, toExecutionRecord, toRunRecord } from "./run-recorded.ts";
import type { Execution, FrozenRun, Run, RunCheckpoint, Step } from "./run.ts";

/** The kinds of rows that runs have. */
type Parts = {
  run: Run;
  frozen: FrozenRun;
  step: Step;
  execution: Execution;
  checkpoint: RunCheckpoint;
  notification: Notification;
};
type Kind = keyof Parts;

/** The number of the step that a part belongs to; 0 for one that belongs to none. */
const stepOf = (kind: Kind, part: Parts[Kind]): number =>
  kind === "step" ? (part as Step).n : kind === "execution" ? (part as Execution).step : 0;

/** `owner`: whose the session is. `subscribersOf`: the ids of the webhooks to which something is sent. */
type RunStoreServices = {
  owner: () => Owner;
  subscribersOf: (type: NotificationType) => readonly string[];
  now: () => number;
};

/** The runs of one session with their steps, executions and checkpoints: rows of a table that is made with the first of them. */
export class RunStore {
  readonly #storage: Storage;
  readonly #services: RunStoreServices;
  /** The status with which a run was last written. */
  readonly #statuses = new Map<string, string>();

  /** The session has no runs, as most: no call of it looks for the table again. */
  #isUnused = false;

  constructor(storage: Storage, services: RunStoreServices) {
    this.#storage = storage;
    this.#services = services;
  }

  /** Runs `work` as one transaction. */
  transact<T>(work: () => T): T {
    try {
      return this.#storage.transact(work);
    } catch (thrown) {
      this.#statuses.clear();
      throw thrown;
    }
  }

  /**
   * Writes a part, replacing that of the same id, together with its record and with what is sent to webhooks: of a run where its
   * status changes, of an execution when it has ended. Nothing is awaited, so all are written or none.
   */
  put<K extends Kind>(kind: K, part: Parts[K]): void {
    part.revision++;
    const hasChanged = this.#hasChanged(kind, part);
    const record = hasChanged ? this.#toRecord(kind, part) : undefined;
    if (record !== undefined) enqueue(this.#storage.sql, record);
    this.#storage.sql(
      "INSERT OR REPLACE INTO run_parts (id, kind, run, step, status, body) VALUES (?, ?, ?, ?, ?, ?)",
      part.id,
      kind,
      part.run,
      stepOf(kind, part),
      part.status,
      storeText(this.#storage.sql, part.id, JSON.stringify(part)),
    );
    this.#isUnused = false;
    if (hasChanged)
      for (const notification of this.#toNotifications(kind, part)) this.put("notification", notification);
  }

  /** Whether a part is to be recorded: of a run, when its status is another one than before. */
  #hasChanged(kind: Kind, part: Parts[Kind]): boolean {
    if (kind !== "run") return true;
    const before = this.#statuses.get(part.id) ?? this.find("run", part.id)?.status;
    this.#statuses.set(part.id, part.status);
    return before !== part.status;
  }

  #toRecord(kind: Kind, part: Parts[Kind]): StoredRecord | undefined {
    if (kind === "execution") return toExecutionRecord(part as Execution, this.#services.owner());
    if (kind === "checkpoint") return toCheckpointRecord(part as RunCheckpoint, this.#services.owner());
    return kind === "run" ? toRunRecord(part as Run) : undefined;
  }

  #toNotifications(kind: Kind, part: Parts[Kind]): Notification[] {
    const isCreated = kind === "checkpoint" && part.revision === 1;
    const type = isCreated ? "checkpoint.created" : kind === "run" ? typeOfStatus((part as Run).status) : undefined;
    const webhooks = type === undefined ? [] : this.#services.subscribersOf(type);
    if (type === undefined || webhooks.length === 0) return [];
    const data = isCreated
      ? toCheckpointPayload(part as RunCheckpoint, this.#services.owner().sessionId)
      : toRunPayload(part as Run);
    return toNotifications({ type, data, run: part.run }, webhooks, this.#services.now());
  }

  remove(kind: Kind, id: string): void {
    this.#storage.sql("DELETE FROM run_parts WHERE kind = ? AND id = ?", kind, id);
  }

  find<K extends Kind>(kind: K, id: string): Parts[K] | undefined {
    return this.#read<Parts[K]>("WHERE kind = ? AND id = ?", kind, id)[0];
  }

  /** The parts of a run, in the order in which they were made. */
  listOf<K extends Kind>(kind: K, run: string): Parts[K][] {
    return this.#read("WHERE run = ? AND kind = ? ORDER BY id", run, kind);
  }

  /** The last step of a run. */
  lastStep(run: string): Step | undefined {
    return this.#read<Step>("WHERE run = ? AND kind = 'step' ORDER BY step DESC LIMIT 1", run)[0];
  }

  /** The executions of a run, or of one of its steps, in the order of their calls. */
  listExecutions(run: string, step?: number): Execution[] {
    const executions =
      step === undefined
        ? this.listOf("execution", run)
        : this.#read<Execution>("WHERE run = ? AND kind = 'execution' AND step = ?", run, step);
    return executions.toSorted((a, b) => a.step - b.step || a.place - b.place);
  }

  /** All runs of the session, newest first: those before the id `before`. */
  listRuns({ before, limit = -1 }: { before?: string | undefined; limit?: number } = {}): Run[] {
    return this.#read("WHERE kind = 'run' AND id < ? ORDER BY id DESC LIMIT ?", before ?? "s", limit);
  }

  /** Open runs, waiting checkpoints, and messages that are to be delivered. */
  listByStatus<K extends "run" | "checkpoint" | "notification">(
    kind: K,
    ...statuses: readonly Parts[K]["status"][]
  ): Parts[K][] {
    const list = JSON.stringify(statuses);
    return this.#read("WHERE kind = ? AND status IN (SELECT value FROM json_each(?)) ORDER BY id", kind, list);
  }

  #read<T>(where: string, ...values: (string | number)[]): T[] {
    const { sql } = this.#storage;
    this.#isUnused ||= !hasTable(sql, "run_parts");
    if (this.#isUnused) return [];
    return sql<{ id: string; kind: Kind; body: string }>(
      `SELECT id, kind, body FROM run_parts ${where}`,
      ...values,
    ).map(({ id, kind, body }) => {
      const part = parseJson(loadText(sql, id, body)) as T & { status: string };
      if (kind === "run" && !this.#statuses.has(id)) this.#statuses.set(id, part.status);
      return part;
    });
  }
}
