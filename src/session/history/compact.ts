import { GatewayError, invalid } from "../../canonical/error.ts";
import { editItem, hasSeal, unseal } from "../../canonical/native.ts";
import type { Message } from "../../canonical/types.ts";
import { DIALECTS } from "../../dialects/index.ts";
import type { Blobs } from "../../store/blobs.ts";
import { joinItems } from "../../wire/json.ts";
import { inline, offload } from "../large-strings.ts";
import type { Session } from "../session.ts";
import { linkTurns, type Turn, type UnlinkedTurn, type WireItems } from "../turns.ts";
import { decodeItems } from "./decode.ts";
import { renderTranscript } from "./transcript.ts";

/**
 * `summarize`: a model's summary replaces the older half. `drop_oldest`, `window`: older turns are left out.
 * `drop_tool_results`: all turns stay, the content of older tool results is left out.
 */
export const COMPACTION_STRATEGIES = ["summarize", "drop_oldest", "drop_tool_results", "window"] as const;
type CompactionStrategy = (typeof COMPACTION_STRATEGIES)[number];

/** `keep_last`: the number of newest turns that stay. `model`: the one that writes the summary. */
export type Compaction = { strategy: CompactionStrategy; keep_last?: number | undefined; model?: string | undefined };

/** `objectId`: of the session's object. `summarize`: a model's summary of a transcript; throws the error of its call. */
type CompactionServices = {
  session: Session;
  blobs: Blobs;
  objectId: string;
  now: () => number;
  summarize: (transcript: string, model: string | undefined) => Promise<string>;
};

/** Turns that stay after a summary by default: with the last exchanges verbatim the model continues in their wording and format. */
const TURNS_AFTER_SUMMARY = 2;

/** `replaced`: turns that the compaction replaces. `remaining`: turns after it. */
export type CompactionResult = { turnId: string; strategy: CompactionStrategy; replaced: number; remaining: number };

/**
 * Compacts a session: adds a compaction turn that replaces the older turns, and copies of those that stay, and moves the
 * head to the last of them. The old turns are not changed. Throws `request.unprocessable` if there is nothing to compact.
 */
export async function compact(
  { strategy, keep_last, model }: Compaction,
  services: CompactionServices,
): Promise<CompactionResult> {
  const { session, blobs, objectId, now } = services;
  const { path } = session;
  const head = path.at(-1);
  const turns = path.filter(({ kind }) => kind !== "compaction");
  const compactedCount = countCompacted(strategy, turns, keep_last);
  const dropped = strategy === "drop_tool_results" ? [] : turns.slice(0, compactedCount);
  if (head === undefined || compactedCount <= 0) throw nothingToDo();
  const summary =
    strategy === "summarize"
      ? await buildSummary(path.slice(0, path.length - turns.length + compactedCount), model, services)
      : [];
  const base = strategy === "drop_tool_results" ? path.find(({ kind }) => kind === "compaction") : undefined;
  const remaining =
    strategy === "drop_tool_results"
      ? await copyWithoutResults(turns, compactedCount, blobs)
      : await copyUnsealed(turns.slice(compactedCount), blobs);
  if (remaining === undefined) throw nothingToDo();
  const compaction: UnlinkedTurn = {
    kind: "compaction",
    // The hash of the last turn that it replaces: a client that resends the whole transcript continues after it.
    chain: dropped.at(-1)?.chain ?? UNMATCHED_HASH,
    own: "",
    reply: "",
    open: [],
    input: base?.input ?? { dialect: "openai-chat", items: joinItems(summary) },
    output: base?.output ?? { dialect: "openai-chat", items: "", issuer: "" },
  };
  const linked = linkTurns([compaction, ...remaining], { parent: head, objectId, now: now() });
  const { id: turnId } = linked[0]!;
  const replaced = dropped.length > 0 ? dropped.length : compactedCount;
  session.moveTo(linked, "compacted", {
    strategy,
    turn_id: turnId,
    replaced_turns: replaced,
    kept_turns: remaining.length,
    before: head.id,
  });
  return { turnId, strategy, replaced, remaining: remaining.length };
}

/** Turn hash of a compaction that replaces no turn; `~` is outside the alphabet of hashes, so it matches none. */
const UNMATCHED_HASH = "~";

/** The number of oldest turns to compact; none is left out whose tool calls are answered by a turn that stays. */
function countCompacted(strategy: CompactionStrategy, turns: readonly Turn[], keepLast: number | undefined): number {
  if (strategy === "window" && keepLast === undefined)
    throw invalid("keep_last", "expected the number of turns to keep");
  const remaining =
    keepLast ??
    { summarize: TURNS_AFTER_SUMMARY, drop_oldest: Math.ceil(turns.length / 2), drop_tool_results: 1, window: 0 }[
      strategy
    ];
  let at = turns.length - remaining;
  if (strategy === "drop_tool_results") return at;
  while (at > 0 && turns[at - 1]!.open.length > 0) at--;
  return at;
}

async function buildSummary(
  turns: readonly Turn[],
  model: string | undefined,
  { blobs, summarize }: CompactionServices,
): Promise<object[]> {
  const sides = await Promise.all(turns.flatMap(({ input, output }) => [inline(input, blobs), inline(output, blobs)]));
  const summary = await summarize(renderTranscript(sides.flatMap(decodeItems)), model);
  return [{ role: "user", content: `What was said so far, in short:\n\n${summary}` }];
}

/** Copies turns without their seals, which cover a history that the copies no longer follow. */
const copyUnsealed = (turns: readonly Turn[], blobs: Blobs): Promise<UnlinkedTurn[]> =>
  Promise.all(
    turns.map(async (turn) =>
      copyTurn(turn, turn.input, turn.output.sealed ? await rewriteItems(turn.output, unseal, blobs) : turn.output),
    ),
  );

/** Copies turns without the tool results of the first `count`; undefined if these have none. */
async function copyWithoutResults(
  turns: readonly Turn[],
  count: number,
  blobs: Blobs,
): Promise<UnlinkedTurn[] | undefined> {
  let isAny = false;
  const copies: UnlinkedTurn[] = [];
  for (const [i, turn] of turns.entries()) {
    const input = i < count ? await rewriteItems(turn.input, dropToolResults, blobs) : turn.input;
    isAny ||= input !== turn.input;
    // Seals after a change cover the text before it, so their issuer would reject them.
    const output = isAny && turn.output.sealed ? await rewriteItems(turn.output, unseal, blobs) : turn.output;
    copies.push(copyTurn(turn, input, output));
  }
  return isAny ? copies : undefined;
}

/** Replaces the content of tool results; the results stay, since providers reject calls without them. */
export function dropToolResults(message: Message): Message {
  if (!message.blocks.some(({ kind }) => kind === "tool_result")) return message;
  const blocks = message.blocks.map((block) =>
    block.kind === "tool_result" ? editItem(block, { content: [{ kind: "text", text: "[result dropped]" }] }) : block,
  );
  return editItem(message, { blocks });
}

/** A copy of a turn with the same hashes, so that a client which resends its transcript still continues it. `origin`: the first turn copied. */
export const copyTurn = (
  { id, kind, origin, chain, own, reply, open }: Turn,
  input: WireItems,
  output: WireItems & { issuer: string },
): UnlinkedTurn => ({
  kind: kind === "step" ? kind : "copy",
  origin: origin ?? id,
  chain,
  own,
  reply,
  open,
  input,
  output,
});

/**
 * Changes the messages of wire items and encodes them again in their dialect; `undefined` leaves a message out. Returns
 * the argument itself if nothing changed. Large strings are moved back to `blobs`.
 */
export async function rewriteItems<P extends WireItems>(
  wireItems: P,
  change: (message: Message) => Message | undefined,
  blobs: Blobs,
): Promise<P> {
  const whole = await inline(wireItems, blobs);
  const before = decodeItems(whole);
  const after = before.map(change);
  if (after.every((message, i) => message === before[i])) return wireItems;
  const dialect = DIALECTS[wireItems.dialect];
  const target = {
    dialect: wireItems.dialect,
    model: "",
    ...(wireItems.issuer !== undefined && { issuer: wireItems.issuer }),
  };
  const { value } = dialect.encodeMessages(
    after.filter((message) => message !== undefined),
    target,
  );
  return await offload(
    {
      ...whole,
      items: joinItems(value),
      sealed: after.some((one) => one !== undefined && hasSeal(one)),
    },
    blobs,
  );
}

const nothingToDo = (): GatewayError =>
  new GatewayError("request.unprocessable", "there is nothing to compact: no turns before those to keep");
