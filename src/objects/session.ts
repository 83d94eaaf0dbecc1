import { DurableObject } from "cloudflare:workers";
import { GatewayError, invalid } from "../canonical/error.ts";
import { importBranch } from "../session/history/branch.ts";
import type { SessionCall, StatelessCall } from "../gateway/call/call.ts";
import { autoCompact, type Command, type CommandServices, runCommand } from "../gateway/session/commands.ts";
import { runConversationCommand, type ConversationCommand } from "../gateway/session/conversations.ts";
import { toRpcResponse } from "../canonical/rpc-error.ts";
import type { StreamChunk } from "../gateway/output/remote-recorder.ts";
import { type ResponseQuery, readStoredResponse } from "../gateway/session/stored-responses.ts";
import { findContext, asOpenAiError } from "../gateway/responses/state.ts";
import { PROTOCOL, SessionSockets } from "../gateway/sockets/session-sockets.ts";
import { SessionCalls } from "../gateway/session/session-calls.ts";
import { SessionStreams } from "../gateway/session/session-streams.ts";
import { importCall } from "../gateway/session/import-call.ts";
import { toApiSession } from "../session/history/views.ts";
import { budgetsFor } from "../platform/key-stubs.ts";
import { authenticateSocket, readAttachment } from "../platform/socket-ticket.ts";
import { responseIndexFor } from "../platform/response-index.ts";
import { findJournalEntry, removeJournalEntry } from "../platform/call-journal.ts";
import { providersFor } from "../platform/org-providers.ts";
import { isolateRouter, loadRouter } from "../platform/router.ts";
import { catalogueOf } from "../providers/catalogue.ts";
import { Alarm } from "../store/alarm.ts";
import { EventBuffer } from "../session/stream/event-buffer.ts";
import { type CallState, findCallState, type CallStart } from "../session/calls.ts";
import { interruptedCalls } from "../session/recovery.ts";
import { OutboxSender, type PendingRow } from "../store/outbox-sender.ts";
import { Lease } from "../session/lease.ts";
import { inlineAll } from "../session/large-strings.ts";
import { failInterruptedResponses } from "../session/stored-responses.ts";
import { recordOf } from "../session/row.ts";
import { type TurnInput, Session } from "../session/session.ts";
import type { Sql, Storage } from "../store/sql.ts";
import { withLazyTables, isStored } from "../session/schema.ts";
import { blobsOf } from "../store/blobs.ts";
import type { CallRecord } from "../store/records.ts";
import { upsertSession } from "../store/sessions.ts";
import { linesOf, readRpcText } from "../wire/bytes.ts";
import { Batcher } from "../wire/batcher.ts";
import { journalIn, createdAtOf, objectIdIn, encodeObjectId } from "../wire/id.ts";
import { parseJson } from "../wire/json.ts";
import type { Caller } from "../keys/caller.ts";
import type { ResponsesState } from "../gateway/call/responses-state.ts";

/** While a call runs, an alarm comes this often: it keeps the object awake, and finds the call should it crash. Milliseconds. */
const HEARTBEAT = 30_000;
/** How long after its beginning a call that runs elsewhere may still be unknown here. Milliseconds. */
const FRESH = 2_000;
/** Of all the sessions that live in this isolate. */
const BAG = new Batcher<PendingRow>();

/** A session's home: its only writer, its store, and where its calls run. Composes; decides nothing. */
export class SessionObject extends DurableObject {
  readonly #sql: Sql;
  readonly #session: Session;
  readonly #commanded: CommandServices;
  readonly #calls: SessionCalls;
  readonly #buffer: EventBuffer;
  readonly #streams: SessionStreams;
  readonly #sockets: SessionSockets;
  readonly #delivery: OutboxSender;
  readonly #alarm: Alarm;
  #arrived: Promise<void> = Promise.resolve();

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const settling = loadRouter(env, (work) => ctx.waitUntil(work));
    if (settling !== undefined) void ctx.blockConcurrencyWhile(() => settling);
    this.#sql = withLazyTables((query, ...values) => ctx.storage.sql.exec(query, ...values).toArray() as never[]);
    const storage: Storage = { sql: this.#sql, transact: (work) => ctx.storage.transactionSync(work) };
    this.#session = new Session(storage, Date.now);
    // A name is that of the call with which the session began; see http/journal.ts.
    const place = ctx.id.name ?? encodeObjectId(ctx.id.toString());
    this.#commanded = {
      session: this.#session,
      sql: this.#sql,
      lease: new Lease(),
      blobs: blobsOf(env.BLOBS, place),
      place,
      providers: (org) => providersFor(env, org, (work) => ctx.waitUntil(work)),
      router: () => isolateRouter(env),
      now: Date.now,
      budgets: budgetsFor(env, (work) => ctx.waitUntil(work)),
      durable: () => this.#durable(),
      list: (record) => this.#list(record),
      stopCalls: () => this.#calls.stopAll(),
      hangUp: () => this.#sockets.closeAll(),
    };
    const waitUntil = (work: Promise<unknown>): void => ctx.waitUntil(work);
    this.#alarm = new Alarm((at) => void ctx.storage.setAlarm(at), Date.now);
    const queue = env.RECORDS;
    this.#delivery = new OutboxSender({
      sql: this.#sql,
      queue,
      bag: BAG,
      alarm: this.#alarm,
      waitUntil,
      now: Date.now,
    });
    this.#buffer = new EventBuffer(this.#sql, Date.now, (piece) => this.#sockets.broadcast(piece));
    this.#streams = new SessionStreams({ buffer: this.#buffer, waitUntil });
    this.#sockets = new SessionSockets(
      {
        place,
        session: this.#session,
        buffer: this.#buffer,
        now: Date.now,
        answer: (envelope) => this.#calls.answer(envelope),
        authenticate: (attachment) => authenticateSocket(attachment, env, waitUntil),
        create: (org, id) => void (this.#session.create(org, id) && this.#delivery.send()),
        waitUntil,
      },
      ctx.getWebSockets(),
    );
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('{"type":"ping"}', '{"type":"pong"}'));
    this.#calls = new SessionCalls({
      ...this.#commanded,
      streams: this.#streams,
      waitUntil,
      watch: () => this.#delivery.watch(),
      indexResponse: ({ id, caller }, named) => this.#name({ id, org: caller.org }, named),
      onStarted: () => this.#delivery.send(),
      onCommitted: (record, caller) =>
        autoCompact(record, caller, (model) => this.#contextWindow(model), this.#commanded),
    });
    if (!this.#session.exists) return;
    failInterruptedResponses(this.#sql);
    this.#closeWhatACrashLeft();
  }

  /** Answers a stateful call. Errors are answers, too. */
  async call(envelope: SessionCall): Promise<Response> {
    await this.#arrive(envelope.caller.org);
    return await this.#calls.answer(envelope);
  }

  /** Takes a stateless call into the history, off its caller's path. False: another organisation's session, or none. */
  async record(text: string | ReadableStream<Uint8Array>, told?: StreamChunk): Promise<boolean> {
    const handled = parseJson(await readRpcText(text)) as unknown as StatelessCall;
    const { org, sessionId } = handled.record;
    if (handled.isNew) this.#session.create(org, sessionId, { createdAt: handled.record.createdAt });
    if (!this.#isOf(org)) return false;
    const { record, kept } = handled;
    if (told !== undefined) this.#streams.append(record, told);
    await importCall(handled, this.#session, this.#commanded.blobs);
    this.#streams.recorded(record);
    await this.#durable();
    if (kept !== undefined) await this.#name(record, kept.id);
    return true;
  }

  /** Some of the stream of a stateless call that still runs. */
  tell(text: string, load: StreamChunk): void {
    const { started, isNew } = parseJson(text) as unknown as { started: CallStart; isNew: boolean };
    if (isNew && this.#session.create(started.org, started.sessionId)) this.#delivery.send();
    if (!this.#isOf(started.org)) return;
    if (findCallState(this.#sql, started.id) === undefined) this.#session.start(started);
    this.#streams.append(started, load);
  }

  /** What a call that says this would be restored with, as a JSON text; nothing begins. */
  async contextOf(
    org: string,
    said: string | ReadableStream<Uint8Array>,
    response?: ResponsesState,
  ): Promise<Response> {
    return await toRpcResponse(async () => {
      await this.#arrive(org);
      const { blobs } = this.#commanded;
      const asked = parseJson(await readRpcText(said)) as unknown as TurnInput;
      asOpenAiError(response, () => this.#session.requireOrganization(org));
      const context = findContext(this.#session, asked, response, this.#sql);
      const history = await inlineAll(context.history, blobs);
      return Response.json({ ...context, history });
    });
  }

  /** Whatever is done with a session beside calling it; see gateway/commands.ts. Answers as the API does. */
  async perform(command: Command, caller: Caller): Promise<Response> {
    return await toRpcResponse(async () => {
      await this.#arrive(caller.org);
      return await runCommand(command, caller, this.#commanded);
    });
  }

  /** Makes this session of an exported branch. `parent`: the place of the one that it comes from. */
  async adopt(lines: ReadableStream<Uint8Array>, made: { org: string; id: string; parent: string }): Promise<Response> {
    return await toRpcResponse(async () => {
      await this.#arrive(made.org);
      if (this.#session.exists) throw invalid("id", "expected an id that no session has yet");
      await importBranch(linesOf(lines), this.#commanded, made);
      await Promise.all([this.#durable(), this.#list()]);
      return Response.json(toApiSession(this.#session), { status: 201 });
    });
  }

  /** What OpenAI's API asks of this session as a conversation; see gateway/conversations.ts. */
  async converse(asked: ConversationCommand, id: string, caller: Caller): Promise<Response> {
    return await toRpcResponse(async () => {
      await this.#arrive(caller.org);
      return await runConversationCommand(asked, id, caller, this.#commanded);
    });
  }

  /** What OpenAI's API asks of a response that is kept here; see gateway/recall.ts. */
  async recall(asked: ResponseQuery, org: string): Promise<Response> {
    return await toRpcResponse(async () => {
      await this.#arrive(org);
      return await readStoredResponse(asked, org, { ...this.#commanded, streams: this.#streams, calls: this.#calls });
    });
  }

  /** False: another organisation's, or not there. */
  async has(org: string): Promise<boolean> {
    await this.#arrive(org);
    return this.#isOf(org);
  }

  async findCall(org: string, id: string): Promise<string | undefined> {
    await this.#arrive(org);
    const found = this.#isOf(org) ? findCallState(this.#sql, id) : undefined;
    return found === undefined ? undefined : JSON.stringify(found);
  }

  /** A call's stream behind its event number `after`; see gateway/streams.ts. */
  async stream(org: string, id: string, after: number): Promise<Response> {
    return await toRpcResponse(async () => {
      await this.#arrive(org);
      // A stateless call runs elsewhere, and is known here a second after it has begun.
      const isFresh = Math.abs(Date.now() - createdAtOf(id)) < FRESH;
      for (let tries = isFresh ? 20 : 0; tries > 0 && !this.#hasCall(org, id); tries--) await sleep(FRESH / 20);
      return this.#streams.resume(this.#callOf(org, id), after);
    });
  }

  /** Stops a running call. Resolves to what became of it, as JSON text. */
  async cancel(org: string, id: string): Promise<Response> {
    return await toRpcResponse(async () => {
      await this.#arrive(org);
      this.#callOf(org, id);
      await this.#calls.stop(id);
      return Response.json(this.#callOf(org, id));
    });
  }

  /** The client of a call has left, as the Worker noticed that had it from them. */
  left(id: string): void {
    this.#calls.left(id);
  }

  /** A WebSocket of rhone.ws.v1, whose bond the Worker gives. */
  override async fetch(request: Request): Promise<Response> {
    return await toRpcResponse(async () => {
      const attachment = readAttachment(request);
      await this.#arrive(attachment.org);
      if (!attachment.isNew) this.#session.requireOrganization(attachment.org);
      const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
      this.ctx.acceptWebSocket(server);
      this.#sockets.accept(server, attachment);
      return new Response(null, { status: 101, webSocket: client, headers: { "sec-websocket-protocol": PROTOCOL } });
    });
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    await this.#sockets.onMessage(socket, message);
  }

  override webSocketClose(socket: WebSocket): void {
    this.#sockets.onClose(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.#sockets.onClose(socket);
  }

  override async alarm(): Promise<void> {
    this.#alarm.onAlarm();
    if (!this.#session.exists && !isStored(this.#sql)) return;
    const isLeft = await this.#delivery.settle();
    if (this.#calls.areRunning) this.#alarm.within(HEARTBEAT);
    const dropsAt = this.#session.exists ? this.#buffer.drop() : undefined;
    if (dropsAt !== undefined) this.#alarm.within(dropsAt - Date.now());
    // Of a session that was deleted nothing is left, once its last records are where they belong.
    if (!this.#session.exists && !isLeft) await this.ctx.storage.deleteAll();
  }

  #isOf(org: string): boolean {
    return this.#session.exists && this.#session.row.org === org;
  }

  /** A session that a stateless call began comes here from its journal when somebody first asks for it: one at a time. */
  async #arrive(org: string): Promise<void> {
    if (this.#session.exists || journalIn(this.#commanded.place) === undefined) return;
    const arrived = this.#arrived.then(() => this.#fetchIn(org));
    this.#arrived = arrived.catch(() => {});
    await arrived;
  }

  async #fetchIn(org: string): Promise<void> {
    if (this.#session.exists) return;
    const { place } = this.#commanded;
    const entry = await findJournalEntry(this.env.JOURNALS, org, place);
    if (entry === undefined || this.#session.exists) return;
    await this.record(entry.text, entry.told);
    await removeJournalEntry(this.env.JOURNALS, org, place);
  }

  /** Waits for the disk, and sends what stands in the outbox on its way. */
  async #durable(): Promise<void> {
    this.#delivery.watch();
    await this.ctx.storage.sync();
    this.#delivery.send();
  }

  /** Has a response found by the id that its provider gave it; one of ours says where it is. */
  async #name({ id: call, org }: Pick<CallRecord, "id" | "org">, named: string): Promise<void> {
    if (objectIdIn("resp", named) !== undefined) return;
    await responseIndexFor(this.env.DIRECTORY, org, named).put(named, { place: this.#commanded.place, call });
  }

  /** In the list of sessions before the answer leaves, as a rule; the outbox brings it there in any case. */
  async #list(record = recordOf(this.#session.row, false)): Promise<void> {
    await upsertSession(this.env.DB, record).catch(() => {});
  }

  /** Tokens; undefined for a model that nobody knows. */
  async #contextWindow(model: string): Promise<number | undefined> {
    return (await catalogueOf(await this.#commanded.providers(this.#session.row.org))).find(model)?.context;
  }

  #hasCall(org: string, id: string): boolean {
    return this.#isOf(org) && findCallState(this.#sql, id) !== undefined;
  }

  #callOf(org: string, id: string): CallState {
    const found = this.#isOf(org) ? findCallState(this.#sql, id) : undefined;
    if (found === undefined) throw new GatewayError("object.not_found", "there is no such call");
    return found;
  }

  #closeWhatACrashLeft(): void {
    for (const record of interruptedCalls(this.#sql, Date.now())) {
      this.#session.fail(record);
      this.#streams.interrupt(record);
      void this.ctx.storage.setAlarm(record.endedAt);
    }
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
