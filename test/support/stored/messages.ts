import type { JournaledCall, SessionCall, StatelessCall } from "../../../src/gateway/call/call.ts";
import type { ResponsesState } from "../../../src/gateway/call/responses-state.ts";
import type { StreamChunk } from "../../../src/gateway/output/remote-recorder.ts";
import type { SocketAttachment } from "../../../src/gateway/sockets/session-sockets.ts";
import type { Caller } from "../../../src/keys/caller.ts";
import type { Claims } from "../../../src/keys/client-token.ts";
import type { JournalEntry } from "../../../src/session/call-journal.ts";
import type { Members } from "./member.ts";

/** What passes between the Worker and the objects, or stays in an object between two of its calls. */
export const MESSAGES = {
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
    runId: true,
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
};
