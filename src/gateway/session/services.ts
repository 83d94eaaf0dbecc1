import type { ToolResult } from "../../canonical/types.ts";
import type { Caller } from "../../keys/caller.ts";
import type { CarriedItems } from "../../keys/carried-items.ts";
import type { Provider } from "../../providers/provider.ts";
import type { Router } from "../../routing/router.ts";
import type { Lease } from "../../session/lease.ts";
import type { Session } from "../../session/session.ts";
import type { Turn } from "../../session/turns.ts";
import type { SafetyPolicy } from "../../shield/policy.ts";
import type { Blobs } from "../../store/blobs.ts";
import type { Sql } from "../../store/sql.ts";
import type { Budgets } from "../call/charge.ts";
import type { ItemStore } from "../responses/turn-items.ts";
import type { CallShield } from "../shield/call-shield.ts";
import type { SessionShield } from "../shield/session-shield.ts";

/** What a session's object holds. `objectId`: encoded, as new ids contain it. */
export type SessionState = {
  session: Session;
  sql: Sql;
  blobs: Blobs;
  lease: Lease;
  shield: SessionShield;
  objectId: string;
  /** The stored results of a turn's calls: those of tools that the gateway has executed for a run. */
  resultsFor: (turn: Turn) => readonly ToolResult[];
  findShown: ItemStore["findShown"];
};

/** How the calls of a session reach models. */
export type ModelServices = {
  /** The providers as an organisation calls them, with its own credentials where it has set some. */
  providers: (org: string) => Promise<ReadonlyMap<string, Provider>>;
  router: () => Router;
  carried: (org: string) => CarriedItems;
  /**
   * What may not pass in a call of this session; undefined: nothing is looked for. `isApproved`: a person lets pass what the profile
   * leaves to one.
   */
  shield: (
    caller: Caller,
    requested: SafetyPolicy | undefined,
    isApproved?: boolean,
  ) => Promise<CallShield | undefined>;
  budgets: Budgets;
};

/** The life of a session's object. */
export type ObjectLifetime = {
  now: () => number;
  /** Keeps the object awake until the promise settles. */
  waitUntil: (work: Promise<unknown>) => void;
  /** Sets the alarm for a running call, so that a crash of the object is noticed. */
  watch: () => void;
  /** Resolves when everything written is on disk; the outbox is being sent from then on. */
  durable: () => Promise<void>;
  /** Throws if a legal hold forbids that anything of the session is deleted. */
  requireNoHold: () => Promise<void>;
};
