import {
  anything,
  arrayOf,
  type Components,
  describe,
  flag,
  integer,
  literal,
  mapOf,
  nullable,
  object,
  oneOf,
  openObject,
  pageSchema,
  ref,
  text,
  time,
  union,
} from "../json-schema.ts";

/** What a session's object answers: views of its history, and the results of its verbs. */
export const sessionSchemas = (): Components => ({
  // The continuity head (session/history/views.ts).
  BlockList: object({
    object: literal("list"),
    data: describe(
      arrayOf({ anyOf: [ref("Block"), openObject] }),
      "Blocks; with another `format` the messages of that API.",
    ),
    "system?": describe(anything, "Anthropic's member for the system text."),
    "systemInstruction?": describe(anything, "Gemini's member for the system text."),
  }),
  // The timeline (session/history/timeline.ts), oldest entry first.
  TimelinePage: object({ object: literal("list"), data: arrayOf(ref("TimelineEntry")), has_more: flag }),
  TimelineEntry: union("type", {
    turn: "TimelineTurn",
    call: "TimelineCall",
    ...Object.fromEntries(CHANGES.map((type) => [type, "TimelineChange"])),
  }),
  TimelineTurn: object(
    { id: text, type: literal("turn"), ...timelineCall(), "parent_id?": text, "copy_of?": text },
    "A turn of the session.",
  ),
  TimelineCall: object(
    { id: text, type: literal("call"), ...timelineCall() },
    "A call without a turn: it runs, it failed or it was cancelled.",
  ),
  TimelineChange: object(
    { id: text, type: oneOf(...CHANGES), created_at: time, data: openObject },
    "A change of the session that is no turn.",
  ),
  TimelineError: object({ code: text, message: text }),
  // Where the session and its turns come from (session/history/views.ts).
  Lineage: object({
    object: literal("lineage"),
    session_id: text,
    head: nullable(text),
    branched_from: nullable(ref("SessionOrigin")),
    branches: arrayOf(ref("LineageBranch")),
    compactions: arrayOf(ref("LineageCompaction")),
    turns: arrayOf(ref("LineageTurn")),
  }),
  LineageBranch: object({ session_id: text, turn_id: nullable(text), created_at: time }),
  LineageCompaction: object({
    turn_id: text,
    strategy: text,
    replaced_turns: integer,
    kept_turns: integer,
    before: describe(nullable(text), "The head before the compaction."),
    created_at: time,
  }),
  LineageTurn: object({
    id: text,
    parent_id: nullable(text),
    kind: text,
    "copy_of?": text,
    in_head: describe(flag, "Whether the turn is on the path to the head."),
    created_at: time,
  }),
  // Names for turns. A snapshot from before the first turn has no turn.
  Snapshot: object({ object: literal("snapshot"), name: text, turn_id: nullable(text), created_at: time }),
  SnapshotList: object({ object: literal("list"), data: arrayOf(ref("Snapshot")) }),
  // Calls and runs of the session, oldest first.
  CallPage: pageSchema("Call"),
  RunPage: pageSchema("Run"),
  // Results of the verbs `compact`, `replay` and `token`.
  Compaction: object({
    object: literal("compaction"),
    session_id: text,
    turn_id: text,
    head: nullable(text),
    strategy: text,
    replaced_turns: integer,
    kept_turns: integer,
  }),
  Replay: object({
    object: literal("replay"),
    dry_run: flag,
    session_id: describe(nullable(text), "The branch that holds the new turns; null for a dry run."),
    turns: arrayOf(ref("ReplayedTurn")),
  }),
  // A dry run states the input; a real one the call that was made and its outcome.
  ReplayedTurn: object({
    replay_of: text,
    model: text,
    "input?": arrayOf(ref("Block")),
    "call_id?": text,
    "status?": oneOf("completed", "failed"),
    "turn_id?": text,
    "output?": arrayOf(ref("Block")),
    "error?": nullable(openObject),
  }),
  ClientToken: object({
    object: literal("client_token"),
    token: text,
    session_id: text,
    scopes: arrayOf(text),
    expires_at: time,
  }),
  // OpenAI's conversations and items; times are Unix seconds.
  Conversation: object({ id: text, object: literal("conversation"), created_at: integer, metadata: mapOf(text) }),
  ConversationPage: openaiPage("Conversation"),
  DeletedConversation: object({ id: text, object: literal("conversation.deleted"), deleted: literal(true) }),
  ChatCompletionPage: openaiPage("ChatCompletion"),
  StoredMessagePage: openaiPage("StoredMessage"),
  StoredMessage: object(
    { id: text, role: text, "content?": nullable(text), "content_parts?": nullable(arrayOf(openObject)) },
    "A message of OpenAI's Chat; `content_parts` has the parts of a content that was a list.",
  ),
  Item: object({ id: text, type: text }, "An item of OpenAI's Responses; the other members depend on the type."),
  ItemList: openaiPage("Item"),
});

const CHANGES = [
  "updated",
  "instructions_set",
  "phase_set",
  "paused",
  "resumed",
  "compacted",
  "branched",
  "snapshot",
  "items_added",
  "item_deleted",
  "agent_started",
];

/** The members of a turn and of a call in the timeline. */
const timelineCall = (): Components => ({
  "call_id?": text,
  "turn_id?": text,
  "status?": oneOf("running", "completed", "incomplete", "failed", "interrupted"),
  "model?": text,
  "provider?": text,
  "agent?": describe(text, "The sub-agent that made the call, by its client's own id."),
  created_at: time,
  "input?": arrayOf(ref("Block")),
  "output?": arrayOf({ anyOf: [ref("Block"), openObject] }),
  "error?": ref("TimelineError"),
});

const openaiPage = (name: string): Components[string] =>
  object({
    object: literal("list"),
    data: arrayOf(ref(name)),
    first_id: nullable(text),
    last_id: nullable(text),
    has_more: flag,
  });
