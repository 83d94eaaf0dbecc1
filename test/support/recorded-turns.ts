import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Dialect, Message, StreamEvent } from "../../src/canonical/types.ts";
import type { Json, JsonObject } from "../../src/wire/json.ts";
import { type Recording, recordings } from "./recordings.ts";

/** What of a version of the code is needed to hash the turns of a recording. `Frame`: a decoded server-sent event. */
export type TurnCode<Frame> = {
  dialects: Record<Dialect, Decoders<Frame>>;
  decodeSse: (bytes: Uint8Array) => Frame[];
  /** The response of a whole list of events. */
  fold: (events: readonly StreamEvent[]) => { messages: readonly Message[] };
  hash: (from: string, input: readonly Message[], output: readonly Message[]) => TurnHashes;
};
type Decoders<Frame> = {
  decodeMessages: (items: readonly Json[]) => Message[];
  decodeResponse: (body: Json) => { messages: readonly Message[] };
  decodeStream: () => { push: (frame: Frame) => StreamEvent[]; end: () => StreamEvent[] };
};
/** The members that stand in the rows of `turns`. */
type TurnHashes = { chain: string; own: string; reply: string };
type RecordedTurn = { input: readonly Message[]; output: readonly Message[] };

/** `fixtures`: a digest for each recording. `corpus`: one for each of its folders, with the number of recordings. */
export type HashList = {
  writtenBy: string;
  fixtures: Record<string, string>;
  corpus: Record<string, { recordings: number; digest: string }>;
};

const DIALECTS: readonly Dialect[] = ["openai-chat", "openai-responses", "anthropic", "gemini", "native"];

/** By dialect and name, in the order of their names. */
export const hashFixtures = <Frame>(code: TurnCode<Frame>): HashList["fixtures"] =>
  Object.fromEntries(
    allRecordings().map((recording) => [`${recording.dialect}/${recording.id}`, digestOf(hashTurns(recording, code))]),
  );

/** By folder. The corpus is the one that `RHONE_CORPUS` names. */
export function hashCorpus<Frame>(corpus: string, code: TurnCode<Frame>): HashList["corpus"] {
  const folders = foldersIn(corpus);
  // Recordings of the gateway's own format are fixtures in any case.
  const byFolder = Map.groupBy(
    allRecordings().filter(({ dialect }) => dialect !== "native"),
    ({ id }) => folders.get(id)!,
  );
  const digests = [...byFolder].map(([folder, some]) => {
    const lines = some.map((recording) => `${recording.id} ${JSON.stringify(hashTurns(recording, code))}`);
    return [folder, { recordings: some.length, digest: digestOf(lines) }] as const;
  });
  return Object.fromEntries(digests.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

const allRecordings = (): Recording[] =>
  DIALECTS.flatMap((dialect) => recordings(dialect)).toSorted((a, b) =>
    `${a.dialect}/${a.id}` < `${b.dialect}/${b.id}` ? -1 : 1,
  );

/** The folder of each recording, by its id. */
function foldersIn(corpus: string): Map<string, string> {
  const lines = readFileSync(join(corpus, "manifest.jsonl"), "utf8").split("\n").filter(Boolean);
  return new Map(
    lines.map((line) => {
      const { id, file } = JSON.parse(line) as { id: string; file: string };
      return [id, dirname(file)];
    }),
  );
}

/** The hashes of a recording's turns, each from where the turn before it ended. */
function hashTurns<Frame>(recording: Recording, code: TurnCode<Frame>): TurnHashes[] {
  const hashes: TurnHashes[] = [];
  for (const { input, output } of turnsOf(recording, code)) {
    const { chain, own, reply } = code.hash(hashes.at(-1)?.chain ?? "", input, output);
    hashes.push({ chain, own, reply });
  }
  return hashes;
}

/** A turn ends where the model's messages end; the last one ends with the recorded response. */
function turnsOf<Frame>(recording: Recording, code: TurnCode<Frame>): RecordedTurn[] {
  const turns: { input: Message[]; output: readonly Message[] }[] = [];
  const { dialect, request, status } = recording;
  const history = request === undefined ? [] : code.dialects[dialect].decodeMessages(itemsOf(request));
  let input: Message[] = [];
  let output: Message[] = [];
  for (const message of history) {
    if (message.role !== "assistant" && output.length > 0) {
      turns.push({ input, output });
      [input, output] = [[], []];
    }
    (message.role === "assistant" ? output : input).push(message);
  }
  const response = status === 200 ? responseOf(recording, code) : [];
  // Assistant messages at the end of a request are a prefill: the response continues them.
  if (input.length > 0 || output.length > 0 || response.length > 0)
    turns.push({ input: [...input, ...output], output: response });
  return turns;
}

function itemsOf(request: JsonObject): Json[] {
  const items = request.messages ?? request.contents ?? request.input ?? request.blocks;
  return Array.isArray(items) ? items : [];
}

/** No messages when the recording breaks off. */
function responseOf<Frame>(
  { dialect, body, sse }: Recording,
  { dialects, decodeSse, fold }: TurnCode<Frame>,
): readonly Message[] {
  if (body !== undefined && sse === undefined) return dialects[dialect].decodeResponse(body).messages;
  if (sse === undefined) return [];
  const decoder = dialects[dialect].decodeStream();
  const frames = decodeSse(new TextEncoder().encode(sse));
  const events = [...frames.flatMap((frame) => decoder.push(frame)), ...decoder.end()];
  return events.at(-1)?.type === "end" ? fold(events).messages : [];
}

const digestOf = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("base64url").slice(0, 22);
