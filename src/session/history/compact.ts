import { GatewayError, invalid } from "../../canonical/error.ts";
import { edit, hasSeal, unseal } from "../../canonical/native.ts";
import type { Message } from "../../canonical/types.ts";
import { DIALECTS } from "../../dialects/index.ts";
import { offload, inline } from "../large-strings.ts";
import type { Session } from "../session.ts";
import { linkTurns, type WireItems, type Turn } from "../turns.ts";
import type { Blobs } from "../../store/blobs.ts";
import { renderTranscript } from "./transcript.ts";
import { decodeItems } from "./decode.ts";
import { joinItems } from "../../wire/json.ts";

export const COMPACTION_STRATEGIES = ["summarize", "drop_oldest", "drop_tool_results", "window"] as const;
type CompactionStrategy = (typeof COMPACTION_STRATEGIES)[number];

/** `keep_last`: turns that stay as they are. `model`: who writes the summary. */
export type Compaction = { strategy: CompactionStrategy; keep_last?: number | undefined; model?: string | undefined };

/** What compacting needs. `summarize`: a model's summary of a transcript; throws what the model's provider said. */
type CompactionServices = {
  session: Session;
  blobs: Blobs;
  objectId: string;
  now: () => number;
  summarize: (transcript: string, model: string | undefined) => Promise<string>;
};

/** Turns that stay behind a summary unless told otherwise: the model goes on in the words of the last exchanges. */
const TURNS_AFTER_SUMMARY = 2;

export type CompactionResult = { turnId: string; strategy: CompactionStrategy; replaced: number; remaining: number };

/**
 * Puts a compaction into a session: a turn that stands for those before it, and copies of those that stay. The history
 * is not touched; the head moves, and only when all is done. Throws `request.unprocessable` when there is nothing to do.
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
  const compaction: NewTurn = {
    kind: "compaction",
    // It ends where the last of those ended that it stands for: whoever resends the whole transcript continues behind it.
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

type NewTurn = Omit<Turn, "id" | "parent" | "depth" | "createdAt">;

/** The name of no place. */
const UNMATCHED_HASH = "~";

/** How many of the turns are compacted. A call and its results are never parted. */
function countCompacted(strategy: CompactionStrategy, turns: readonly Turn[], keepLast: number | undefined): number {
  if (strategy === "window" && keepLast === undefined)
    throw invalid("keep_last", "expected the number of turns that stay");
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

/** Copies behind another prefix than the one they were sealed under. */
const copyUnsealed = (turns: readonly Turn[], blobs: Blobs): Promise<NewTurn[]> =>
  Promise.all(
    turns.map(async (turn) =>
      copyTurn(turn, turn.input, turn.output.sealed ? await rewriteItems(turn.output, unseal, blobs) : turn.output),
    ),
  );

/** undefined: there are no results among the first `count` turns. */
async function copyWithoutResults(turns: readonly Turn[], count: number, blobs: Blobs): Promise<NewTurn[] | undefined> {
  let isAny = false;
  const copies: NewTurn[] = [];
  for (const [i, turn] of turns.entries()) {
    const input = i < count ? await rewriteItems(turn.input, dropToolResults, blobs) : turn.input;
    isAny ||= input !== turn.input;
    // What follows a change was sealed over the old words.
    const output = isAny && turn.output.sealed ? await rewriteItems(turn.output, unseal, blobs) : turn.output;
    copies.push(copyTurn(turn, input, output));
  }
  return isAny ? copies : undefined;
}

function dropToolResults(message: Message): Message {
  if (!message.blocks.some(({ kind }) => kind === "tool_result")) return message;
  const blocks = message.blocks.map((block) =>
    block.kind === "tool_result" ? edit(block, { content: [{ kind: "text", text: "[result dropped]" }] }) : block,
  );
  return edit(message, { blocks });
}

/** A turn again, where the same was said before: a client that resends its transcript is recognised all the same. */
export const copyTurn = (
  { id, origin, chain, own, reply, open }: Turn,
  input: WireItems,
  output: WireItems & { issuer: string },
): NewTurn => ({
  kind: "copy",
  origin: origin ?? id,
  chain,
  own,
  reply,
  open,
  input,
  output,
});

/** The passage with changed messages, in its own wire; itself, when nothing changed. */
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
  new GatewayError("request.unprocessable", "there is nothing to compact: no turn lies before those that stay");
