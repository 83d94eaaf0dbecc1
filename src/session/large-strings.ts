import { GatewayError } from "../canonical/error.ts";
import type { Blobs } from "../store/blobs.ts";
import { sha256 } from "../wire/hash.ts";
import { findStringEnd } from "../wire/json.ts";
import type { BlobRef, WireItems } from "./turns.ts";

/** Characters, quotes included. SPEC 19: what is larger leaves the session for R2. */
const MIN_LENGTH = 256 * 1024;

/** The passage without its large media, which are durable elsewhere then. Inverse of `joined`. */
export async function offload<P extends WireItems>(wireItems: P, blobs: Blobs): Promise<P> {
  const { items } = wireItems;
  if (items.length < MIN_LENGTH) return wireItems;
  const cuts: BlobRef[] = [];
  let rest = "";
  let from = 0;
  const puts: Promise<void>[] = [];
  for (let start = items.indexOf('"'); start >= 0;) {
    const end = findStringEnd(items, start);
    const literal = end - start > MIN_LENGTH ? items.slice(start, end) : "";
    if (literal !== "" && isData(literal)) {
      const blob = sha256(literal);
      rest += items.slice(from, start);
      cuts.push({ at: rest.length, blob });
      puts.push(blobs.put(blob, literal));
      from = end;
    }
    start = items.indexOf('"', end);
  }
  await Promise.all(puts);
  return cuts.length === 0 ? wireItems : { ...wireItems, items: rest + items.slice(from), cuts };
}

/** Data have no blanks, and words have one every few: these stay, however long they are. A data URL's beginning is neither. */
const isData = (literal: string): boolean => !literal.slice(1024, 5120).includes(" ");

/** The passage as it was said. Throws when what was cut out is no longer there. */
export async function inline<P extends WireItems>(wireItems: P, blobs: Blobs): Promise<P> {
  const { cuts, ...whole } = wireItems;
  if (cuts === undefined) return wireItems;
  const texts = await Promise.all(cuts.map(({ blob }) => blobs.get(blob)));
  let items = "";
  let from = 0;
  cuts.forEach(({ at }, i) => {
    const text = texts[i];
    if (text === undefined) throw missingBlob();
    items += wireItems.items.slice(from, at) + text;
    from = at;
  });
  return { ...whole, items: items + wireItems.items.slice(from) } as P;
}

/** The same of a whole history, most of which is as it was said: it costs nothing where nothing was cut. */
export const inlineAll = async (history: readonly WireItems[], blobs: Blobs): Promise<readonly WireItems[]> =>
  history.some(({ cuts }) => cuts !== undefined)
    ? await Promise.all(history.map((wireItems) => inline(wireItems, blobs)))
    : history;

const missingBlob = (): GatewayError =>
  new GatewayError(
    "request.unprocessable",
    "a large part of this session (an image, a document) is no longer stored: branch before the turn that holds it, or compact",
    { param: "rhone.session_id" },
  );
