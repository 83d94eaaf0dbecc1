import { sql } from "drizzle-orm";
import { index, integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { Usage } from "../canonical/types.ts";

// The tables of D1, for queries over many sessions. The request path does not read them. Times are Unix milliseconds, money
// is in whole micro-dollars, and a count that the provider did not report is null, not 0.

/**
 * One row for each call that has ended. `WITHOUT ROWID`, as the migration says, which Drizzle cannot: a call is two rows
 * written, its own and that of the index. Ids sort by time, so a range of time is a range of ids. `changes`: how often
 * the row was changed after the call's end.
 */
export const callRecords = sqliteTable(
  "call_records",
  {
    org: text("org").notNull(),
    id: text("id").notNull(),
    sessionId: text("session_id").notNull(),
    /** It became a turn, whose id differs from the call's in its prefix only. */
    hasTurn: integer("has_turn", { mode: "boolean" }).notNull(),
    keyId: text("key_id").notNull(),
    surface: text("surface").notNull(),
    stream: integer("stream", { mode: "boolean" }).notNull(),
    contextMode: text("context_mode", { enum: ["stateful", "stateless"] }).notNull(),
    modelAsked: text("model_asked").notNull(),
    model: text("model"),
    provider: text("provider"),
    status: text("status", { enum: ["completed", "incomplete", "failed", "interrupted"] }).notNull(),
    finishReason: text("finish_reason"),
    tokensFresh: integer("tokens_fresh"),
    tokensCacheRead: integer("tokens_cache_read"),
    tokensCacheWrite: integer("tokens_cache_write"),
    tokensOutput: integer("tokens_output"),
    tokensReasoning: integer("tokens_reasoning"),
    /** Parts of `tokens_fresh`, `tokens_output` and `tokens_cache_write` with prices of their own. */
    tokensInputAudio: integer("tokens_input_audio"),
    tokensOutputAudio: integer("tokens_output_audio"),
    tokensCacheWrite1h: integer("tokens_cache_write_1h"),
    searches: integer("searches"),
    usageNative: text("usage_native", { mode: "json" }),
    costMicrosUsd: integer("cost_micros_usd"),
    latencyGatewayMs: integer("latency_gateway_ms").notNull(),
    latencyFirstByteMs: integer("latency_first_byte_ms"),
    latencyTotalMs: integer("latency_total_ms").notNull(),
    attempts: text("attempts", { mode: "json" }).notNull(),
    losses: text("losses", { mode: "json" }).notNull(),
    error: text("error", { mode: "json" }),
    metadata: text("metadata", { mode: "json" }),
    conversation: text("conversation", { mode: "json" }),
    createdAt: integer("created_at").notNull(),
    endedAt: integer("ended_at").notNull(),
    /** The default assessment and people's feedback. */
    assessment: text("assessment", { mode: "json" }),
    feedbackScore: real("feedback_score"),
    /** The record's place in the audit log of its organisation. */
    auditSeq: integer("audit_seq"),
    auditSalt: text("audit_salt"),
    auditLeaf: text("audit_leaf"),
    auditSignature: text("audit_signature"),
    changes: integer("changes").notNull().default(0),
    /** What the shield has found. */
    safety: text("safety", { mode: "json" }),
    /** The run of which it is a step. A plain call is a run of its own, whose id differs in its prefix only. */
    runId: text("run_id"),
  },
  (t) => [primaryKey({ columns: [t.org, t.id] }), index("call_records_by_session").on(t.org, t.sessionId, t.id)],
);

/** The list of sessions, `WITHOUT ROWID` as well. Their content is in their Durable Objects. */
export const sessionRecords = sqliteTable(
  "session_records",
  {
    org: text("org").notNull(),
    // A client may choose a session id, so it is unique only within an organisation.
    id: text("id").notNull(),
    status: text("status", { enum: ["active", "paused", "deleted"] }).notNull(),
    phase: text("phase"),
    head: text("head"),
    turns: integer("turns").notNull(),
    metadata: text("metadata", { mode: "json" }).$type<Record<string, string>>().notNull(),
    origin: text("origin", { mode: "json" }).$type<{ session: string; turn: string | null }>(),
    revision: integer("revision").notNull(),
    createdAt: integer("created_at").notNull(),
    updatedAt: integer("updated_at").notNull(),
  },
  (t) => [primaryKey({ columns: [t.org, t.id] }), index("session_records_by_time").on(t.org, t.createdAt, t.id)],
);

/**
 * The files of calls in R2 (docs/records.md). A slice of an organisation's calls, by their time, has a file for each part.
 * `writing`: the file may be incomplete. `sealed`: it was compared with the rows, which are removed now. `removed`: the file
 * alone has them; `replaced`: another part has those of them that remain, and the file is to be deleted. `slice`: start of the slice.
 */
export const recordParts = sqliteTable(
  "record_parts",
  {
    source: text("source", { enum: ["calls"] }).notNull(),
    org: text("org").notNull(),
    slice: integer("slice").notNull(),
    part: integer("part").notNull(),
    state: text("state", { enum: ["writing", "sealed", "removed", "replaced"] }).notNull(),
    key: text("key").notNull(),
    rows: integer("rows"),
    bytes: integer("bytes"),
    sha256: text("sha256"),
    firstId: text("first_id"),
    lastId: text("last_id"),
    startedAt: integer("started_at").notNull(),
    sealedAt: integer("sealed_at"),
    removedAt: integer("removed_at"),
  },
  (t) => [
    primaryKey({ columns: [t.source, t.org, t.slice, t.part] }),
    index("record_parts_unfinished")
      .on(t.startedAt)
      .where(sql`state <> 'removed'`),
  ],
);

/**
 * What was added to calls after a file had their rows: readers lay it over, until the file is written anew with it. `patch`: values
 * by their columns. `changes`: those that the row has then, as in `call_records`.
 */
export const recordChanges = sqliteTable(
  "record_changes",
  {
    org: text("org").notNull(),
    id: text("id").notNull(),
    sessionId: text("session_id").notNull(),
    patch: text("patch", { mode: "json" }).$type<Record<string, string | number | null>>().notNull(),
    changes: integer("changes").notNull(),
    changedAt: integer("changed_at").notNull(),
  },
  (t) => [primaryKey({ columns: [t.org, t.id] })],
);

/**
 * What an organisation says of single sessions. `retention_days`: instead of the organisation's own; null: as that says. Of a
 * held session nothing is deleted.
 */
export const sessionRetention = sqliteTable(
  "session_retention",
  {
    org: text("org").notNull(),
    sessionId: text("session_id").notNull(),
    legalHold: integer("legal_hold", { mode: "boolean" }).notNull(),
    retentionDays: integer("retention_days"),
    changedBy: text("changed_by").notNull(),
    changedAt: integer("changed_at").notNull(),
  },
  (t) => [primaryKey({ columns: [t.org, t.sessionId] })],
);

/**
 * Sessions whose data are to be erased; without an id, all data of the organisation from before the request. `checked`: the part
 * of the record up to which the files were looked at, as "{slice}/{part}". A row stays: what comes late is not stored.
 */
export const erasures = sqliteTable(
  "erasures",
  {
    org: text("org").notNull(),
    sessionId: text("session_id").notNull(),
    id: text("id").notNull(),
    state: text("state", { enum: ["requested", "done"] }).notNull(),
    requestedBy: text("requested_by").notNull(),
    requestedAt: integer("requested_at").notNull(),
    doneAt: integer("done_at"),
    checked: text("checked"),
    calls: integer("calls").notNull().default(0),
    files: integer("files").notNull().default(0),
  },
  (t) => [
    primaryKey({ columns: [t.org, t.sessionId] }),
    index("erasures_by_id").on(t.org, t.id),
    index("erasures_requested")
      .on(t.requestedAt)
      .where(sql`state = 'requested'`),
  ],
);

/** The list of stored chat completions. Their content is in the Durable Objects of their sessions. */
export const completions = sqliteTable(
  "completions",
  {
    org: text("org").notNull(),
    call: text("call").notNull(),
    id: text("id").notNull(),
    status: text("status", { enum: ["stored", "deleted"] }).notNull(),
    model: text("model").notNull(),
    metadata: text("metadata", { mode: "json" }).$type<Record<string, string>>().notNull(),
    revision: integer("revision").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (t) => [primaryKey({ columns: [t.org, t.call] }), index("completions_by_time").on(t.org, t.createdAt, t.call)],
);

/** Keys and organisations as lists show them. Authoritative are their Durable Objects, which also hold the secrets' digests. */
export const keys = sqliteTable(
  "keys",
  {
    id: text("id").primaryKey(),
    org: text("org").notNull(),
    name: text("name").notNull(),
    policy: text("policy", { mode: "json" }).notNull(),
    hint: text("hint").notNull(),
    createdBy: text("created_by").notNull(),
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at"),
    revokedAt: integer("revoked_at"),
  },
  (t) => [index("keys_by_org").on(t.org, t.id)],
);

export const organizations = sqliteTable("organizations", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  createdAt: integer("created_at").notNull(),
});

/** Changes of keys and organisations: actor, action and target. Append-only. `details`: the members of the request. */
export const auditEvents = sqliteTable(
  "audit_events",
  {
    id: text("id").primaryKey(),
    org: text("org").notNull(),
    at: integer("at").notNull(),
    actor: text("actor").notNull(),
    action: text("action").notNull(),
    target: text("target").notNull(),
    details: text("details", { mode: "json" }).notNull(),
  },
  (t) => [index("audit_events_by_time").on(t.org, t.at), index("audit_events_by_target").on(t.org, t.target, t.at)],
);

/** The list of runs. Their steps, tools and content are in the Durable Objects of their sessions. `WITHOUT ROWID`, as are the next two. */
export const runRecords = sqliteTable(
  "run_records",
  {
    org: text("org").notNull(),
    id: text("id").notNull(),
    sessionId: text("session_id").notNull(),
    keyId: text("key_id").notNull(),
    status: text("status").notNull(),
    stopReason: text("stop_reason"),
    steps: integer("steps").notNull(),
    toolCalls: integer("tool_calls").notNull(),
    usage: text("usage", { mode: "json" }).$type<Usage>().notNull(),
    costMicrosUsd: integer("cost_micros_usd").notNull(),
    error: text("error", { mode: "json" }).$type<{ code: string; message: string }>(),
    metadata: text("metadata", { mode: "json" }).$type<Record<string, string>>(),
    revision: integer("revision").notNull(),
    createdAt: integer("created_at").notNull(),
    endedAt: integer("ended_at"),
  },
  (t) => [primaryKey({ columns: [t.org, t.id] }), index("run_records_by_session").on(t.org, t.sessionId, t.id)],
);

/** One row for each execution of a tool that has ended, in a run. */
export const toolExecutions = sqliteTable(
  "tool_executions",
  {
    org: text("org").notNull(),
    id: text("id").notNull(),
    runId: text("run_id").notNull(),
    sessionId: text("session_id").notNull(),
    step: integer("step").notNull(),
    name: text("name").notNull(),
    kind: text("kind").notNull(),
    effect: text("effect").notNull(),
    status: text("status").notNull(),
    attempt: integer("attempt").notNull(),
    isError: integer("is_error", { mode: "boolean" }).notNull(),
    digest: text("digest").notNull(),
    resultLength: integer("result_length").notNull(),
    revision: integer("revision").notNull(),
    createdAt: integer("created_at").notNull(),
    startedAt: integer("started_at"),
    endedAt: integer("ended_at"),
  },
  (t) => [primaryKey({ columns: [t.org, t.id] })],
);

/** Where runs have waited, or wait, for a decision. */
export const checkpoints = sqliteTable(
  "checkpoints",
  {
    org: text("org").notNull(),
    id: text("id").notNull(),
    runId: text("run_id").notNull(),
    sessionId: text("session_id").notNull(),
    kind: text("kind").notNull(),
    status: text("status").notNull(),
    tool: text("tool"),
    approver: text("approver").notNull(),
    revision: integer("revision").notNull(),
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.org, t.id] }),
    index("checkpoints_open")
      .on(t.org, t.id)
      .where(sql`status = 'open'`),
  ],
);
