import type { Command } from "../../../src/gateway/session/commands.ts";
import type { CompletionQuery } from "../../../src/gateway/session/completions.ts";
import type { ConversationCommand } from "../../../src/gateway/session/conversations.ts";
import type { ResponseQuery } from "../../../src/gateway/session/response-queries.ts";
import type { AccountReply } from "../../../src/keys/budget/grant-pool.ts";
import type { PreviewedContext, TurnInput } from "../../../src/session/session.ts";
import { KEYS } from "./keys.ts";
import type { KeyOfAny } from "./member.ts";
import { MESSAGES } from "./messages.ts";
import { RECORDS } from "./records.ts";
import { RUNS } from "./runs.ts";
import { SESSIONS } from "./sessions.ts";

/** Called by Workers of another version while a deployment is under way. */
export const METHODS: Record<string, string> = {
  session:
    "call record tell contextOf perform adopt converse recall completion findItems has findCall stream cancel run left expire erase fetch webSocketMessage webSocketClose webSocketError alarm",
  journal: "enter find strike alarm",
  directory: "put putItem find remove putTranscript findTranscript",
  key: "create admit describe usage change rotate revoke take report alarm",
  organization:
    "describe put usage take report credentials setCredential reseal removeCredential secrets setSecret removeSecret webhooks addWebhook changeWebhook removeWebhook harnesses harnessVersions harness addHarness removeHarness alarm",
  idempotency: "answer alarm",
  clock: "arm tasks wake alarm",
};

/** The members of all that is stored or sent, by what it is. */
export const MEMBERS = { ...MESSAGES, ...SESSIONS, ...KEYS, ...RUNS, ...RECORDS };

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
