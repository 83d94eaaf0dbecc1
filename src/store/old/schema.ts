import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Tables of earlier versions. The clock moves their rows to those of `schema.ts` and then drops them. */
export const oldRuns = sqliteTable(
  "runs",
  {
    id: text("id").primaryKey(),
    org: text("org").notNull(),
    sessionId: text("session_id").notNull(),
    keyId: text("key_id").notNull(),
    status: text("status", { enum: ["completed", "incomplete", "failed", "interrupted"] }).notNull(),
    stopReason: text("stop_reason").notNull(),
    createdAt: integer("created_at").notNull(),
    endedAt: integer("ended_at").notNull(),
  },
  (t) => [index("runs_by_session").on(t.org, t.sessionId, t.createdAt), index("runs_by_time").on(t.org, t.createdAt)],
);

export const oldCalls = sqliteTable(
  "calls",
  {
    id: text("id").primaryKey(),
    runId: text("run_id").notNull(),
    org: text("org").notNull(),
    sessionId: text("session_id").notNull(),
    /** The turn it became; null if it did not enter a session's history. */
    turnId: text("turn_id"),
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
    createdAt: integer("created_at").notNull(),
    endedAt: integer("ended_at").notNull(),
  },
  (t) => [index("calls_by_session").on(t.org, t.sessionId, t.createdAt), index("calls_by_time").on(t.org, t.createdAt)],
);

export const oldSessions = sqliteTable(
  "sessions",
  {
    id: text("id").notNull(),
    org: text("org").notNull(),
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
  // A client may choose a session id, so it is unique only within an organisation.
  (t) => [primaryKey({ columns: [t.org, t.id] }), index("sessions_by_time").on(t.org, t.createdAt, t.id)],
);
