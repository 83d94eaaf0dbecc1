import { findBeginning, nameAfter, ROOT } from "../canonical/chain.ts";
import { GatewayError } from "../canonical/error.ts";
import type { Dialect, Message } from "../canonical/types.ts";
import type { CallRecord } from "../store/records.ts";
import { renamed } from "../wire/id.ts";
import { endCall, startCall, type Started } from "./calls.ts";
import type { Sql, Storage } from "./sql.ts";
import { findTurn, insertTurn, type Passage, pathTo, type Turn, turnNamed } from "./turns.ts";

/** Then compact or branch. SPEC 19. */
const MAX_TURNS = 10_000;

/** The system text of a session, in the wire it was given in: a member of its own, or the list's leading items. */
export type Instructions = { dialect: Dialect; member?: { key: string; json: string }; items?: string };

/** What a call says, as far as the session has to know. */
export type Said = {
  /** Without the leading system messages; one a wire item. */
  messages: readonly Message[];
  instructions?: Instructions;
  /** A turn or call id to continue from instead of the head. */
  parent?: string;
};

/** What was said before, and where this call continues. */
export type Context = {
  parent: Turn | undefined;
  history: readonly Passage[];
  /** Only when the call gives none. */
  instructions?: Instructions;
  /** How many of the call's messages the history already holds. */
  known: number;
};

/** What a finished call adds. `messages`: the new ones and the reply's, for the chain. */
export type Step = {
  context: Context;
  input: Passage;
  output: Passage & { issuer: string };
  messages: readonly Message[];
  instructions?: Instructions;
};

export type Description = {
  id: string;
  org: string;
  head: string | undefined;
  turns: number;
  createdAt: number;
  updatedAt: number;
};

type Row = {
  id: string;
  org: string;
  head: string | null;
  instructions: string | null;
  created_at: number;
  updated_at: number;
};

export const sessionNotFound = (): GatewayError =>
  new GatewayError("session.not_found", "there is no such session", { param: "rhone.session_id" });

/**
 * A session: a tree of turns and the place in it where the next call continues, the head. The way to the head stays in
 * memory while the object lives, so a warm call reads nothing.
 */
export class Session {
  readonly #sql: Sql;
  readonly #storage: Storage;
  readonly #now: () => number;
  #row: Row | undefined;
  #path: Turn[];

  constructor(storage: Storage, now: () => number) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#now = now;
    [this.#row] = this.#sql<Row>("SELECT * FROM session");
    this.#path = this.#row?.head ? pathTo(this.#sql, this.#row.head) : [];
  }

  /** Throws `session.not_found`, for another organisation's session as for none. */
  expect(org: string): void {
    if (this.#row?.org !== org) throw sessionNotFound();
  }

  /** False when it exists already; then it stays as it is. */
  create(org: string, id: string, given?: Instructions): boolean {
    if (this.#row !== undefined) return false;
    const now = this.#now();
    const instructions = given === undefined ? null : JSON.stringify(given);
    this.#sql(
      "INSERT INTO session (id, org, instructions, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
      id,
      org,
      instructions,
      now,
      now,
    );
    this.#row = { id, org, head: null, instructions, created_at: now, updated_at: now };
    return true;
  }

  describe(): Description {
    const { id, org, created_at: createdAt, updated_at: updatedAt } = this.#row!;
    return { id, org, head: this.head?.id, turns: this.#path.length, createdAt, updatedAt };
  }

  get head(): Turn | undefined {
    return this.#path.at(-1);
  }

  /** From the root to the head. */
  get path(): readonly Turn[] {
    return this.#path;
  }

  get instructions(): Instructions | undefined {
    return this.#row?.instructions ? (JSON.parse(this.#row.instructions) as Instructions) : undefined;
  }

  /**
   * Where a call continues. A call that begins with a whole transcript of the session, or of an earlier place in it,
   * continues there and only the rest is new; any other call is new as a whole and continues the head.
   */
  continue(said: Said): Context {
    const path = said.parent === undefined ? this.#path : this.#pathOf(said.parent);
    const resent = said.parent === undefined ? this.#find(said.messages) : undefined;
    const taken = resent === undefined ? path : this.#pathOf(resent.place);
    if (taken.length >= MAX_TURNS) {
      throw new GatewayError("request.invalid", `the session has ${MAX_TURNS} turns: compact it or branch from it`);
    }
    const instructions = said.instructions === undefined ? this.instructions : undefined;
    return {
      parent: taken.at(-1),
      history: taken.flatMap(({ input, output }) => [input, output]),
      known: resent?.count ?? 0,
      ...(instructions !== undefined && { instructions }),
    };
  }

  /** A stateless call brings its whole context: it stands where its transcript says, or at a root of its own. */
  place(said: Said): Context {
    const resent = this.#find(said.messages);
    const path = resent === undefined ? [] : this.#pathOf(resent.place);
    return { parent: path.at(-1), history: [], known: resent?.count ?? 0 };
  }

  /** The call's row stands before its dispatch, so that a crash leaves a trace. */
  start(started: Started): void {
    startCall(this.#sql, started);
  }

  /** Adds the turn and, unless another was committed meanwhile, moves the head: one transaction with the record. */
  commit(record: CallRecord, step: Step): Turn {
    const { parent } = step.context;
    const turn: Turn = {
      id: renamed(record.id, "turn"),
      parent: parent?.id,
      depth: (parent?.depth ?? 0) + 1,
      chain: nameAfter(parent?.chain ?? ROOT, step.messages),
      input: step.input,
      output: step.output,
      createdAt: record.endedAt,
    };
    const moves = record.contextMode === "stateful" || parent?.id === this.head?.id;
    const row: Row = {
      ...this.#row!,
      updated_at: record.endedAt,
      ...(moves && { head: turn.id }),
      ...(moves && step.instructions !== undefined && { instructions: JSON.stringify(step.instructions) }),
    };
    this.#storage.transact(() => {
      insertTurn(this.#sql, turn);
      this.#sql(
        "UPDATE session SET head = ?, instructions = ?, updated_at = ?",
        row.head,
        row.instructions,
        row.updated_at,
      );
      endCall(this.#sql, record);
    });
    this.#row = row;
    if (moves) this.#path = parent?.id === this.head?.id ? [...this.#path, turn] : pathTo(this.#sql, turn.id);
    return turn;
  }

  /** A call that failed or broke off: the head stays as it was, and what came of it stands beside. */
  fail(record: CallRecord, received?: string): void {
    this.#storage.transact(() => endCall(this.#sql, record, received));
  }

  #find(messages: readonly Message[]): { place: string; count: number } | undefined {
    const { head } = this;
    return findBeginning(messages, (name) => (name === head?.chain ? head.id : turnNamed(this.#sql, name)));
  }

  /** The way to a turn, named by its own id or its call's. Throws `object.not_found`. */
  #pathOf(id: string): readonly Turn[] {
    const turnId = renamed(id, "turn");
    const at = this.#path.findIndex((turn) => turn.id === turnId);
    if (at >= 0) return this.#path.slice(0, at + 1);
    if (findTurn(this.#sql, turnId) === undefined) {
      throw new GatewayError("object.not_found", "rhone.parent: there is no such turn in this session", {
        param: "rhone.parent",
      });
    }
    return pathTo(this.#sql, turnId);
  }
}
