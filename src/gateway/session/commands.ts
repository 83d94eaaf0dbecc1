import { invalid } from "../../canonical/error.ts";
import type { Caller } from "../../keys/caller.ts";
import { findLastCompleted, listCalls } from "../../session/calls.ts";
import { exportBranch, type Transform } from "../../session/history/branch.ts";
import { compact, type Compaction, type CompactionResult } from "../../session/history/compact.ts";
import { listReplayTurns } from "../../session/history/replay-plan.ts";
import { buildTimeline } from "../../session/history/timeline.ts";
import { type BlockFormat, toApiHead, toApiLineage, toApiSession, toApiSnapshot } from "../../session/history/views.ts";
import { type Instructions, toSessionRecord } from "../../session/row.ts";
import type { Session, SessionInit } from "../../session/session.ts";
import { findSnapshot, listSnapshots, takeSnapshot } from "../../session/snapshots.ts";
import type { CallRecord } from "../../store/records.ts";
import type { SessionRecord } from "../../store/sessions.ts";
import { MAX_PAIRS } from "../../surfaces/metadata.ts";
import type { Json, JsonObject } from "../../wire/json.ts";
import { unlistCompletions } from "./completions.ts";
import { queryModel } from "./query-model.ts";
import type { ModelServices, ObjectLifetime, SessionState } from "./services.ts";

/** Every operation on a session other than a call. Member names cross RPC, so they are stored names. */
export type Command =
  | { do: "create"; id: string; given: SessionInit }
  | { do: "show" | "pause" | "resume" | "delete" | "snapshots" | "lineage" }
  | { do: "update"; metadata?: MetadataPatch | undefined; defaults?: JsonObject | undefined }
  | { do: "setInstructions"; instructions: Instructions | undefined }
  | { do: "setPhase"; phase: string | null }
  | ({ do: "compact" } & Compaction)
  | { do: "snapshot"; name: string }
  | { do: "blocks"; format: BlockFormat }
  | { do: "timeline" | "calls"; after?: string | undefined; limit?: number | undefined }
  | { do: "export"; from?: string | undefined; isBefore?: boolean | undefined; transforms: readonly Transform[] }
  | { do: "replayable"; from?: string | undefined }
  | { do: "noteBranch"; session: string; turn: string | null };

/** New values by key; null removes the pair. */
export type MetadataPatch = Record<string, string | null>;

/** What commands use of the session's object. */
export type CommandServices = {
  state: SessionState;
  models: ModelServices;
  lifetime: Pick<ObjectLifetime, "now" | "durable" | "requireNoHold">;
  /** Writes the session to the list of sessions, so that a list after a change shows the change. */
  list: (record: SessionRecord) => Promise<void>;
  /** Cancels the running calls. Resolves when they are recorded. */
  stopCalls: () => Promise<void>;
  /** Closes the session's WebSockets, as no more events will follow. */
  closeSockets: () => void;
};

/**
 * Runs one command and returns the API's response. Throws `session.not_found` for another organisation's session as for
 * none, and `request.*` for a command that this session cannot run.
 */
export async function runCommand(command: Command, caller: Caller, services: CommandServices): Promise<Response> {
  if (command.do !== "create") services.state.session.requireOrganization(caller.org);
  const run = COMMANDS[command.do] as CommandFn<Command["do"]>;
  return await run(command, services, caller);
}

type CommandFn<Name extends Command["do"]> = (
  command: Extract<Command, { do: Name }>,
  services: CommandServices,
  caller: Caller,
) => Promise<Response> | Response;

/** `create` checks the organisation itself, after the session exists. */
const COMMANDS: { [Name in Command["do"]]: CommandFn<Name> } = {
  create: async ({ id, given }, services, { org }) => {
    const { session } = services.state;
    const isNew = session.create(org, id, given);
    session.requireOrganization(org);
    return await respondWithSession(services, isNew ? 201 : 200);
  },
  show: (_, { state: { session } }) => Response.json(toApiSession(session)),
  update: async (patch, services) => {
    const { session } = services.state;
    const metadata = applyPatch(session.row.metadata, patch.metadata ?? {}) as Record<string, string>;
    if (Object.keys(metadata).length > MAX_PAIRS) throw invalid("metadata", `expected at most ${MAX_PAIRS} pairs`);
    session.change({ metadata, defaults: applyPatch(session.row.defaults, patch.defaults ?? {}) }, "updated");
    return await respondWithSession(services);
  },
  setInstructions: async ({ instructions }, services) => {
    services.state.session.setInstructions(instructions);
    return await respondWithSession(services);
  },
  setPhase: async ({ phase }, services) => {
    services.state.session.change({ phase }, "phase_set", { phase });
    return await respondWithSession(services);
  },
  pause: async (_, services) => {
    const { session } = services.state;
    if (session.row.status !== "paused") session.change({ status: "paused" }, "paused");
    return await respondWithSession(services);
  },
  resume: async (_, services) => {
    const { session } = services.state;
    if (session.row.status === "paused") session.change({ status: "active" }, "resumed");
    return await respondWithSession(services);
  },
  compact: async (command, services, caller) => {
    const { session, lease } = services.state;
    const release = await lease.acquire("queue");
    try {
      session.requireOrganization(caller.org);
      return Response.json(toApiCompaction(session, await compactFor(command, caller, services)));
    } finally {
      release();
    }
  },
  snapshot: async ({ name }, { state: { session, sql }, lifetime: { now, durable } }) => {
    const snapshot = { name, turn: session.row.head, createdAt: now() };
    session.change({}, "snapshot", { name, turn_id: snapshot.turn }, () => takeSnapshot(sql, snapshot));
    await durable();
    return Response.json(toApiSnapshot(snapshot), { status: 201 });
  },
  snapshots: (_, { state: { sql } }) => toListResponse(listSnapshots(sql).map(toApiSnapshot)),
  lineage: (_, { state: { session, sql } }) => Response.json(toApiLineage(session, sql)),
  blocks: async ({ format }, { state: { session, blobs } }) => Response.json(await toApiHead(session, format, blobs)),
  timeline: (page, { state: { sql, blobs } }) => buildTimeline(sql, blobs, page),
  calls: ({ after, limit }, { state: { sql } }) =>
    Response.json(listCalls(sql, { ...(after !== undefined && { after }), ...(limit !== undefined && { limit }) })),
  export: (command, { state: { session, sql, blobs, shield } }) => {
    const snapshot = command.from === undefined ? undefined : findSnapshot(sql, command.from);
    // A snapshot taken before the first turn has no turn; the session's own id stands for its root.
    const from = snapshot === undefined ? command.from : (snapshot.turn ?? session.row.id);
    // A branch without the texts of this session does not get the values either.
    const isRedacted = command.transforms.some((one) => (typeof one === "string" ? one : one.type) === "redact");
    return exportBranch(session, { ...command, from, shield: shield.listRows({ withValues: !isRedacted }) }, blobs);
  },
  replayable: async ({ from }, { state: { session, sql, blobs } }) =>
    Response.json(await listReplayTurns(session, sql, blobs, from)),
  noteBranch: async (branch, { state: { session }, lifetime: { durable } }) => {
    session.change({}, "branched", { session_id: branch.session, turn_id: branch.turn });
    await durable();
    return new Response(null, { status: 204 });
  },
  delete: async (_, services) => {
    const { id } = services.state.session.row;
    await services.lifetime.requireNoHold();
    await removeSession(services);
    return Response.json({ id, object: "session", deleted: true });
  },
};

/** Cancels the session's calls, then deletes its data: after deletion a call could be neither cancelled nor recorded. */
export async function removeSession(services: CommandServices): Promise<void> {
  const { state, lifetime, list, stopCalls, closeSockets } = services;
  const { session, blobs } = state;
  await stopCalls();
  // A concurrent delete may have finished while the calls were being cancelled.
  if (!session.exists) return;
  unlistCompletions(state, lifetime.now());
  const deleted = session.delete();
  state.shield.clear();
  closeSockets();
  await blobs.clear();
  await Promise.all([lifetime.durable(), list(deleted)]);
}

/** Compacts the session; a summary is charged to `caller`. The session's lease must be held. */
async function compactFor(
  compaction: Compaction,
  caller: Caller,
  services: CommandServices,
): Promise<CompactionResult> {
  const { state, lifetime } = services;
  const result = await compact(compaction, {
    ...state,
    now: lifetime.now,
    summarize: (transcript, request) => {
      const model = request ?? chooseSummaryModel(state);
      return queryModel({ model, instructions: SUMMARY_INSTRUCTIONS, input: transcript }, { ...services, caller });
    },
  });
  await lifetime.durable();
  return result;
}

/** The system text for the model that writes a summary. */
export const SUMMARY_INSTRUCTIONS =
  "You are given the transcript of a conversation between a user and an assistant. Write a summary from which the assistant can go on as if it had read all of it: facts, names, numbers, decisions, results of tools, open questions and what the user wants. Write in the language of the conversation. Answer with the summary alone.";

/** The session's default model, else the model of its last answered call. Throws `request.invalid` if it has neither. */
function chooseSummaryModel({ session: { row }, sql }: SessionState): string {
  const { model } = row.defaults;
  if (typeof model === "string") return model;
  const lastCall = findLastCompleted(sql);
  if (lastCall === undefined) throw invalid("model", "expected the name of a model");
  return lastCall.started.modelAsked;
}

/**
 * Compacts the session after a call whose tokens exceed the share `auto_compact.at` of the model's context window.
 * Does nothing for a model whose window is unknown. Never throws. The session's lease must be held.
 */
export async function autoCompact(
  record: CallRecord,
  caller: Caller,
  contextWindow: (model: string) => Promise<number | undefined>,
  services: CommandServices,
): Promise<void> {
  const settings = services.state.session.row.defaults.auto_compact as AutoCompact | undefined;
  if (settings === undefined) return;
  const { at, strategy = "summarize", context_window, ...options } = settings;
  const { usage } = record;
  const tokens = (usage.fresh ?? 0) + (usage.cacheRead ?? 0) + (usage.cacheWrite ?? 0) + (usage.output ?? 0);
  const window =
    context_window ??
    (await contextWindow(record.model ?? record.modelAsked)) ??
    (await contextWindow(record.modelAsked));
  if (window === undefined || tokens < at * window) return;
  // A failed compaction leaves the head unchanged; the next turn tries again.
  await compactFor({ strategy, ...options }, caller, services).catch(() => {});
}

/** `at`: share of the window, above 0 and up to 1. `context_window`: tokens. */
type AutoCompact = { at: number; context_window?: number } & Partial<Compaction>;

const toApiCompaction = (
  { row }: Session,
  { turnId, strategy, replaced, remaining }: CompactionResult,
): JsonObject => ({
  object: "compaction",
  session_id: row.id,
  turn_id: turnId,
  head: row.head,
  strategy,
  replaced_turns: replaced,
  kept_turns: remaining,
});

async function respondWithSession(
  { state: { session }, lifetime, list }: CommandServices,
  status = 200,
): Promise<Response> {
  await Promise.all([lifetime.durable(), list(toSessionRecord(session.row, false))]);
  return Response.json(toApiSession(session), { status });
}

const toListResponse = (data: readonly Json[]): Response => Response.json({ object: "list", data });

/** JSON Merge Patch (RFC 7396) of the top level: null removes a member. */
function applyPatch(old: JsonObject, patch: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries({ ...old, ...patch }).filter(([, value]) => value !== null));
}
