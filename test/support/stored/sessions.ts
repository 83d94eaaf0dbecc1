import type { Message } from "../../../src/canonical/types.ts";
import type { StoredItem, StoredOnly } from "../../../src/gateway/responses/stored-items.ts";
import type { ResponseLocation } from "../../../src/session/directory/response-index.ts";
import type { SessionRow } from "../../../src/session/row.ts";
import type { StoredCompletion } from "../../../src/session/stored-completions.ts";
import type { StoredResponse } from "../../../src/session/stored-responses.ts";
import type { Turn, WireItems } from "../../../src/session/turns.ts";
import type { Members } from "./member.ts";

/** What a session stores in its database. */
export const SESSIONS = {
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
};
