import { loadText, storeText } from "../session/overflow.ts";
import { hasTable } from "../session/schema.ts";
import { enqueue } from "../store/outbox.ts";
import type { StoredRecord } from "../store/records.ts";
import type { Storage } from "../store/sql.ts";
import { type Owner, toCheckpointRecord, toExecutionRecord, toRunRecord } from "./run-recorded.ts";
import type { Execution, FrozenRun, Run, RunCheckpoint, Step } from "./run.ts";

/** The kinds of rows that runs have. */
type Parts = { run: Run; frozen: FrozenRun; step: Step; execution: Execution; checkpoint: RunCheckpoint };
type Kind = keyof Parts;

/** The number of the step that a part belongs to; 0 for one that belongs to none. */
const stepOf = (kind: Kind, part: Parts[Kind]): number =>
  kind === "step" ? (part as Step).n : kind === "execution" ? (part as Execution).step : 0;

/** The runs of one session with their steps, executions and checkpoints: rows of a table that is made with the first of them. */
export class RunStore {
  readonly #storage: Storage;
  readonly #owner: () => Owner;
  /** The status with which a run was last recorded. */
  readonly #recorded = new Map<string, string>();

  /** The session has no runs, as most: no call of it looks for the table again. */
  #isUnused = false;

  /** `owner`: whose the session is. */
  constructor(storage: Storage, owner: () => Owner) {
    this.#storage = storage;
    this.#owner = owner;
  }

  /** Runs `work` as one transaction. */
  transact<T>(work: () => T): T {
    return this.#storage.transact(work);
  }

  /**
   * Writes a part, replacing that of the same id, together with its record: of a run where its status changes, of an execution when it
   * has ended. Nothing is awaited, so both are written or none.
   */
  put<K extends Kind>(kind: K, part: Parts[K]): void {
    part.revision++;
    this.#isUnused = false;
    const record = this.#toRecord(kind, part);
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
  }

  #toRecord(kind: Kind, part: Parts[Kind]): StoredRecord | undefined {
    if (kind === "execution") return toExecutionRecord(part as Execution, this.#owner());
    if (kind === "checkpoint") return toCheckpointRecord(part as RunCheckpoint, this.#owner());
    if (kind !== "run" || this.#recorded.get(part.id) === part.status) return undefined;
    this.#recorded.set(part.id, part.status);
    return toRunRecord(part as Run);
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

  /** Open runs, and waiting checkpoints. */
  listByStatus<K extends "run" | "checkpoint">(kind: K, ...statuses: readonly Parts[K]["status"][]): Parts[K][] {
    const list = JSON.stringify(statuses);
    return this.#read("WHERE kind = ? AND status IN (SELECT value FROM json_each(?)) ORDER BY id", kind, list);
  }

  #read<T>(where: string, ...values: (string | number)[]): T[] {
    const { sql } = this.#storage;
    this.#isUnused ||= !hasTable(sql, "run_parts");
    if (this.#isUnused) return [];
    return sql<{ id: string; body: string }>(`SELECT id, body FROM run_parts ${where}`, ...values).map(
      ({ id, body }) => JSON.parse(loadText(sql, id, body)) as T,
    );
  }
}
