import type { ToolCall } from "../canonical/types.ts";
import { autoCompact, type CommandServices } from "../gateway/session/commands.ts";
import { queryModel } from "../gateway/session/query-model.ts";
import { SessionCalls } from "../gateway/session/session-calls.ts";
import { SessionStreams } from "../gateway/session/session-streams.ts";
import type { AnswerIndex } from "../gateway/session/stored-answers.ts";
import type { QueryJudge } from "../gateway/shield/judge.ts";
import { SessionShield } from "../gateway/shield/session-shield.ts";
import { SessionSockets } from "../gateway/sockets/session-sockets.ts";
import type { Caller } from "../keys/caller.ts";
import { carriedItemsFor } from "../platform/carried-items.ts";
import { requireNoHold } from "../platform/holds.ts";
import { createBudgets } from "../platform/key-stubs.ts";
import { providersFor } from "../platform/org-providers.ts";
import { OUTBOX_ROWS, recordDeliveryFor } from "../platform/record-delivery.ts";
import { responseIndexFor } from "../platform/response-index.ts";
import { getIsolateRouter } from "../platform/router.ts";
import { shieldFor } from "../platform/safety.ts";
import { authenticateSocket } from "../platform/socket-auth.ts";
import { findResponseItems, indexItems } from "../platform/stored-items.ts";
import { indexTranscript } from "../platform/transcript-index.ts";
import { loadCatalogue } from "../providers/catalogue.ts";
import { cancelAnswer, prepareAnswer } from "../runs/answer/answer-call.ts";
import { performOnRun } from "../runs/api/run-api.ts";
import { toRunCommand } from "../runs/api/run-frames.ts";
import { RunEngine } from "../runs/run-engine.ts";
import { ClientSteps } from "../runs/steps/client-steps.ts";
import { NativeSteps } from "../runs/steps/native-steps.ts";
import { findResults, findShown } from "../runs/stored-results.ts";
import { listInterruptedCalls } from "../session/interrupted-calls.ts";
import { Lease } from "../session/lease.ts";
import { toSessionRecord } from "../session/row.ts";
import { withLazyTables } from "../session/schema.ts";
import { Session } from "../session/session.ts";
import { failInterruptedResponses } from "../session/stored-responses.ts";
import { EventBuffer } from "../session/stream/event-buffer.ts";
import type { Turn } from "../session/turns.ts";
import type { SafetyPolicy } from "../shield/policy.ts";
import { Alarm } from "../store/alarm.ts";
import { openBlobs } from "../store/blobs.ts";
import { OutboxSender } from "../store/outbox-sender.ts";
import type { CallRecord } from "../store/records.ts";
import { upsertSession } from "../store/sessions.ts";
import type { Sql } from "../store/sql.ts";
import { encodeObjectId, objectIdIn } from "../wire/id.ts";
import { runServicesFor } from "./run-services.ts";
import { objectStorage } from "./storage.ts";

/** Everything that one session's object is composed of. Built once per object; a call takes the part it uses. */
export class SessionServices {
  readonly sql: Sql;
  readonly session: Session;
  readonly objectId: string;
  readonly commands: CommandServices;
  readonly calls: SessionCalls;
  readonly runs: RunEngine;
  readonly buffer: EventBuffer;
  readonly streams: SessionStreams;
  readonly sockets: SessionSockets;
  readonly outbox: OutboxSender;
  readonly alarm: Alarm;
  readonly #ctx: DurableObjectState;
  readonly #env: Cloudflare.Env;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    this.#ctx = ctx;
    this.#env = env;
    const waitUntil = (work: Promise<unknown>): void => ctx.waitUntil(work);
    const now = Date.now;
    const { sql, transact } = objectStorage(ctx);
    this.sql = withLazyTables(sql);
    this.session = new Session({ sql: this.sql, transact }, now);
    // A named object's name is that of the call that created the session; see platform/journal-stubs.ts.
    this.objectId = ctx.id.name ?? encodeObjectId(ctx.id.toString());
    this.alarm = new Alarm((at) => void ctx.storage.setAlarm(at), now);
    this.outbox = new OutboxSender({
      sql: this.sql,
      delivery: recordDeliveryFor(env),
      batcher: OUTBOX_ROWS,
      alarm: this.alarm,
      waitUntil,
      now,
    });
    this.buffer = new EventBuffer(this.sql, now, (segment) => this.sockets.broadcast(segment));
    this.streams = new SessionStreams({
      buffer: this.buffer,
      hasListeners: () => this.sockets.hasListeners,
      waitUntil,
    });
    const state = {
      session: this.session,
      sql: this.sql,
      lease: new Lease(() => this.runs.requireUnclaimed()),
      shield: new SessionShield(this.session, this.sql, env.RHONE_SHIELD_KEY ?? ""),
      blobs: openBlobs(env.BLOBS, this.objectId),
      objectId: this.objectId,
      resultsFor: (turn: Turn) => findResults(turn, { sql: this.sql, store: this.runs.services.store }),
      findShown: (last: Turn, calls: readonly ToolCall[]) =>
        findShown(last, calls, {
          sql: this.sql,
          store: this.runs.services.store,
          definitionOf: (run) => this.runs.definitionOf(run),
        }),
    };
    const models = {
      providers: (org: string) => providersFor(env, org, waitUntil),
      router: () => getIsolateRouter(env),
      carried: (org: string) => carriedItemsFor(env, org),
      shield: (caller: Caller, requested: SafetyPolicy | undefined, isApproved = false) => {
        const query = this.#queryFor(caller);
        return shieldFor(env, { caller, requested, isApproved, session: state.shield, query }, waitUntil);
      },
      budgets: createBudgets(env, waitUntil),
    };
    const lifetime = {
      now,
      waitUntil,
      watch: () => this.outbox.scheduleCheck(),
      durable: () => this.durable(),
      requireNoHold: async () => {
        if (this.session.exists) await requireNoHold(env, this.session.row.org, this.session.row.id);
      },
    };
    this.commands = {
      state,
      models,
      lifetime,
      list: (record) => this.list(record),
      stopCalls: async () => {
        await this.runs.cancelAll();
        await this.calls.stopAll();
      },
      closeSockets: () => this.sockets.closeAll(),
    };
    const index: AnswerIndex = {
      addResponse: (call, id) => this.indexResponse(call, id),
      addItems: (call, ids) => this.indexItems(call, ids),
    };
    const schedule = (ms: number): void => this.alarm.scheduleWithin(ms);
    this.runs = new RunEngine(
      runServicesFor({
        storage: { sql: this.sql, transact },
        state,
        models,
        lifetime,
        index,
        buffer: this.buffer,
        env,
        definitionOf: (run) => this.runs.definitionOf(run),
        schedule,
      }),
      schedule,
      (run, definition, services) =>
        definition.client === undefined
          ? new NativeSteps(run, definition, services)
          : new ClientSteps(run, definition, services),
    );
    this.sockets = new SessionSockets(
      {
        objectId: this.objectId,
        session: this.session,
        buffer: this.buffer,
        now,
        answer: (call) => this.calls.answer(call),
        run: async (frame, { id, caller, address }) => {
          const { id: sessionId } = this.session.row;
          const response = await performOnRun(toRunCommand(frame, { id, sessionId, address }), caller, this.runs);
          await response.body?.cancel();
        },
        authenticate: (attachment) => authenticateSocket(attachment, env, waitUntil),
        create: (org, id) => void (this.session.create(org, id) && this.outbox.scheduleCheck()),
        waitUntil,
      },
      ctx.getWebSockets(),
    );
    this.calls = new SessionCalls({
      state,
      models,
      lifetime,
      streams: this.streams,
      runs: {
        findDefaultHarness: this.runs.services.findDefaultHarness,
        prepare: (requested) => prepareAnswer(this.runs, requested),
        cancel: (call) => cancelAnswer(this.runs, call),
      },
      index: {
        ...index,
        addTranscript: ({ caller, conversation }, hash) =>
          indexTranscript(env.DIRECTORY, caller, { conversation: conversation!.id!, hash }),
        findItems: (org, ids) => findResponseItems(env, org, ids),
      },
      onCommitted: (record, caller) =>
        autoCompact(record, caller, (model) => this.#contextWindow(model), this.commands),
    });
  }

  /** Fails the calls and responses that a crash interrupted, and has their records sent. */
  recover(): void {
    failInterruptedResponses(this.sql, (call) => this.runs.answers(call));
    for (const record of listInterruptedCalls(this.sql, Date.now())) {
      this.session.fail(record);
      this.streams.interrupt(record);
      void this.#ctx.storage.setAlarm(record.endedAt);
    }
    this.runs.recover();
  }

  /** Waits until everything written is on disk, then sends the outbox. */
  async durable(): Promise<void> {
    this.outbox.scheduleCheck();
    await this.#ctx.storage.sync();
    this.outbox.send();
    if (this.session.exists) this.runs.services.notifier.send(this.session.row.org);
  }

  /** Makes a response findable by the id its provider gave it. An id of the gateway's own contains its location. */
  async indexResponse({ id: call, org }: Pick<CallRecord, "id" | "org">, responseId: string): Promise<void> {
    if (objectIdIn("resp", responseId) !== undefined) return;
    const index = responseIndexFor(this.#env.DIRECTORY, org, responseId);
    await index.put(responseId, { place: this.objectId, call });
  }

  /** Makes items of a call's stored response findable by their ids. Never throws: in their session they are found anyway. */
  async indexItems({ id: call, org }: Pick<CallRecord, "id" | "org">, ids: readonly string[]): Promise<void> {
    await indexItems(this.#env, org, ids, { place: this.objectId, call }).catch((cause: unknown) =>
      console.error("items not indexed", call, cause),
    );
  }

  /** Writes the session to the list of sessions, before the answer leaves. If that fails, the outbox does it later. */
  async list(record = toSessionRecord(this.session.row, false)): Promise<void> {
    await upsertSession(this.#env.DB, record).catch(() => {});
  }

  /** Queries a model for a caller, as a call of the session that adds no turn. */
  #queryFor(caller: Caller): QueryJudge {
    return (query) => queryModel(query, { ...this.commands, caller });
  }

  /** Tokens; `undefined` for a model that is not in the catalogue. */
  async #contextWindow(model: string): Promise<number | undefined> {
    const catalogue = await loadCatalogue(await this.commands.models.providers(this.session.row.org));
    return catalogue.find(model)?.context;
  }
}
