import { GatewayError } from "../canonical/error.ts";
import type { Message } from "../canonical/types.ts";
import { enqueue } from "../store/outbox.ts";
import type { CallRecord } from "../store/records.ts";
import type { SessionRecord } from "../store/sessions.ts";
import type { Sql, Storage } from "../store/sql.ts";
import { createdAtOf, withPrefix } from "../wire/id.ts";
import type { JsonObject } from "../wire/json.ts";
import { type CallStart, endCall, isOfConversation, startCall } from "./calls.ts";
import { type CompletedTurn, type Context, toTurn, type TurnInput } from "./context.ts";
import { type Continuation, findContinuation, findContinuationOf, type TranscriptReading } from "./continuation.ts";
import { recordEvent, type SessionEvent } from "./events.ts";
import {
  changeInstructions,
  type Instructions,
  readRow,
  resolveInstructions,
  type SessionRow,
  toSessionRecord,
  writeRow,
} from "./row.ts";
import { hasTombstone, isStored, leaveTombstone, listTables, migrateSession } from "./schema.ts";
import { type StoredResponse, storeResponse } from "./stored-responses.ts";
import { TranscriptMemory } from "./transcript-memory.ts";
import { findTurn, hasAnyTurn, insertTurn, readPath, readTurnIndex, type Turn } from "./turns.ts";

export type { CompletedTurn, Context, PreviewedContext, TurnInput } from "./context.ts";
export type { Instructions } from "./row.ts";

/** Turns that follow one another more quickly share a record of the session, which lists of sessions show. Milliseconds. */
const RECORD_EVERY_MS = 10_000;

/** Turns from the root to the head, compacted ones not counted. It bounds what one call reads and sends. */
const MAX_TURNS = 10_000;

/** Members of a session's row that may be set when it is created. */
export type SessionInit = Partial<
  Pick<SessionRow, "instructions" | "metadata" | "defaults" | "phase" | "origin" | "head" | "depth" | "createdAt">
>;

/** Also thrown for a session of another organisation: whether an id exists is not disclosed. */
export const sessionNotFound = (): GatewayError =>
  new GatewayError("session.not_found", "there is no such session", { param: "rhone.session_id" });

/**
 * A session: a tree of turns and its head, the turn where the next call continues. The path from the root to the head is
 * read with the first call and stays in memory while the object lives, so a warm call reads nothing.
 */
export class Session {
  readonly #sql: Sql;
  readonly #storage: Storage;
  readonly #now: () => number;
  #row: SessionRow | undefined;
  #path: readonly Turn[] | undefined;
  /** When this instance has last recorded the session. */
  #recordedAt = -Infinity;
  readonly transcripts: TranscriptMemory;

  constructor(storage: Storage, now: () => number) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.transcripts = new TranscriptMemory(storage.sql);
    this.#now = now;
    // An object that was written by an older version is migrated before its first read.
    if (!isStored(this.#sql)) return;
    migrateSession(storage);
    this.#row = readRow(this.#sql);
  }

  /** Throws `session.not_found` if the session does not exist or belongs to another organisation. */
  requireOrganization(org: string): void {
    if (this.#row?.org !== org) throw sessionNotFound();
  }

  /** `requireOrganization` for a call: also throws `session.paused`. */
  requireActive(org: string): void {
    this.requireOrganization(org);
    if (this.#row!.status === "paused")
      throw new GatewayError("session.paused", `the session is paused: POST /v1/sessions/${this.#row!.id}:resume`, {
        param: "rhone.session_id",
      });
  }

  /**
   * Returns false and changes nothing if the session exists already. `id`: the session's public id. The session is recorded
   * with its first turn, or by `recordIfDue`.
   */
  create(org: string, id: string, init: SessionInit = {}): boolean {
    if (this.#row !== undefined) return false;
    migrateSession(this.#storage);
    const now = this.#now();
    const row: SessionRow = {
      id,
      org,
      head: null,
      depth: 0,
      status: "active",
      phase: null,
      metadata: {},
      defaults: {},
      createdAt: now,
      ...init,
      revision: 0,
      recorded: 0,
      updatedAt: now,
    };
    this.#write(row, () => {}, { isRecorded: false });
    return true;
  }

  get exists(): boolean {
    return this.#row !== undefined;
  }

  /** Throws `session.not_found` before `create` and after `delete`. */
  get row(): SessionRow {
    if (this.#row === undefined) throw sessionNotFound();
    return this.#row;
  }

  /** Whether there was a session here that has been deleted. */
  get isDeleted(): boolean {
    return this.#row === undefined && (isStored(this.#sql) || hasTombstone(this.#sql));
  }

  /** The turns from the root, or from the last compaction, to the head: the history that the model sees. */
  get path(): readonly Turn[] {
    const { head } = this.row;
    return (this.#path ??= head === null ? [] : readPath(this.#sql, head));
  }

  get head(): Turn | undefined {
    return this.path.at(-1);
  }

  get instructions(): Instructions | undefined {
    return this.row.instructions;
  }

  /**
   * Finds the turn that a stateful call continues (rules and `transcript`: continuation.ts) and the history up to it. Throws
   * `object.not_found` for a parent that is no turn of this session, `request.invalid` at MAX_TURNS.
   */
  continue(request: TurnInput, transcript?: TranscriptReading): Context {
    const { at, matchedCount: known } =
      request.parent === undefined
        ? this.#findContinuation(request.messages, this.path, transcript)
        : this.#continueFrom(request.parent, request);
    const path = at === undefined ? [] : this.pathOf(at);
    const parent = path.at(-1);
    if ((parent?.depth ?? 0) >= MAX_TURNS)
      throw new GatewayError("request.invalid", `the session has ${MAX_TURNS} turns: compact it or branch from it`, {
        param: "rhone.session_id",
      });
    const instructions = resolveInstructions(request, this.instructions);
    const history = path.flatMap(({ input, output }) => [input, output]);
    return { parent, history, known, ...(instructions !== undefined && { instructions }) };
  }

  /** Finds the turn whose transcript a call resends; the root if there is none. The call brings its own history. */
  locate(request: TurnInput, transcript?: TranscriptReading): Context {
    const { at, matchedCount: known } = this.#findContinuation(request.messages, [], transcript);
    return { parent: at === undefined ? undefined : findTurn(this.#sql, at), history: [], known };
  }

  /** Writes the call's row. Runs before the call is dispatched, so that a crash leaves a row to recover from. */
  start(started: CallStart): void {
    startCall(this.#sql, started);
  }

  /**
   * Adds the turn, ends the call and enqueues its record, in one transaction. The head moves to the turn, unless it is
   * beside it; a stateless call that does not say moves it from its parent only. `response`: stored with it, as is what `also` writes.
   */
  commit(record: CallRecord, completed: CompletedTurn, response?: StoredResponse, also = (): void => {}): Turn {
    const turn = toTurn(record, completed);
    const { isBeside } = completed.context;
    const isNext = (turn.parent ?? null) === this.row.head;
    const moves =
      isBeside === undefined ? record.contextMode === "stateful" || isNext : !isBeside && this.isLatest(turn.id);
    this.add(turn, { moves, instructions: completed.instructions, callRecord: record }, () => {
      endCall(this.#sql, record);
      if (response !== undefined) storeResponse(this.#sql, response);
      also();
    });
    return turn;
  }

  /** Adds a turn that `toTurn` has made, in one transaction with `alsoWrite`. `moves`: it becomes the head. */
  add(
    turn: Turn,
    {
      moves,
      instructions,
      callRecord,
    }: { moves: boolean; instructions?: Instructions | undefined; callRecord?: CallRecord },
    alsoWrite: () => void,
  ): void {
    const isNext = (turn.parent ?? null) === this.row.head;
    const head = { head: turn.id, depth: turn.depth, ...changeInstructions(instructions, this.instructions) };
    const changed = { ...this.row, updatedAt: turn.createdAt, ...(moves && head) };
    const insert = (): void => {
      this.#insert(turn);
      alsoWrite();
    };
    this.#write(changed, insert, { ...(callRecord && { callRecord }), isRecorded: this.#isRecordDue() });
    if (moves) this.#path = isNext ? this.#path && [...this.#path, turn] : undefined;
  }

  /** Whether no call that began after that of this turn has the head: in a conversation, a call is abandoned for a later one. */
  isLatest(turn: string): boolean {
    const { head } = this.row;
    return head === null || createdAtOf(head) <= createdAtOf(turn);
  }

  /**
   * Records what has changed since the last record, if that was long enough ago. Returns the milliseconds until it will be;
   * `undefined` if there is nothing to record any more.
   */
  recordIfDue(): number | undefined {
    if (this.#row === undefined || this.#row.recorded === this.#row.revision) return undefined;
    if (!this.#isRecordDue()) return this.#recordedAt + RECORD_EVERY_MS - this.#now();
    this.#write(this.#row, () => {});
    return undefined;
  }

  #isRecordDue(): boolean {
    return this.#now() - this.#recordedAt >= RECORD_EVERY_MS;
  }

  /** Ends a call that made no turn. The head does not move; `received`: the wire items that arrived, as JSON text, stored with the call. */
  fail(record: CallRecord, received?: string, response?: StoredResponse, also = (): void => {}): void {
    this.#storage.transact(() => {
      also();
      // The record is enqueued even if the session was deleted while the call ran: the call is still charged and listed.
      enqueue(this.#sql, record);
      if (this.#row === undefined) return;
      endCall(this.#sql, record, received);
      if (response !== undefined) storeResponse(this.#sql, response);
    });
  }

  /** Applies a change that comes from no call, and logs it as an event. `alsoWrite` runs in the same transaction. */
  change(
    changes: Partial<SessionRow>,
    type: SessionEvent["type"],
    data: JsonObject = {},
    alsoWrite = (): void => {},
  ): void {
    this.#change({ ...this.row, ...changes }, type, data, alsoWrite);
  }

  /** `undefined` removes the instructions. */
  setInstructions(instructions: Instructions | undefined): void {
    const { instructions: _, ...rest } = this.row;
    this.#change(instructions === undefined ? rest : { ...rest, instructions }, "instructions_set");
  }

  /**
   * Inserts turns that no call made (a compaction, added items) and moves the head to the last of them. Without any, the
   * head moves to `parent`; `undefined` is the place before the first turn.
   */
  moveTo(turns: readonly Turn[], type: SessionEvent["type"], data: JsonObject = {}, parent?: Turn): void {
    const head = turns.at(-1) ?? parent;
    this.change({ head: head?.id ?? null, depth: head?.depth ?? 0 }, type, data, () =>
      turns.forEach((turn) => this.#insert(turn)),
    );
  }

  /** Inserts copies of another session's turns. The session does not exist for callers until `create`. */
  importTurns(turns: readonly Turn[]): void {
    migrateSession(this.#storage);
    this.#storage.transact(() => turns.forEach((turn) => this.#insert(turn)));
  }

  /** Deletes imported turns after a failed import; does nothing once the session is created. */
  discardImport(): void {
    if (this.#row !== undefined) return;
    this.#storage.transact(() => {
      for (const table of listTables(this.#sql)) this.#sql(`DELETE FROM ${table}`);
    });
    this.transcripts.clear();
  }

  /**
   * Deletes the session's data and enqueues its record as deleted. Rows already in the outbox are still delivered. Every
   * later call gets `session.not_found`.
   */
  delete(): SessionRecord {
    const row = { ...this.row, updatedAt: this.#now(), revision: this.row.revision + 1 };
    const deleted = toSessionRecord(row, true);
    this.#storage.transact(() => {
      if (isOfConversation(this.#sql)) leaveTombstone(this.#sql);
      for (const table of listTables(this.#sql)) if (table !== "outbox") this.#sql(`DELETE FROM ${table}`);
      enqueue(this.#sql, deleted);
    });
    this.#row = undefined;
    this.#path = undefined;
    this.transcripts.clear();
    return deleted;
  }

  /** The path from the root, or the last compaction, to a turn. `id`: the turn's or its call's. Throws `object.not_found` naming `param`. */
  pathOf(id: string, param = "rhone.parent"): readonly Turn[] {
    const turnId = withPrefix(id, "turn");
    const path = this.path;
    const at = path.at(-1)?.id === turnId ? path.length - 1 : path.findIndex((turn) => turn.id === turnId);
    if (at >= 0) return at === path.length - 1 ? path : path.slice(0, at + 1);
    if (findTurn(this.#sql, turnId) === undefined)
      throw new GatewayError("object.not_found", `${param}: there is no such turn in this session`, { param });
    return readPath(this.#sql, turnId);
  }

  #insert(turn: Turn): void {
    insertTurn(this.#sql, turn);
    this.transcripts.onInsert(turn);
  }

  #findContinuation(messages: readonly Message[], path: readonly Turn[], transcript?: TranscriptReading): Continuation {
    if (path.length === 0 && !hasAnyTurn(this.#sql)) return { at: undefined, matchedCount: 0 };
    return findContinuation(messages, path, readTurnIndex(this.#sql), transcript);
  }

  /** For a call that names its parent: leading messages are skipped only if they repeat the transcript up to that turn. */
  #continueFrom(parent: string, { messages }: TurnInput): Continuation {
    if (parent === this.row.id) return { at: undefined, matchedCount: 0 };
    return findContinuationOf(messages, this.pathOf(parent));
  }

  #change(row: SessionRow, type: SessionEvent["type"], data: JsonObject = {}, alsoWrite = (): void => {}): void {
    const now = this.#now();
    this.#write({ ...row, updatedAt: now }, () => {
      recordEvent(this.#sql, now, type, data);
      alsoWrite();
    });
    if (row.head !== this.#path?.at(-1)?.id) this.#path = undefined;
  }

  /**
   * Writes the row, its record unless it is to be recorded later, and `callRecord` (of the call that causes the change), in
   * one transaction with `alsoWrite`.
   */
  #write(
    row: SessionRow,
    alsoWrite: () => void,
    { callRecord, isRecorded = true }: { callRecord?: CallRecord; isRecorded?: boolean } = {},
  ): void {
    const revision = row.revision + 1;
    const next = { ...row, revision, ...(isRecorded && { recorded: revision }) };
    const records = [...(callRecord ? [callRecord] : []), ...(isRecorded ? [toSessionRecord(next, false)] : [])];
    this.#storage.transact(() => {
      alsoWrite();
      writeRow(this.#sql, next, this.#row);
      enqueue(this.#sql, ...records);
    });
    this.#row = next;
    if (isRecorded) this.#recordedAt = this.#now();
  }
}
