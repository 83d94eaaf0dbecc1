import { DurableObject } from "cloudflare:workers";
import { toGatewayError } from "../canonical/error.ts";
import { ask, open } from "../gateway/ask.ts";
import type { Envelope, Handled, Host } from "../gateway/call.ts";
import { answer, errorResponse } from "../gateway/path.ts";
import { messagesOf } from "../gateway/restore.ts";
import { SURFACES } from "../gateway/surface.ts";
import { type BlockFormat, headBlocks, timelineOf } from "../gateway/view.ts";
import { providersOf } from "../providers/table.ts";
import { findCallState, runningCalls } from "../session/calls.ts";
import { Lease } from "../session/lease.ts";
import { forgetSent, isEmpty, KEEP_SENT, markSent, pendingRecords, resend } from "../session/outbox.ts";
import { type Description, type Instructions, type Said, Session } from "../session/session.ts";
import { migrate, type Sql, type Storage } from "../session/sql.ts";
import type { CallRecord } from "../store/records.ts";
import { parseJson } from "../wire/json.ts";
import { elements, sliceOf } from "../wire/splice.ts";

/** While a call runs, an alarm comes this often: it keeps the object awake, and finds the call should it crash. Milliseconds. */
const HEARTBEAT = 30_000;
/** Half of the 256 KB that a batch may have: characters are not bytes. */
const MAX_BATCH = 128_000;
/** The platform gives up an alarm after six failures; it is set anew before that. */
const LAST_RETRY = 5;

/** A session's home: its only writer, its store, and where its calls run. Composes; decides nothing. */
export class SessionObject extends DurableObject {
  readonly #sql: Sql;
  readonly #session: Session;
  readonly #lease = new Lease();
  #running = 0;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#sql = (query, ...values) => ctx.storage.sql.exec(query, ...values).toArray() as never[];
    const storage: Storage = { sql: this.#sql, transact: (work) => ctx.storage.transactionSync(work) };
    migrate(storage);
    this.#session = new Session(storage, Date.now);
    resend(this.#sql);
    this.#closeWhatACrashLeft();
  }

  /** Answers a stateful call. Errors are answers, too. */
  async call({ headers: pairs, surface: surfaceId, outside, text, isNew, ...rest }: Envelope): Promise<Response> {
    const surface = SURFACES[surfaceId];
    const headers = new Headers(pairs);
    let release: (() => void) | undefined;
    try {
      const asked = ask(open(text, headers), surface, outside);
      if (!isNew) this.#session.expect(rest.caller.org);
      release = await this.#lease.take(asked.rhone.on_busy ?? "queue");
      const work: Promise<unknown>[] = [];
      const host = this.#host(isNew, (more) => work.push(more));
      const answered = answer({ ...rest, headers }, asked, host);
      this.ctx.waitUntil(this.#untilDone(answered, work, release));
      return await answered;
    } catch (thrown) {
      release?.();
      return errorResponse(surface, toGatewayError(thrown), headers.get("x-request-id") ?? rest.id);
    }
  }

  /** Takes a stateless call into the history, off its caller's path. False: another organisation's session, or none. */
  async record(handled: string): Promise<boolean> {
    const { record, isNew, received, said } = parseJson(handled) as unknown as Handled;
    if (isNew) this.#session.create(record.org, record.sessionId);
    if (!this.#isOf(record.org)) return false;
    if (said === undefined) this.#session.fail(record, received);
    else {
      const asked = messagesOf(said.input);
      const context = this.#session.place({ messages: asked });
      const list = `[${said.input.items}]`;
      const input = {
        ...said.input,
        items: elements(list)
          .slice(context.known)
          .map((span) => sliceOf(list, span))
          .join(","),
      };
      const messages = [...asked.slice(context.known), ...messagesOf(said.output)];
      const { output, instructions } = said;
      this.#session.commit(record, { context, input, output, messages, ...(instructions && { instructions }) });
    }
    await this.#durable();
    return true;
  }

  /** What a call that says this would be restored with; nothing begins. Both as JSON text; an error crosses as a value, a thrown one would lose its code. */
  contextOf(org: string, said: string): string {
    try {
      this.#session.expect(org);
      return JSON.stringify({ context: this.#session.continue(parseJson(said) as unknown as Said) });
    } catch (thrown) {
      const { code, message, param } = toGatewayError(thrown);
      return JSON.stringify({ error: { code, message, param } });
    }
  }

  // What is read crosses to the Worker as JSON text: it is sent as it is, and numbers stay the text they were.

  /** undefined, here and below: not this organisation's, or not there. */
  async create(
    org: string,
    id: string,
    instructions?: Instructions,
  ): Promise<{ isNew: boolean; session: Description }> {
    const isNew = this.#session.create(org, id, instructions);
    await this.ctx.storage.sync();
    return { isNew, session: this.#session.describe() };
  }

  describe(org: string): Description | undefined {
    return this.#isOf(org) ? this.#session.describe() : undefined;
  }

  blocks(org: string, format: BlockFormat): string | undefined {
    return this.#isOf(org) ? JSON.stringify(headBlocks(this.#session, format)) : undefined;
  }

  timeline(org: string): string | undefined {
    return this.#isOf(org) ? JSON.stringify(timelineOf(this.#sql)) : undefined;
  }

  findCall(org: string, id: string): string | undefined {
    const found = this.#isOf(org) ? findCallState(this.#sql, id) : undefined;
    return found === undefined ? undefined : JSON.stringify(found);
  }

  /** At least once: a record leaves the outbox only some time after the queue has taken it. */
  override async alarm(info?: AlarmInvocationInfo): Promise<void> {
    const now = Date.now();
    try {
      for (let records = pendingRecords(this.#sql); records.length > 0; records = pendingRecords(this.#sql)) {
        await this.#send(records);
        markSent(this.#sql, records, now);
      }
      forgetSent(this.#sql, now);
    } catch (cause) {
      if ((info?.retryCount ?? 0) < LAST_RETRY) throw cause;
    }
    if (this.#running > 0) await this.ctx.storage.setAlarm(now + HEARTBEAT);
    else if (!isEmpty(this.#sql)) await this.ctx.storage.setAlarm(now + KEEP_SENT);
  }

  /** Records that are too much for one batch go one by one. */
  async #send(records: readonly CallRecord[]): Promise<void> {
    const isOne = records.length === 1;
    const isLarge = JSON.stringify(records).length > MAX_BATCH;
    if (isOne || !isLarge) await this.env.RECORDS.sendBatch(records.map((body) => ({ body })));
    else for (const record of records) await this.env.RECORDS.send(record);
  }

  #host(isNew: boolean, keepAlive: Host["keepAlive"]): Host {
    const session = this.#session;
    return {
      contextMode: "stateful",
      providers: providersOf(this.env),
      now: Date.now,
      keepAlive,
      begin: (said, started) => {
        if (isNew) session.create(started.org, started.sessionId);
        const context = session.continue(said);
        session.start(started);
        void this.ctx.storage.setAlarm(Date.now() + HEARTBEAT);
        return context;
      },
      commit: async (record, step) => {
        session.commit(record, step);
        await this.#durable();
      },
      fail: async (record, received) => {
        session.fail(record, received);
        await this.#durable();
      },
    };
  }

  /** Holds the session for one call until all of its work is done, whoever has left meanwhile. */
  async #untilDone(answered: Promise<Response>, work: Promise<unknown>[], release: () => void): Promise<void> {
    this.#running++;
    try {
      await Promise.allSettled([answered]);
      await Promise.allSettled(work);
    } finally {
      this.#running--;
      release();
    }
  }

  async #durable(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now());
    await this.ctx.storage.sync();
  }

  #isOf(org: string): boolean {
    try {
      this.#session.expect(org);
      return true;
    } catch {
      return false;
    }
  }

  /** Whatever runs while this object is only being made ran in one that is gone. */
  #closeWhatACrashLeft(): void {
    for (const { started } of runningCalls(this.#sql)) {
      const endedAt = Date.now();
      const error = {
        code: "stream.interrupted",
        message: "the gateway was restarted during this call",
        status: 502,
      } as const;
      const latency = { gateway: 0, total: endedAt - started.createdAt };
      this.#session.fail({
        ...started,
        status: "interrupted",
        usage: {},
        latency,
        attempts: [],
        losses: [],
        error,
        endedAt,
      });
      void this.ctx.storage.setAlarm(endedAt);
    }
  }
}
