import { GatewayError } from "../canonical/error.ts";
import type { Blobs } from "../store/blobs.ts";
import { sha256 } from "../wire/hash.ts";
import { findStringEnd } from "../wire/json.ts";
import type { BlobRef, WireItems } from "./turns.ts";

/** Strings longer than this are stored in R2: read with every turn of a path, they would fill an object's 128 MB. Characters, quotes included. */
const MIN_LENGTH = 256 * 1024;

/**
 * Moves large data strings (images, documents) from the items to `blobs`. Resolves when they are durable there; returns
 * the argument itself if there are none. The inverse of `inline`.
 */
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

/** Distinguishes base64 from prose, which stays: prose has a blank every few characters. The first 1024 are skipped: a data URL's header may hold one. */
const isData = (literal: string): boolean => !literal.slice(1024, 5120).includes(" ");

/** Restores the items byte for byte. Throws `request.unprocessable` if a blob was deleted. */
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

/** `inline` for a whole history; the argument itself if nothing was moved out, which is the common case. */
export const inlineAll = async (history: readonly WireItems[], blobs: Blobs): Promise<readonly WireItems[]> =>
  history.some(({ cuts }) => cuts !== undefined)
    ? await Promise.all(history.map((wireItems) => inline(wireItems, blobs)))
    : history;

const missingBlob = (): GatewayError =>
  new GatewayError(
    "request.unprocessable",
    "an image or document of this session is missing from storage: branch from an earlier turn, or compact",
    { param: "rhone.session_id" },
  );
