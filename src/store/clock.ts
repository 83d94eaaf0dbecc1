import { migrate, type Sql, type Storage } from "./sql.ts";

/**
 * Periodic work. `run` may be interrupted at any place and run again; it works for a few seconds at most, and resolves to
 * whether more is waiting.
 */
export type Task = { name: string; everyMs: number; run: () => Promise<boolean> };

/** Times in Unix milliseconds. `failures`: in a row. `error`: of the last one. */
export type TaskState = {
  name: string;
  dueAt: number;
  startedAt: number | null;
  endedAt: number | null;
  failures: number;
  error: string | null;
};

const MIGRATIONS = [
  `CREATE TABLE tasks (
     name TEXT PRIMARY KEY, due_at INTEGER NOT NULL, started_at INTEGER, ended_at INTEGER,
     failures INTEGER NOT NULL DEFAULT 0, error TEXT
   ) WITHOUT ROWID`,
];

/** Until a task that has more to do is run again; others get their turn in between. */
const NEXT_STEP_MS = 1_000;
/** Until a task that has failed is tried again; doubled with each failure that follows. */
const RETRY_MS = 30_000;
const MAX_RETRY_MS = 60 * 60_000;
const MAX_ERROR = 500;

/**
 * Runs tasks when they are due, by the alarm of one object. The alarm is set again before any work: a task that ends the
 * process is tried again, later with each time.
 */
export class TaskClock {
  readonly #sql: Sql;
  readonly #tasks: readonly Task[];
  readonly #now: () => number;
  readonly #setAlarm: (at: number) => void;

  constructor(
    storage: Storage,
    { tasks, now, setAlarm }: { tasks: readonly Task[]; now: () => number; setAlarm: (at: number) => void },
  ) {
    migrate(storage, MIGRATIONS);
    this.#sql = storage.sql;
    this.#tasks = tasks;
    this.#now = now;
    this.#setAlarm = setAlarm;
  }

  /** Enters new tasks, which are due at once, forgets those of another version, and sets the alarm. */
  arm(): void {
    const names = JSON.stringify(this.#tasks.map(({ name }) => name));
    this.#sql("DELETE FROM tasks WHERE name NOT IN (SELECT value FROM json_each(?))", names);
    for (const { name } of this.#tasks)
      this.#sql("INSERT INTO tasks (name, due_at) VALUES (?, ?) ON CONFLICT DO NOTHING", name, this.#now());
    this.#setAlarm(this.#nextDue());
  }

  /** Makes a task due at once, also one that has failed. */
  wake(name: string): void {
    this.arm();
    this.#sql("UPDATE tasks SET due_at = ? WHERE name = ?", this.#now(), name);
    this.#setAlarm(this.#nextDue());
  }

  /** To be called by the alarm. Never throws: the platform gives up an alarm whose handler has thrown six times. */
  async tick(): Promise<void> {
    const states = new Map(this.list().map((state) => [state.name, state]));
    const due = this.#tasks.filter(({ name }) => (states.get(name)?.dueAt ?? 0) <= this.#now());
    for (const task of due) this.#start(task, states.get(task.name)?.failures ?? 0);
    this.#setAlarm(this.#nextDue());
    for (const task of due) await this.#run(task);
    this.#setAlarm(this.#nextDue());
  }

  list(): TaskState[] {
    return this.#sql(
      `SELECT name, due_at AS dueAt, started_at AS startedAt, ended_at AS endedAt, failures, error FROM tasks ORDER BY name`,
    );
  }

  /** Until its end the task counts as one that has failed: the process may not live to tell. */
  #start({ name, everyMs }: Task, failures: number): void {
    this.#sql(
      `INSERT INTO tasks (name, due_at, started_at, failures) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (name) DO UPDATE SET due_at = ?2, started_at = ?3, failures = ?4`,
      name,
      this.#now() + retryAfter(everyMs, failures + 1),
      this.#now(),
      failures + 1,
    );
  }

  async #run({ name, everyMs, run }: Task): Promise<void> {
    try {
      const wait = (await run()) ? NEXT_STEP_MS : everyMs;
      this.#sql(
        "UPDATE tasks SET due_at = ?, ended_at = ?, failures = 0, error = NULL WHERE name = ?",
        this.#now() + wait,
        this.#now(),
        name,
      );
    } catch (cause) {
      console.error("a periodic task has failed", name, cause);
      this.#sql("UPDATE tasks SET error = ? WHERE name = ?", String(cause).slice(0, MAX_ERROR), name);
    }
  }

  /** Of the tasks that this version has: another one may have entered more. */
  #nextDue(): number {
    const due = new Map(this.list().map(({ name, dueAt }) => [name, dueAt]));
    return Math.max(Math.min(...this.#tasks.map(({ name }) => due.get(name) ?? 0)), this.#now());
  }
}

/** A task that fails is tried again soon, and then less and less often. */
const retryAfter = (everyMs: number, failures: number): number =>
  Math.min(RETRY_MS * 2 ** (failures - 1), Math.max(everyMs, MAX_RETRY_MS));
