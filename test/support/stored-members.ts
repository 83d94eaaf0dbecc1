import type { Message } from "../../src/canonical/types.ts";
import type { JournaledCall, SessionCall, StatelessCall } from "../../src/gateway/call/call.ts";
import type { ResponsesState } from "../../src/gateway/call/responses-state.ts";
import type { StreamChunk } from "../../src/gateway/output/remote-recorder.ts";
import type { StoredItem, StoredOnly } from "../../src/gateway/responses/stored-items.ts";
import type { Command } from "../../src/gateway/session/commands.ts";
import type { CompletionQuery } from "../../src/gateway/session/completions.ts";
import type { ConversationCommand } from "../../src/gateway/session/conversations.ts";
import type { ResponseQuery } from "../../src/gateway/session/response-queries.ts";
import type { SocketAttachment } from "../../src/gateway/sockets/session-sockets.ts";
import type { AccountReply } from "../../src/keys/budget/grant-pool.ts";
import type { Grant, GrantRequest, LedgerRefusal, RateState } from "../../src/keys/budget/grant.ts";
import type { UsageReport } from "../../src/keys/budget/wait-queue.ts";
import type { Caller } from "../../src/keys/caller.ts";
import type { Claims } from "../../src/keys/client-token.ts";
import type { AuthenticatedKey } from "../../src/keys/key-cache.ts";
import type { Actor, KeyState, NewKey } from "../../src/keys/key.ts";
import type { Credential, OrganizationState } from "../../src/keys/organization.ts";
import type { JournalEntry } from "../../src/session/call-journal.ts";
import type { ResponseLocation } from "../../src/session/directory/response-index.ts";
import type { SessionRow } from "../../src/session/row.ts";
import type { PreviewedContext, TurnInput } from "../../src/session/session.ts";
import type { StoredCompletion } from "../../src/session/stored-completions.ts";
import type { StoredResponse } from "../../src/session/stored-responses.ts";
import type { Turn, WireItems } from "../../src/session/turns.ts";
import type { AuditEvent } from "../../src/store/audit.ts";
import type { CompletionRecord } from "../../src/store/completions.ts";
import type { Attempt, CallRecord, SafetyRecord } from "../../src/store/records.ts";
import type { SessionRecord } from "../../src/store/sessions.ts";
import type { Conversation } from "../../src/surfaces/clients.ts";

/** Called by Workers of another version while a deployment is under way. */
export const METHODS: Record<string, string> = {
  session:
    "call record tell contextOf perform adopt converse recall completion findItems has findCall stream cancel left expire erase fetch webSocketMessage webSocketClose webSocketError alarm",
  journal: "enter find strike alarm",
  directory: "put putItem find remove putTranscript findTranscript",
  key: "create admit describe usage change rotate revoke take report alarm",
  organization: "describe put usage take report credentials setCredential reseal removeCredential alarm",
  idempotency: "answer alarm",
  clock: "arm tasks wake alarm",
};

/** All members, those that may be absent too: a new one has to be listed here before it is stored or sent. */
type Members<T> = { [Member in keyof Required<T>]: true };

export const MEMBERS = {
  call: {
    id: true,
    sessionId: true,
    caller: true,
    annotate: true,
    createdAt: true,
    response: true,
    headers: true,
    surface: true,
    outside: true,
    text: true,
    isNew: true,
    mayCreate: true,
    conversation: true,
  } satisfies Members<SessionCall>,
  caller: {
    org: true,
    keyId: true,
    policy: true,
    payers: true,
    session: true,
    expiresAt: true,
  } satisfies Members<Caller>,
  response: {
    stored: true,
    background: true,
    from: true,
    conversation: true,
    isWarmUp: true,
  } satisfies Members<ResponsesState>,
  from: { id: true, call: true, isHeard: true } satisfies Members<NonNullable<ResponsesState["from"]>>,
  stateless: {
    record: true,
    isNew: true,
    received: true,
    said: true,
    kept: true,
    completion: true,
  } satisfies Members<StatelessCall>,
  said: { input: true, output: true, instructions: true } satisfies Members<NonNullable<StatelessCall["said"]>>,
  chunk: { bytes: true, count: true } satisfies Members<StreamChunk>,
  count: { blocks: true, events: true } satisfies Members<StreamChunk["count"]>,
  journaled: { record: true, isNew: true, received: true, said: true, answered: true } satisfies Members<JournaledCall>,
  answered: { output: true, surface: true, outside: true } satisfies Members<NonNullable<JournaledCall["answered"]>>,
  entry: {
    id: true,
    org: true,
    text: true,
    request: true,
    base: true,
    payload: true,
    told: true,
  } satisfies Members<JournalEntry>,
  base: { id: true, length: true } satisfies Members<NonNullable<JournalEntry["base"]>>,
  location: { place: true, call: true } satisfies Members<ResponseLocation>,
  referenced: { id: true, turn: true, item: true, message: true } satisfies Members<StoredItem>,
  only: { call: true } satisfies Members<StoredOnly>,
  message: {
    role: true,
    blocks: true,
    word: true,
    name: true,
    stored: true,
    native: true,
    cache: true,
    unshared: true,
  } satisfies Members<Message>,
  reference: { id: true, turn: true } satisfies Members<NonNullable<Message["stored"]>>,
  items: {
    dialect: true,
    items: true,
    issuer: true,
    sealed: true,
    calls: true,
    cuts: true,
  } satisfies Members<WireItems>,
  turn: {
    id: true,
    parent: true,
    kind: true,
    origin: true,
    depth: true,
    open: true,
    input: true,
    output: true,
    createdAt: true,
    chain: true,
    own: true,
    reply: true,
  } satisfies Members<Turn>,
  row: {
    id: true,
    org: true,
    head: true,
    depth: true,
    instructions: true,
    status: true,
    phase: true,
    metadata: true,
    defaults: true,
    origin: true,
    revision: true,
    recorded: true,
    createdAt: true,
    updatedAt: true,
  } satisfies Members<SessionRow>,
  completion: { call: true, id: true, body: true } satisfies Members<StoredCompletion>,
  stored: { call: true, id: true, status: true, background: true, body: true } satisfies Members<StoredResponse>,
  key: {
    id: true,
    org: true,
    policy: true,
    payers: true,
    createdBy: true,
    createdAt: true,
    revokedAt: true,
    hint: true,
    graceUntil: true,
  } satisfies Members<KeyState>,
  newKey: {
    id: true,
    org: true,
    policy: true,
    payers: true,
    createdBy: true,
    digest: true,
    hint: true,
  } satisfies Members<NewKey>,
  actor: { keyId: true, policy: true } satisfies Members<Actor>,
  admitted: { keyId: true, org: true, policy: true, payers: true, expiresAt: true } satisfies Members<AuthenticatedKey>,
  request: { micros: true, tokens: true, calls: true, least: true, isUnpriced: true } satisfies Members<GrantRequest>,
  grant: { id: true, calls: true, micros: true, tokens: true, expiresAt: true, rates: true } satisfies Members<Grant>,
  rate: { limit: true, remaining: true, resetAt: true } satisfies Members<RateState>,
  refused: { code: true, message: true, retryAfterSeconds: true, rates: true } satisfies Members<LedgerRefusal>,
  report: { settled: true, unused: true } satisfies Members<UsageReport>,
  settled: { grant: true, call: true, held: true, took: true } satisfies Members<UsageReport["settled"][number]>,
  unused: { grant: true, calls: true, micros: true, tokens: true } satisfies Members<UsageReport["unused"][number]>,
  organization: { id: true, policy: true, createdAt: true } satisfies Members<OrganizationState>,
  credential: { provider: true, sealed: true, hint: true, setAt: true } satisfies Members<Credential>,
  attachment: {
    org: true,
    keyId: true,
    scopes: true,
    expiresAt: true,
    address: true,
    sessionId: true,
    isNew: true,
    isBound: true,
  } satisfies Members<SocketAttachment>,
  claims: { org: true, session: true, scopes: true, keyId: true, expiresAt: true } satisfies Members<Claims>,
  callRecord: {
    id: true,
    org: true,
    sessionId: true,
    turnId: true,
    keyId: true,
    surface: true,
    stream: true,
    contextMode: true,
    modelAsked: true,
    model: true,
    provider: true,
    status: true,
    finishReason: true,
    usage: true,
    costMicrosUsd: true,
    latency: true,
    attempts: true,
    losses: true,
    error: true,
    metadata: true,
    conversation: true,
    charge: true,
    safety: true,
    createdAt: true,
    endedAt: true,
  } satisfies Members<CallRecord>,
  safety: { profile: true, version: true, mode: true, decisions: true } satisfies Members<SafetyRecord>,
  safetyDecision: {
    stage: true,
    disposition: true,
    values: true,
    unscanned: true,
    signs: true,
    score: true,
    judgement: true,
  } satisfies Members<SafetyRecord["decisions"][number]>,
  conversation: { client: true, id: true, recognizedBy: true, agent: true } satisfies Members<Conversation>,
  recordedConversation: { client: true, recognizedBy: true, agent: true, isBeside: true } satisfies Members<
    NonNullable<CallRecord["conversation"]>
  >,
  latency: { gateway: true, firstByte: true, total: true } satisfies Members<CallRecord["latency"]>,
  charge: { parts: true, micros: true, tokens: true } satisfies Members<NonNullable<CallRecord["charge"]>>,
  part: { account: true, grant: true, micros: true, tokens: true } satisfies Members<
    NonNullable<CallRecord["charge"]>["parts"][number]
  >,
  usage: {
    fresh: true,
    cacheRead: true,
    cacheWrite: true,
    output: true,
    reasoning: true,
    inputAudio: true,
    outputAudio: true,
    cacheWrite1h: true,
    searches: true,
    native: true,
  } satisfies Members<CallRecord["usage"]>,
  attempt: {
    provider: true,
    model: true,
    status: true,
    error: true,
    reason: true,
    startedAt: true,
    ms: true,
    usage: true,
    costMicrosUsd: true,
  } satisfies Members<Attempt>,
  loss: { at: true, what: true, why: true } satisfies Members<CallRecord["losses"][number]>,
  completionRecord: {
    object: true,
    org: true,
    call: true,
    id: true,
    status: true,
    model: true,
    metadata: true,
    revision: true,
    createdAt: true,
  } satisfies Members<CompletionRecord>,
  recordedError: { code: true, message: true, status: true, retryAfterSeconds: true } satisfies Members<
    NonNullable<CallRecord["error"]>
  >,
  sessionRecord: {
    object: true,
    id: true,
    org: true,
    status: true,
    phase: true,
    head: true,
    turns: true,
    metadata: true,
    origin: true,
    revision: true,
    createdAt: true,
    updatedAt: true,
  } satisfies Members<SessionRecord>,
  auditEvent: {
    id: true,
    at: true,
    org: true,
    actor: true,
    action: true,
    target: true,
    details: true,
    key: true,
    organization: true,
  } satisfies Members<AuditEvent>,
};

/** Only a part of these crosses: the rest stays in the object or the Worker. */
export const PARTS = {
  input: ["messages", "instructions", "parent"] satisfies (keyof TurnInput)[],
  context: ["parent", "history", "instructions", "known", "omitted"] satisfies (keyof PreviewedContext)[],
  reply: ["grant", "refused", "wait", "free", "tags"] satisfies KeyOfAny<AccountReply>[],
  command: [
    "do",
    "id",
    "given",
    "metadata",
    "defaults",
    "instructions",
    "phase",
    "strategy",
    "keep_last",
    "model",
    "name",
    "format",
    "after",
    "limit",
    "from",
    "isBefore",
    "transforms",
    "session",
    "turn",
  ] satisfies KeyOfAny<Command>[],
  conversation: [
    "do",
    "id",
    "metadata",
    "items",
    "item",
    "limit",
    "order",
    "after",
  ] satisfies KeyOfAny<ConversationCommand>[],
  completionQuery: ["do", "id", "call", "metadata", "after", "limit", "order"] satisfies KeyOfAny<CompletionQuery>[],
  query: ["do", "id", "call", "after", "limit", "order"] satisfies KeyOfAny<ResponseQuery>[],
};
type KeyOfAny<T> = T extends unknown ? keyof T : never;
