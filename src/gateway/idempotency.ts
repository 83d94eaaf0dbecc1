import { GatewayError } from "../canonical/error.ts";
import type { CallState } from "../session/calls.ts";
import { BYTE_LOG_SCHEMA, ByteLog } from "../session/stream/byte-log.ts";
import type { Storage } from "../store/sql.ts";
import { toByteStream } from "../wire/bytes.ts";
import { raceTimeout } from "../wire/time.ts";

/** How long an answer is stored for repetitions of its request. Milliseconds. */
export const ANSWER_RETENTION_MS = 24 * 60 * 60_000;
/** How long the end of an answer waits for its call's record, which has the final status. Milliseconds. */
const SETTLE_MS = 5_000;

/** `fingerprint`: equal for equal requests. `returnsSecret`: the answer contains a new secret and is never stored. */
export type IdempotentRequest = { fingerprint: string; returnsSecret: boolean };

/**
 * A request that is being run. `settled` resolves when the work behind its response is done, `statusOf` reads the
 * status of a call by id.
 */
export type RequestRun = {
  response: Response;
  settled: () => Promise<unknown>;
  statusOf: (call: string) => Promise<CallState["status"] | undefined>;
};

type IdempotencyServices = Storage & {
  now: () => number;
  /** Prevents the object's eviction until the work is done. */
  waitUntil: (work: Promise<unknown>) => void;
  /** Schedules the deletion of everything stored here. Unix milliseconds. */
  expireAt: (time: number) => void;
  /** Resolves when all writes are on disk. */
  durable: () => Promise<void>;
};

/** Status and headers of an answer; its body is the log. */
type Head = { status: number; headers: [string, string][] };
type Run = { fingerprint: string; head: Promise<Head>; log: ByteLog };
/** `head` is null if the answer contained a secret. */
type Row = { run: number; fingerprint: string; head: string | null; size: number };

/** Runs the first request with an idempotency key and answers all others with the same response. */
export class Idempotency {
  readonly #services: IdempotencyServices;
  #running: Run | undefined;
  #lastRun = 0;

  constructor(services: IdempotencyServices) {
    this.#services = services;
  }

  /**
   * Streams the first request's answer from its first byte, whether the request is still running or has finished. A
   * first request that failed, or was interrupted by a crash, is not stored, so the next one runs again.
   *
   * Throws `idempotency.mismatch` for a different request, and for a repetition of a request that returned a secret.
   */
  async answer({ fingerprint, returnsSecret }: IdempotentRequest, run: () => Promise<RequestRun>): Promise<Response> {
    const { sql } = this.#services;
    sql(BYTE_LOG_SCHEMA);
    sql(ANSWERS);
    const first = this.#running ?? this.#loadStored();
    if (first === undefined) return await toResponse(this.#start({ fingerprint, returnsSecret }, run));
    if (first.fingerprint !== fingerprint) throw mismatch("expected the same request as the first one with this key");
    const { headers, status, body } = await toResponse(first);
    headers.set("idempotency-replayed", "true");
    return new Response(body, { status, headers });
  }

  /** Whether the first request's answer is still being written. */
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
    // The head may be rejected after its client has left, when no response awaits it.
    head.promise.catch(() => {});
    const running = { fingerprint, head: head.promise, log };
    this.#running = running;
    const store = (stored: Head): void => this.#store(started, running, returnsSecret ? undefined : stored);
    waitUntil(this.#record(run, { log, head, store }));
    return running;
  }

  /** Runs the request and logs its body. The answer is durable before its readers receive the end of the body. */
  async #record(
    run: () => Promise<RequestRun>,
    { log, head, store }: Pick<Run, "log"> & { head: PromiseWithResolvers<Head>; store: (head: Head) => void },
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
      const json = head === undefined ? null : JSON.stringify(head);
      const size = head === undefined ? 0 : log.size;
      sql("INSERT INTO answers (run, fingerprint, head, size) VALUES (?, ?, ?, ?)", run, fingerprint, json, size);
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

/** Finished answers. `run`: start of the request in Unix milliseconds. */
const ANSWERS =
  "CREATE TABLE IF NOT EXISTS answers (run INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, head TEXT, size INTEGER NOT NULL)";

/**
 * Successes and errors of the request itself (400, 422) are final; other refusals may not recur, so they are not
 * stored.
 */
const isRepeatable = (status: number): boolean => status <= 400 || status === 422;

/** Whether the call's record has a failed status: a stream that breaks has status 200 all the same. */
async function hasFailed({ response, settled, statusOf }: RequestRun): Promise<boolean> {
  const call = response.headers.get("x-rhone-call-id");
  if (call === null) return false;
  await raceTimeout(settled(), SETTLE_MS);
  const status = await statusOf(call);
  return status !== undefined && FAILED.has(status);
}

/** Final states of a call without a complete answer. */
const FAILED: ReadonlySet<CallState["status"]> = new Set(["incomplete", "failed", "interrupted"]);

async function toResponse({ head, log }: Run): Promise<Response> {
  const { status, headers } = await head;
  const hasBody = status !== 204 && status !== 304;
  return new Response(hasBody ? toByteStream(log.read()) : null, { status, headers });
}

/** The head of an answer that is not stored because it contained a secret. */
const rejectSecret = async (): Promise<never> => {
  throw mismatch("expected a new key; the first answer contained a secret, which is not stored");
};

const mismatch = (expected: string): GatewayError =>
  new GatewayError("idempotency.mismatch", `idempotency-key: ${expected}`, { param: "idempotency-key" });
