import type { Alternative, Loss, Text } from "../../canonical/types.ts";
import type { WireDialect } from "../../dialects/dialect.ts";

/** The citations of an answer that a dialect other than the provider's cannot represent, each kind once. */
export function findCitationLosses({ id, citesWholeTexts }: WireDialect, answers: readonly Alternative[]): Loss[] {
  const texts = answers
    .flatMap(({ messages }) => messages)
    .flatMap(({ blocks }) => blocks)
    .filter((block) => block.kind === "text" && block.native?.dialect !== id) as Text[];
  const cited = texts.flatMap(({ citations = [], text }) => citations.map((citation) => ({ ...citation, text })));
  const losses: Loss[] = [];
  if (cited.some(({ url }) => url === undefined))
    losses.push({ at: "output.citations", what: "dropped", why: `${id} cites sources with a URL only` });
  const isPart = cited.some(
    ({ url, text, start = 0, end = text.length }) => url !== undefined && (start > 0 || end < text.length),
  );
  if (citesWholeTexts && isPart)
    losses.push({
      at: "output.citations",
      what: "approximated",
      why: `${id} cites a text as a whole, not words in it`,
    });
  return losses;
}

/** Citations that the stream could not send. */
export const LATE_CITATIONS: Loss = {
  at: "output.citations",
  what: "dropped",
  why: "they arrived after their text had ended, and the stream of this surface cannot cite it any more",
};
