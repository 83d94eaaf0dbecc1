import { hashTurn, ROOT } from "../canonical/turn-hash.ts";
import { GatewayError } from "../canonical/error.ts";
import type { Loss, Message } from "../canonical/types.ts";
import type { CallRecord } from "../store/records.ts";
import type { SessionRecord } from "../store/sessions.ts";
import { withPrefix } from "../wire/id.ts";
import type { JsonObject } from "../wire/json.ts";
import { endCall, startCall, type CallStart } from "./calls.ts";
import { type SessionEvent, recordEvent } from "./activity.ts";
import { enqueue } from "../store/outbox.ts";
import { matchLastReply, findContinuation, findInPath, type Continuation } from "./continuation.ts";
import { sameInstructions, type Instructions, readRow, toSessionRecord, type SessionRow, writeRow } from "./row.ts";
import { type StoredResponse, storeResponse } from "./stored-responses.ts";
import type { Sql, Storage } from "../store/sql.ts";
import { isStored, migrateSession, listTables } from "./schema.ts";
import {
  findTurn,
  insertTurn,
  hasAnyTurn,
  listPendingCalls,
  type WireItems,
  readPath,
  type Turn,
  findTurnByHash,
} from "./turns.ts";

export type { Instructions } from "./row.ts";

/** Then compact or branch. SPEC 19. */
const MAX_TURNS = 10_000;

/** What a call says, as far as the session has to know. */
export type TurnInput = {
  /** Without the leading system messages; one a wire item. */
  messages: readonly Message[];
  instructions?: Instructions;
  /** A turn or call id to continue from instead of the head; the session's own id for its beginning. */
  parent?: string;
  /** By OpenAI's rule: what a response was instructed with is not carried to those that continue it. */
  isChained?: true;
};

/** What was said before, and where this call continues. */
export type Context = {
  parent: Turn | undefined;
  history: readonly WireItems[];
  /** Only when the call gives none. */
  instructions?: Instructions;
  /** How many of the call's messages the history already holds. */
  known: number;
  /** The turn will stand beside the head, since another call is running: `on_busy: "branch"`. */
  isBeside?: true;
  /** What the gateway had to say in the client's place, as the end of the history and the start of the new turn. */
  added?: WireItems;
  losses?: readonly Loss[];
};

/** What a finished call adds. `said` and `replied`: what is new in the request, and the reply, for the chain. */
export type CompletedTurn = {
  context: Context;
  input: WireItems;
  output: WireItems & { issuer: string };
  requested: readonly Message[];
  reply: readonly Message[];
  instructions?: Instructions;
};

/** What may be given to a session when it is made, and changed later. */
export type SessionInit = Partial<
  Pick<SessionRow, "instructions" | "metadata" | "defaults" | "phase" | "origin" | "head" | "depth" | "createdAt">
>;

export const sessionNotFound = (): GatewayError =>
  new GatewayError("session.not_found", "there is no such session", { param: "rhone.session_id" });

/**
 * A session: a tree of turns and the place in it where the next call continues, the head. The way to the head is read
 * with the first call and stays in memory while the object lives, so a warm call reads nothing.
 */
export class Session {
  readonly #sql: Sql;
  readonly #storage: Storage;
  readonly #now: () => number;
  #row: SessionRow | undefined;
  #path: readonly Turn[] | undefined;

  constructor(storage: Storage, now: () => number) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#now = now;
    // Before it is asked for anything, so that whatever there is has the newest form.
    if (!isStored(this.#sql)) return;
    migrateSession(storage);
    this.#row = readRow(this.#sql);
  }

  /** Throws `session.not_found`, for another organisation's session as for none. */
  requireOrganization(org: string): void {
    if (this.#row?.org !== org) throw sessionNotFound();
  }

  /** The same, for a call. Throws `session.paused`, too. */
  requireActive(org: string): void {
    this.requireOrganization(org);
    if (this.#row!.status === "paused")
      throw new GatewayError("session.paused", `the session is paused: POST /v1/sessions/${this.#row!.id}:resume`, {
        param: "rhone.session_id",
      });
  }

  /** False when it exists already; then it stays as it is. */
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
      updatedAt: now,
    };
    this.#write(row, () => {});
    return true;
  }

  get exists(): boolean {
    return this.#row !== undefined;
  }

  /** Throws `session.not_found` where there is none. */
  get row(): SessionRow {
    if (this.#row === undefined) throw sessionNotFound();
    return this.#row;
  }

  /** From the root, or the last compaction, to the head. */
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

  /** Where a call continues; see place.ts. Throws `object.not_found` for a parent that is no turn of this session. */
  continue(request: TurnInput): Context {
    const { at, matchedCount: known } =
      request.parent === undefined
        ? this.#findContinuation(request.messages, this.path)
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

  /** A stateless call brings its whole context: it stands where its transcript says, or at a root of its own. */
  locate(request: TurnInput): Context {
    const { at, matchedCount: known } = this.#findContinuation(request.messages, []);
    return { parent: at === undefined ? undefined : findTurn(this.#sql, at), history: [], known };
  }

  /** The call's row stands before its dispatch, so that a crash leaves a trace. */
  start(started: CallStart): void {
    startCall(this.#sql, started);
  }

  /** Adds the turn and, unless another was committed meanwhile, moves the head: one transaction with the record. */
  commit(record: CallRecord, completed: CompletedTurn, response?: StoredResponse): Turn {
    const { parent, isBeside } = completed.context;
    const { head, instructions: current } = this.row;
    const turn: Turn = {
      id: withPrefix(record.id, "turn"),
      parent: parent?.id,
      kind: "call",
      depth: (parent?.depth ?? 0) + 1,
      ...hashTurn(parent?.chain ?? ROOT, completed.requested, completed.reply),
      open: listPendingCalls(completed.reply),
      input: completed.input,
      output: completed.output,
      createdAt: record.endedAt,
    };
    const isNext = (parent?.id ?? null) === head;
    const moves = record.contextMode === "stateful" ? isBeside !== true : isNext;
    const { instructions } = completed;
    const changes = {
      updatedAt: record.endedAt,
      ...(moves && { head: turn.id, depth: turn.depth }),
      ...(moves && instructions !== undefined && !sameInstructions(instructions, current) && { instructions }),
    };
    const path = isNext ? this.#path : undefined;
    const insert = (): void => {
      insertTurn(this.#sql, turn);
      endCall(this.#sql, record);
      if (response !== undefined) storeResponse(this.#sql, response);
    };
    this.#write({ ...this.row, ...changes }, insert, record);
    if (moves) this.#path = path && [...path, turn];
    return turn;
  }

  /** A call that failed or broke off, or that became no turn: the head stays as it was, and what came of it stands beside. */
  fail(record: CallRecord, received?: string, response?: StoredResponse): void {
    this.#storage.transact(() => {
      // The session may have been deleted meanwhile. The call is on record all the same.
      enqueue(this.#sql, record);
      if (this.#row === undefined) return;
      endCall(this.#sql, record, received);
      if (response !== undefined) storeResponse(this.#sql, response);
    });
  }

  /** A change that is no call's. `also` is done in the same transaction. */
  change(
    changes: Partial<SessionRow>,
    type: SessionEvent["type"],
    data: JsonObject = {},
    alsoWrite = (): void => {},
  ): void {
    this.#change({ ...this.row, ...changes }, type, data, alsoWrite);
  }

  /** undefined: none from now on. */
  setInstructions(instructions: Instructions | undefined): void {
    const { instructions: _, ...rest } = this.row;
    this.#change(instructions === undefined ? rest : { ...rest, instructions }, "instructions_set");
  }

  /** Goes on from turns that no call made. */
  moveTo(turns: readonly Turn[], type: SessionEvent["type"], data: JsonObject = {}): void {
    const head = turns.at(-1)!;
    this.change({ head: head.id, depth: head.depth }, type, data, () =>
      turns.forEach((turn) => insertTurn(this.#sql, turn)),
    );
  }

  /** Takes turns in that another session held. It is there for nobody before `create`. */
  importTurns(turns: readonly Turn[]): void {
    migrateSession(this.#storage);
    this.#storage.transact(() => turns.forEach((turn) => insertTurn(this.#sql, turn)));
  }

  /** Forgets what was adopted by a session that was never made. */
  discardImport(): void {
    if (this.#row !== undefined) return;
    this.#storage.transact(() => {
      for (const table of listTables(this.#sql)) this.#sql(`DELETE FROM ${table}`);
    });
  }

  /** Empties it; what stands in the outbox goes its way. It is there no more, for nobody. */
  delete(): SessionRecord {
    const row = { ...this.row, updatedAt: this.#now(), revision: this.row.revision + 1 };
    const deleted = toSessionRecord(row, true);
    this.#storage.transact(() => {
      for (const table of listTables(this.#sql)) if (table !== "outbox") this.#sql(`DELETE FROM ${table}`);
      enqueue(this.#sql, deleted);
    });
    this.#row = undefined;
    this.#path = undefined;
    return deleted;
  }

  /** The way to a turn, named by its own id or its call's. Throws `object.not_found`. */
  pathOf(id: string, param = "rhone.parent"): readonly Turn[] {
    const turnId = withPrefix(id, "turn");
    const path = this.path;
    const at = path.at(-1)?.id === turnId ? path.length - 1 : path.findIndex((turn) => turn.id === turnId);
    if (at >= 0) return at === path.length - 1 ? path : path.slice(0, at + 1);
    if (findTurn(this.#sql, turnId) === undefined)
      throw new GatewayError("object.not_found", `${param}: there is no such turn in this session`, { param });
    return readPath(this.#sql, turnId);
  }

  #findContinuation(messages: readonly Message[], path: readonly Turn[]): Continuation {
    if (path.length === 0 && !hasAnyTurn(this.#sql)) return { at: undefined, matchedCount: 0 };
    return findContinuation(messages, path, (name) => findTurnByHash(this.#sql, name));
  }

  /** From a turn that is named, a transcript is recognised only where it leads to that very turn. */
  #continueFrom(parent: string, { messages }: TurnInput): Continuation {
    if (parent === this.row.id) return { at: undefined, matchedCount: 0 };
    const path = this.pathOf(parent);
    const head = path.at(-1)!;
    const findByHash = (name: string): string | undefined => (name === head.chain ? head.id : undefined);
    const whole = findContinuation(messages, path, findByHash);
    if (whole.at === head.id) return whole;
    const within = findInPath(messages, path, findByHash) ?? matchLastReply(messages, head);
    return within?.at === head.id ? within : { at: head.id, matchedCount: 0 };
  }

  #change(row: SessionRow, type: SessionEvent["type"], data: JsonObject = {}, alsoWrite = (): void => {}): void {
    const now = this.#now();
    this.#write({ ...row, updatedAt: now }, () => {
      recordEvent(this.#sql, now, type, data);
      alsoWrite();
    });
    if (row.head !== this.#path?.at(-1)?.id) this.#path = undefined;
  }

  /** `made`: the call that the change comes of, whose record goes with the session's. */
  #write(row: SessionRow, alsoWrite: () => void, callRecord?: CallRecord): void {
    const next = { ...row, revision: row.revision + 1 };
    const record = toSessionRecord(next, false);
    this.#storage.transact(() => {
      alsoWrite();
      writeRow(this.#sql, next, this.#row);
      if (callRecord === undefined) enqueue(this.#sql, record);
      else enqueue(this.#sql, callRecord, record);
    });
    this.#row = next;
  }
}

/**
 * The instructions that hold for a call. One that continues a response gets those that were items of its input, and so
 * are a part of what was said, whatever it instructs itself.
 */
function resolveInstructions(
  { instructions: requested, isChained }: TurnInput,
  current: Instructions | undefined,
): Instructions | undefined {
  if (isChained !== true) return requested === undefined ? current : undefined;
  return current?.items === undefined || requested?.items !== undefined
    ? undefined
    : { dialect: current.dialect, items: current.items };
}
