import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Dialect, Loss } from "../../src/canonical/types.ts";
import type { EncodeTarget, ReplyContext } from "../../src/dialects/dialect.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { findCitationLosses } from "../../src/gateway/reply/citation-losses.ts";
import { encodeBody } from "../../src/gateway/request-body.ts";
import { SURFACES } from "../../src/surfaces/index.ts";
import { parseRequest, readMembers } from "../../src/surfaces/request.ts";
import { type Json, type JsonObject, parseJson } from "../../src/wire/json.ts";
import { ROOT } from "./source.ts";

/**
 * What one wire format becomes in another. `input` and `output` are the members that differ from `SHORTEST`: see
 * `completeInput` and `completeOutput`.
 */
export type TranslationRow = {
  title: string;
  from: Dialect;
  to: Dialect;
  input: JsonObject;
  output: JsonObject;
  losses: Loss[];
  /** What is known of the provider and its model, where it makes a difference. */
  target?: Pick<EncodeTarget, "quirks" | "traits">;
};

/** `about`: what a reader should know of all its rows. */
export type Topic = { title: string; about: string; requests: TranslationRow[]; answers: TranslationRow[] };
export type RowKind = "requests" | "answers";

export const GOLDEN = join(ROOT, "test/golden/translation");

/** The topics by file name, in the order of the page. */
export const readTopics = (): [file: string, topic: Topic][] =>
  readdirSync(GOLDEN)
    .toSorted()
    .map((file) => [file, parseJson(readFileSync(join(GOLDEN, file), "utf8")) as unknown as Topic]);

/** What a caller of a surface sends and a provider gets, or what a provider answers and a caller gets. */
export function translate(
  kind: RowKind,
  { from, to, input, target }: TranslationRow,
): Pick<TranslationRow, "output" | "losses"> {
  const run = kind === "requests" ? translateRequest : translateAnswer;
  const usual = run(from, to, SHORTEST[kind][from]).output;
  const { output, losses } = run(from, to, { ...SHORTEST[kind][from], ...input }, target);
  return { output: withoutSame(output, usual, `${from} to ${to}`), losses };
}

/** The members of a body that differ from those of another. Throws if it lacks one of these. */
function withoutSame(body: JsonObject, other: JsonObject, name: string): JsonObject {
  const missing = Object.keys(other).filter((member) => !(member in body));
  if (missing.length > 0) throw new Error(`${name}: a row cannot show that ${missing.join(", ")} is missing`);
  const isSame = (member: string, value: Json): boolean => JSON.stringify(other[member]) === JSON.stringify(value);
  return Object.fromEntries(Object.entries(body).filter(([member, value]) => !isSame(member, value)));
}

type Translated = { output: JsonObject; losses: Loss[] };

const NO_HISTORY = { parent: undefined, history: [], known: 0 };

/** The provider has the model under the name that the caller gave it. */
function translateRequest(from: Dialect, to: Dialect, body: JsonObject, known?: TranslationRow["target"]): Translated {
  const surface = Object.values(SURFACES).find(({ dialect }) => dialect.id === from)!;
  const text = JSON.stringify(body);
  const parsed = parseRequest(readMembers(text, new Headers(), surface), surface, from === "gemini" ? IN_URL : {});
  const target = { dialect: to, model: parsed.model, issuer: "provider", ...known };
  const encoded = encodeBody(parsed, NO_HISTORY, target);
  return { output: parseJson(encoded.body) as JsonObject, losses: encoded.losses };
}

/** What Gemini has in the URL. */
const IN_URL = { model: "m", stream: false };

function translateAnswer(from: Dialect, to: Dialect, body: JsonObject): Translated {
  const response = DIALECTS[from].decodeResponse(body, "provider", "call_0");
  const { messages, finish, alternatives = [] } = response;
  const losses = findCitationLosses(DIALECTS[to], [{ messages, finish }, ...alternatives]);
  return {
    output: DIALECTS[to].encodeResponse(response, REPLY),
    losses: [...(response.losses ?? []), ...losses],
  };
}

const REPLY: ReplyContext = { created: 1, id: "resp_1", call: { id: "call_0", sessionId: "sess_0" } };

const hi = [{ role: "user", content: "Hi" }];

/** The shortest exchange of each wire. A row names only the members in which it differs from this one. */
export const SHORTEST: Record<RowKind, Record<Dialect, JsonObject>> = {
  requests: {
    "openai-chat": { model: "m", messages: hi },
    "openai-responses": { model: "m", input: "Hi" },
    anthropic: { model: "m", max_tokens: 1024, messages: hi },
    gemini: { contents: [{ role: "user", parts: [{ text: "Hi" }] }] },
    native: { model: "m", input: "Hi" },
  },
  answers: {
    "openai-chat": {
      id: "chatcmpl-1",
      object: "chat.completion",
      created: 1,
      model: "m",
      choices: [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    },
    "openai-responses": {
      id: "resp_1",
      object: "response",
      created_at: 1,
      status: "completed",
      model: "m",
      output: [
        {
          type: "message",
          id: "msg_1",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: "Hello", annotations: [] }],
        },
      ],
      usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
    },
    anthropic: {
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "m",
      content: [{ type: "text", text: "Hello" }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 1, output_tokens: 1 },
    },
    gemini: {
      candidates: [{ content: { role: "model", parts: [{ text: "Hello" }] }, finishReason: "STOP" }],
      usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1, totalTokenCount: 2 },
      modelVersion: "m",
      responseId: "r1",
    },
    native: {
      call: { id: "call_1", object: "call", status: "completed", finish_reason: "stop", model: "m" },
      output: [{ type: "response", text: "Hello" }],
      usage: { fresh: 1, output: 1 },
    },
  },
};
