import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/**
 * What D1 keeps for questions over many sessions; nothing on the request path reads it. Times are Unix milliseconds,
 * money is whole micro-dollars, and a count that the provider did not give is null, never 0.
 */
export const runs = sqliteTable(
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

export const calls = sqliteTable(
  "calls",
  {
    id: text("id").primaryKey(),
    runId: text("run_id").notNull(),
    org: text("org").notNull(),
    sessionId: text("session_id").notNull(),
    /** The turn it became; null when it never entered a session's history. */
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
