import type { Loss, Message } from "../canonical/types.ts";
import { withoutUnfinishedThinking } from "../canonical/unfinished-thinking.ts";
import type { WireDialect } from "../dialects/dialect.ts";
import { DIALECTS } from "../dialects/index.ts";
import { decodeItems } from "../session/history/decode.ts";
import type { WireItems } from "../session/turns.ts";

const LOSS: Loss = { at: "thinking", what: "dropped", why: "an answer that ends in its thinking is no history" };

/** The messages as the dialect takes them as a history, and what they lose. */
export function finishHistory(
  messages: readonly Message[],
  { takesUnfinishedThinking }: WireDialect,
): { messages: readonly Message[]; losses: Loss[] } {
  const finished = takesUnfinishedThinking === true ? messages : withoutUnfinishedThinking(messages);
  return { messages: finished, losses: finished === messages ? [] : [LOSS] };
}

/** The same for stored items of the dialect. Those that need no change are the same objects. */
export function finishItems(
  parts: readonly WireItems[],
  { takesUnfinishedThinking }: WireDialect,
): { parts: readonly WireItems[]; losses: Loss[] } {
  if (takesUnfinishedThinking === true) return { parts, losses: [] };
  const finished = parts.map(finishPart);
  return { parts: finished, losses: finished.some((part, i) => part !== parts[i]) ? [LOSS] : [] };
}

function finishPart(part: WireItems): WireItems {
  const known = FINISHED.get(part);
  if (known !== undefined) return known;
  const finished = MAY_THINK.test(part.items) ? encodeFinished(part) : part;
  FINISHED.set(part, finished);
  return finished;
}

function encodeFinished(part: WireItems): WireItems {
  const messages = decodeItems(part);
  const finished = withoutUnfinishedThinking(messages);
  if (finished === messages) return part;
  const { dialect, issuer } = part;
  const { value } = DIALECTS[dialect].encodeMessages(finished, { dialect, model: "", ...(issuer && { issuer }) });
  return { ...part, items: value.map((item) => JSON.stringify(item)).join(",") };
}

/** What every name of thinking has, in all dialects. */
const MAY_THINK = /think|reason/i;

/** Weak: an entry goes with the turn in memory. */
const FINISHED = new WeakMap<WireItems, WireItems>();
