import { DurableObject } from "cloudflare:workers";
import { GatewayError, invalid } from "../canonical/error.ts";
import { toRpcResponse } from "../canonical/rpc-error.ts";
import type { SessionCall, StatelessCall } from "../gateway/call/call.ts";
import type { ResponsesState } from "../gateway/call/responses-state.ts";
import type { StreamChunk } from "../gateway/output/remote-recorder.ts";
import { findKnownItems } from "../gateway/responses/references.ts";
import { asOpenAiError, findContext } from "../gateway/responses/state.ts";
import { findStoredItems, listIndexedIds, type StoredOnly } from "../gateway/responses/stored-items.ts";
import { type Command, removeSession, runCommand } from "../gateway/session/commands.ts";
import { type CompletionQuery, readStoredCompletion, saveCompletion } from "../gateway/session/completions.ts";
import { type ConversationCommand, runConversationCommand } from "../gateway/session/conversations.ts";
import { importCall, readJournaledCall } from "../gateway/session/import-call.ts";
import { withStoredResults } from "../gateway/session/placement.ts";
import { readStoredResponse, type ResponseQuery } from "../gateway/session/response-queries.ts";
import { PROTOCOL } from "../gateway/sockets/session-sockets.ts";
import type { Caller } from "../keys/caller.ts";
import { findJournalEntry, removeJournalEntry } from "../platform/journal-stubs.ts";
import { loadRouter } from "../platform/router.ts";
import { readAttachment } from "../platform/socket-auth.ts";
import { performOnRun, type RunCommand } from "../runs/api/run-api.ts";
import { type CallStart, type CallState, findCallState } from "../session/calls.ts";
import { importBranch } from "../session/history/branch.ts";
import { toApiSession } from "../session/history/views.ts";
import { inlineAll } from "../session/large-strings.ts";
import { hasTombstone, isStored, leaveTombstone } from "../session/schema.ts";
import type { PreviewedContext, TurnInput } from "../session/session.ts";
import { readLines, readRpcText } from "../wire/bytes.ts";
import { createdAtOf, journalIn } from "../wire/id.ts";
import { parseJson } from "../wire/json.ts";
import { sleep } from "../wire/time.ts";
import { SessionServices } from "./session-services.ts";

/**
 * Interval of the alarm while a call runs: it keeps the object in memory, and wakes it after a crash so that the call
 * is recorded as failed. Milliseconds.
 */
const HEARTBEAT = 30_000;
/** How long after its start a call that runs in the Worker may still be unknown to its session. Milliseconds. */
const FRESH = 2_000;

/**
 * The Durable Object of one session: the only writer of its history, and the place where its stateful calls run.
 * Its RPC methods are its contract with the Worker, also with one of another version: their names and messages are
 * stored names. It composes and decides nothing.
 */
export class SessionObject extends DurableObject {
  readonly #services: SessionServices;
  #imported: Promise<void> = Promise.resolve();

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const loading = loadRouter(env, (work) => ctx.waitUntil(work));
    if (loading !== undefined) void ctx.blockConcurrencyWhile(() => loading);
    this.#services = new SessionServices(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('{"type":"ping"}', '{"type":"pong"}'));
    if (this.#services.session.exists) this.#services.recover();
  }

  /** Answers a stateful call. Errors are returned as responses. */
  async call(call: SessionCall): Promise<Response> {
    await this.#importFromJournal(call.caller.org);
    return await this.#services.calls.answer(call);
  }

  /** As `call`, for a conversation. `undefined`: its session was deleted, and it starts anew in another object. */
  async callInConversation(call: SessionCall): Promise<Response | undefined> {
    await this.#importFromJournal(call.caller.org);
    return await this.#services.calls.answerInConversation(call);
  }

  /**
   * Adds a finished stateless call to the history, after its caller has been answered. Resolves to false if the session
   * does not exist or belongs to another organisation.
   */
  async record(text: string | ReadableStream<Uint8Array>, stream?: StreamChunk): Promise<boolean> {
    return await this.#record(parseJson(await readRpcText(text)) as unknown as StatelessCall, stream);
  }

  async #record(call: StatelessCall, stream: StreamChunk | undefined): Promise<boolean> {
    const { session, sql, streams, commands } = this.#services;
    const { record, kept: storedResponse, completion } = call;
    if (call.isNew) session.create(record.org, record.sessionId, { createdAt: record.createdAt });
    if (!this.#belongsTo(record.org)) return false;
    if (stream !== undefined) streams.append(record, stream);
    await importCall(call, session, commands.state.blobs);
    streams.onImported(record);
    if (completion !== undefined) saveCompletion(sql, completion, record.org);
    await this.#services.durable();
    if (completion !== undefined) await this.#services.indexResponse(record, completion.id);
    if (storedResponse !== undefined) {
      await this.#services.indexResponse(record, storedResponse.id);
      await this.#services.indexItems(record, listIndexedIds(storedResponse));
    }
    return true;
  }

  /** Appends a part of the stream of a stateless call that is still running. */
  tell(text: string, chunk: StreamChunk): void {
    const { session, streams, outbox, sql } = this.#services;
    const { started, isNew } = parseJson(text) as unknown as { started: CallStart; isNew: boolean };
    if (isNew && session.create(started.org, started.sessionId)) outbox.scheduleCheck();
    if (!this.#belongsTo(started.org)) return;
    if (findCallState(sql, started.id) === undefined) session.start(started);
    streams.append(started, chunk);
  }

  /**
   * The context that a call with this input would get, and the indices of its messages that the context has already, as a
   * JSON text. No call is started.
   */
  async contextOf(
    org: string,
    text: string | ReadableStream<Uint8Array>,
    response?: ResponsesState,
  ): Promise<Response> {
    return await this.#respond(org, async ({ session, sql, commands }) => {
      const input = parseJson(await readRpcText(text)) as unknown as TurnInput;
      asOpenAiError(response, () => session.requireOrganization(org));
      const omitted = await findKnownItems(input, { ...commands.state, response });
      const messages = input.messages.filter((_, i) => !omitted.includes(i));
      const context = findContext({ ...input, messages }, { session, response, sql });
      const history = await inlineAll(context.history, commands.state.blobs);
      const found = withStoredResults(context, commands.state);
      return Response.json({ ...found, history, omitted } satisfies PreviewedContext);
    });
  }

  /** Every operation on a session other than a call; see gateway/session/commands.ts. Responds in the API's shape. */
  async perform(command: Command, caller: Caller): Promise<Response> {
    return await this.#respond(caller.org, ({ commands }) => runCommand(command, caller, commands));
  }

  /** Creates this session from an exported branch. `parent`: the object id of the session it was exported from. */
  async adopt(lines: ReadableStream<Uint8Array>, made: { org: string; id: string; parent: string }): Promise<Response> {
    return await this.#respond(made.org, async (services) => {
      if (services.session.exists) throw invalid("id", "expected an id that no other session has");
      await importBranch(readLines(lines), { ...services.commands.state, now: Date.now }, made);
      await Promise.all([services.durable(), services.list()]);
      return Response.json(toApiSession(services.session), { status: 201 });
    });
  }

  /**
   * Deletes the session with its content if it has not changed since `before`. Resolves to the time of its last change if it
   * stays; `undefined` if there is none, any more.
   */
  async expire(org: string, before: number): Promise<number | undefined> {
    await this.#importFromJournal(org);
    const { session, calls, commands } = this.#services;
    if (!this.#belongsTo(org)) return undefined;
    if (calls.areRunning || session.row.updatedAt >= before) return Math.max(session.row.updatedAt, before);
    await removeSession(commands);
    return undefined;
  }

  /** Deletes the session with its content, also while calls run. */
  async erase(org: string): Promise<void> {
    await this.#importFromJournal(org);
    if (this.#belongsTo(org)) await removeSession(this.#services.commands);
  }

  /** This session as a conversation of OpenAI's API; see gateway/session/conversations.ts. */
  async converse(command: ConversationCommand, id: string, caller: Caller): Promise<Response> {
    return await this.#respond(caller.org, ({ commands }) => runConversationCommand(command, id, caller, commands));
  }

  /** An operation on a run of this session; see runs/api/run-api.ts. */
  async run(command: RunCommand, caller: Caller): Promise<Response> {
    return await this.#respond(caller.org, ({ runs }) => performOnRun(command, caller, runs));
  }

  /** A response of OpenAI's API that is stored here; see gateway/session/response-queries.ts. */
  async recall(query: ResponseQuery, caller: Caller): Promise<Response> {
    return await this.#respond(caller.org, ({ commands, streams, calls }) =>
      readStoredResponse(query, caller, { ...commands.state, ...commands.lifetime, streams, calls }),
    );
  }

  /** A chat completion of OpenAI's API that is stored here; see gateway/session/completions.ts. */
  async completion(query: CompletionQuery, caller: Caller): Promise<Response> {
    return await this.#respond(caller.org, ({ commands }) =>
      readStoredCompletion(query, caller, { ...commands.state, ...commands.lifetime }),
    );
  }

  /** The items with these ids, as a JSON text: of the whole session, or of stored responses only. */
  async findItems(org: string, ids: readonly string[], only?: StoredOnly): Promise<Response> {
    return await this.#respond(org, async ({ commands }) =>
      Response.json(this.#belongsTo(org) ? await findStoredItems(ids, commands.state, only) : []),
    );
  }

  /** False if the session does not exist or belongs to another organisation. */
  async has(org: string): Promise<boolean> {
    await this.#importFromJournal(org);
    return this.#belongsTo(org);
  }

  /** The call's state as a JSON text; `undefined` if there is none. */
  async findCall(org: string, id: string): Promise<string | undefined> {
    await this.#importFromJournal(org);
    const state = this.#findCall(org, id);
    return state === undefined ? undefined : JSON.stringify(state);
  }

  /** A call's stream from the event after number `after`; see gateway/session/session-streams.ts. */
  async stream(org: string, id: string, after: number): Promise<Response> {
    return await this.#respond(org, async ({ streams }) => {
      // A stateless call runs in the Worker and is known here about a second after its start.
      const isFresh = Math.abs(Date.now() - createdAtOf(id)) < FRESH;
      for (let tries = isFresh ? 20 : 0; tries > 0 && this.#findCall(org, id) === undefined; tries--)
        await sleep(FRESH / 20);
      return streams.resume(this.#requireCall(org, id), after);
    });
  }

  /** Cancels a running call. Responds with the call's state as JSON. */
  async cancel(org: string, id: string): Promise<Response> {
    return await this.#respond(org, async ({ calls }) => {
      this.#requireCall(org, id);
      await calls.stop(id);
      return Response.json(this.#requireCall(org, id));
    });
  }

  /** The Worker noticed that the client of a call has left. */
  left(id: string): void {
    this.#services.calls.onClientLeft(id);
  }

  /** Accepts a WebSocket of rhone.ws.v1. The Worker has authenticated it and sends the attachment in a header. */
  override async fetch(request: Request): Promise<Response> {
    return await toRpcResponse(this.#services.objectId, async () => {
      const { session, sockets } = this.#services;
      const attachment = readAttachment(request);
      await this.#importFromJournal(attachment.org);
      if (!attachment.isNew) session.requireOrganization(attachment.org);
      const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
      this.ctx.acceptWebSocket(server);
      sockets.accept(server, attachment);
      return new Response(null, { status: 101, webSocket: client, headers: { "sec-websocket-protocol": PROTOCOL } });
    });
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    await this.#services.sockets.onMessage(socket, message);
  }

  override webSocketClose(socket: WebSocket): void {
    this.#services.sockets.onClose(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.#services.sockets.onClose(socket);
  }

  override async alarm(): Promise<void> {
    const { alarm, session, sql, outbox, calls, runs, buffer } = this.#services;
    alarm.onAlarm();
    if (!session.exists && !isStored(sql)) return;
    if (session.exists) buffer.flush();
    const recordsIn = session.recordIfDue();
    if (recordsIn !== undefined) alarm.scheduleWithin(recordsIn);
    if (calls.areRunning) alarm.scheduleWithin(HEARTBEAT);
    if (session.exists) runs.wake();
    const hasUnsent = await outbox.settle();
    const dropsAt = session.exists ? buffer.dropExpired() : undefined;
    if (dropsAt !== undefined) alarm.scheduleWithin(dropsAt - Date.now());
    // A deleted session's database goes once its last records are delivered.
    if (session.exists || hasUnsent) return;
    const isOfConversation = hasTombstone(sql);
    await this.ctx.storage.deleteAll();
    if (isOfConversation) leaveTombstone(sql);
  }

  async #respond(org: string, work: (services: SessionServices) => Promise<Response> | Response): Promise<Response> {
    return await toRpcResponse(this.#services.objectId, async () => {
      await this.#importFromJournal(org);
      return await work(this.#services);
    });
  }

  /** A session that a stateless call created is imported from its journal at the first access, by one access at a time. */
  async #importFromJournal(org: string): Promise<void> {
    const { session, objectId } = this.#services;
    if (session.exists || journalIn(objectId) === undefined) return;
    const imported = this.#imported.then(() => this.#importEntry(org, objectId));
    this.#imported = imported.catch(() => {});
    await imported;
  }

  async #importEntry(org: string, objectId: string): Promise<void> {
    const { session } = this.#services;
    if (session.exists) return;
    const entry = await findJournalEntry(this.env.JOURNALS, org, objectId);
    if (entry === undefined || session.exists) return;
    await this.#record(readJournaledCall(entry), entry.told);
    await removeJournalEntry(this.env.JOURNALS, org, objectId);
  }

  #belongsTo(org: string): boolean {
    const { session } = this.#services;
    return session.exists && session.row.org === org;
  }

  #findCall(org: string, id: string): CallState | undefined {
    return this.#belongsTo(org) ? findCallState(this.#services.sql, id) : undefined;
  }

  #requireCall(org: string, id: string): CallState {
    const state = this.#findCall(org, id);
    if (state === undefined) throw new GatewayError("object.not_found", "there is no such call");
    return state;
  }
}
