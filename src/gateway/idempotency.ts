import { GatewayError } from "../canonical/error.ts";
import type { CallState } from "../session/calls.ts";
import { ByteLog, BYTE_LOG_SCHEMA } from "../session/stream/byte-log.ts";
import type { Storage } from "../store/sql.ts";
import { streamOf } from "../wire/bytes.ts";
import { raceTimeout } from "../wire/time.ts";

/** How long a request's first answer is what its repetitions get. SPEC 3. Milliseconds. */
export const ANSWER_RETENTION_MS = 24 * 60 * 60_000;
/** How long the end of an answer waits for what is on record of its call. Milliseconds. */
const SETTLE_MS = 5_000;

/** `tellsSecret`: the answer is for those who wait for it, and never stored. */
export type IdempotentRequest = { fingerprint: string; returnsSecret: boolean };

/** An answer as it begins; when all the work beside it is done; and what is on record of a call by then. */
export type RequestRun = {
  response: Response;
  settled: () => Promise<unknown>;
  statusOf: (call: string) => Promise<CallState["status"] | undefined>;
};

type IdempotencyServices = Storage & {
  now: () => number;
  /** Keeps the object awake until then. */
  waitUntil: (work: Promise<unknown>) => void;
  /** Has everything stored here deleted then, in Unix milliseconds. */
  expireAt: (time: number) => void;
  /** Resolves when all that was written is on disk. */
  durable: () => Promise<void>;
};

type Head = { status: number; headers: [string, string][] };
type Run = { fingerprint: string; head: Promise<Head>; log: ByteLog };
type Row = { run: number; fingerprint: string; head: string | null; size: number };

/** All requests with one idempotency key: the first is run, the others get its answer. */
export class Idempotency {
  readonly #services: IdempotencyServices;
  #running: Run | undefined;
  #lastRun = 0;

  constructor(services: IdempotencyServices) {
    this.#services = services;
  }

  /**
   * The answer of the request that came first, from its first byte on, whether it still runs or has long ended. A first
   * one that failed counts as none, and so does one that a crash took: nothing of it stands in `answers`. Throws `idempotency.mismatch` for another request, and for a secret told before.
   */
  async answer({ fingerprint, returnsSecret }: IdempotentRequest, run: () => Promise<RequestRun>): Promise<Response> {
    const { sql } = this.#services;
    sql(BYTE_LOG_SCHEMA);
    sql(ANSWERS);
    const first = this.#running ?? this.#loadStored();
    if (first === undefined) return await told(this.#start({ fingerprint, returnsSecret }, run));
    if (first.fingerprint !== fingerprint) throw mismatch("expected the request that it came with first");
    const { headers, status, body } = await told(first);
    headers.set("idempotency-replayed", "true");
    return new Response(body, { status, headers });
  }

  /** Whether what is stored here is still being written. */
  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  #start({ fingerprint, returnsSecret }: IdempotentRequest, run: () => Promise<RequestRun>): Run {
    const { sql, now, waitUntil, expireAt } = this.#services;
    const started = Math.max(now(), this.#lastRun + 1);
    this.#lastRun = started;
    expireAt(started + ANSWER_RETENTION_MS);
    const log = new ByteLog(sql, started);
    const head = Promise.withResolvers<Head>();
    // Its client may have left before there is one.
    head.promise.catch(() => {});
    const running = { fingerprint, head: head.promise, log };
    this.#running = running;
    const store = (stored: Head): void => this.#store(started, running, returnsSecret ? undefined : stored);
    waitUntil(this.#record(run, { log, head, keep: store }));
    return running;
  }

  /** An answer is kept before its readers are told that it has ended. */
  async #record(
    run: () => Promise<RequestRun>,
    { log, head, keep: store }: Pick<Run, "log"> & { head: PromiseWithResolvers<Head>; keep: (of: Head) => void },
  ): Promise<void> {
    try {
      const started = await run();
      const { status, headers, body } = started.response;
      const stored = { status, headers: [...headers] };
      head.resolve(stored);
      for await (const bytes of body ?? []) log.append(bytes);
      if (isRepeatable(status) && !(await hasFailed(started))) {
        store(stored);
        await this.#services.durable();
      }
      this.#running = undefined;
      log.end();
    } catch (cause) {
      this.#running = undefined;
      head.reject(cause);
      log.fail(cause);
    }
  }

  #store(run: number, { fingerprint, log }: Run, head: Head | undefined): void {
    const { sql, transact } = this.#services;
    transact(() => {
      if (head !== undefined) log.flush();
      const told = head === undefined ? null : JSON.stringify(head);
      const size = head === undefined ? 0 : log.size;
      sql("INSERT INTO answers (run, fingerprint, head, size) VALUES (?, ?, ?, ?)", run, fingerprint, told, size);
    });
  }

  #loadStored(): Run | undefined {
    const { sql, now } = this.#services;
    const [row] = sql<Row>(
      "SELECT * FROM answers WHERE run > ? ORDER BY run DESC LIMIT 1",
      now() - ANSWER_RETENTION_MS,
    );
    if (row === undefined) return undefined;
    const { run, fingerprint, head, size } = row;
    const log = ByteLog.reopen(sql, run, size);
    return {
      fingerprint,
      log,
      head: head === null ? rejectSecret() : Promise.resolve(JSON.parse(head) as Head),
    };
  }
}

/** An answer stands here when it is whole. `run`: when it began, in Unix milliseconds. */
const ANSWERS =
  "CREATE TABLE IF NOT EXISTS answers (run INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, head TEXT, size INTEGER NOT NULL)";

/** Successes, and what is wrong with the request itself; any other refusal may be none the next time. */
const isRepeatable = (status: number): boolean => status <= 400 || status === 422;

/** A stream that broke after it had begun: its status still says 200, and its call's record does not. */
async function hasFailed({ response, settled, statusOf }: RequestRun): Promise<boolean> {
  const call = response.headers.get("x-rhone-call-id");
  if (call === null) return false;
  await raceTimeout(settled(), SETTLE_MS);
  const status = await statusOf(call);
  return status !== undefined && FAILED.has(status);
}

const FAILED: ReadonlySet<CallState["status"]> = new Set(["incomplete", "failed", "interrupted"]);

async function told({ head, log }: Run): Promise<Response> {
  const { status, headers } = await head;
  const hasBody = status !== 204 && status !== 304;
  return new Response(hasBody ? streamOf(log.read()) : null, { status, headers });
}

const rejectSecret = async (): Promise<never> => {
  throw mismatch("expected a new one; the first answer told a secret, which is not kept");
};

const mismatch = (expected: string): GatewayError =>
  new GatewayError("idempotency.mismatch", `idempotency-key: ${expected}`, { param: "idempotency-key" });
