import { findNew, type LateCitations } from "../../canonical/citations.ts";
import type { Block, Citation, Text } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, stringOf } from "../../wire/json.ts";

/** A file has a name or an id in place of a title. */
export function decodeAnnotations(annotations: Json | undefined): { citations?: Citation[] } {
  const citations = (Array.isArray(annotations) ? annotations : []).flatMap((cited): Citation[] => {
    if (!isObject(cited)) return [];
    const { url, start_index: start, end_index: end } = cited;
    const title = stringOf(cited.title) ?? stringOf(cited.filename) ?? stringOf(cited.file_id);
    return [
      {
        ...(typeof url === "string" && { url }),
        ...(title !== undefined && { title }),
        ...(typeof start === "number" && { start }),
        ...(typeof end === "number" && { end }),
      },
    ];
  });
  return citations.length > 0 ? { citations } : {};
}

/** All members are required. A citation without a position refers to the whole text. */
export function encodeAnnotations({ citations = [], text }: Text): Json[] {
  return citations
    .filter(({ url }) => url !== undefined)
    .map(({ url, title, start, end }) => ({
      type: "url_citation",
      url: url!,
      title: title ?? "",
      start_index: start ?? 0,
      end_index: end ?? text.length,
    }));
}

/**
 * A finished message item with further citations of one of its parts. `added`: their annotations; `first`: the index of the
 * first of them in the part.
 */
export function annotatePart(
  item: JsonObject,
  contentIndex: number,
  citations: Citation[],
): { cited: JsonObject; first: number; added: Json[] } {
  const content = Array.isArray(item.content) ? item.content : [];
  const part = content[contentIndex];
  if (!isObject(part) || part.type !== "output_text") return { cited: item, first: 0, added: [] };
  const before = Array.isArray(part.annotations) ? part.annotations : [];
  const added = encodeAnnotations({ kind: "text", text: stringifyMember(part.text), citations });
  const cited = { ...item, content: content.with(contentIndex, { ...part, annotations: [...before, ...added] }) };
  return { cited, first: before.length, added };
}

/**
 * The citations of the parts of one item during a stream. Those received earlier count where the part of the final item
 * has none.
 */
export class PartCitations {
  /** Annotations of events and of parts that are done, by position of the part. */
  readonly #annotations = new Map<number, Json[]>();
  /** The texts that have closed, by position, with the citations that they had. */
  readonly #closed = new Map<number, { index: number; emitted: readonly Citation[] }>();

  /** Takes the annotation of an event; no event follows from it. */
  add(at: number, annotation: Json = null): [] {
    this.#annotations.set(at, [...(this.#annotations.get(at) ?? []), annotation]);
    return [];
  }

  /** The block as it closes. */
  close({ at, index }: { at: number; index: number }, block: Block): Block {
    const cited = this.#cite(at, block);
    if (cited.kind === "text") this.#closed.set(at, { index, emitted: cited.citations ?? [] });
    return cited;
  }

  /** Takes the annotations of parts that are done, in place of those of events. `from`: the position of the first part. */
  keep(parts: Json | undefined, from = 0): void {
    (Array.isArray(parts) ? parts : []).forEach((part, i) => {
      if (isObject(part) && Array.isArray(part.annotations) && part.annotations.length > 0)
        this.#annotations.set(from + i, part.annotations);
    });
  }

  /** After the end: the citations that arrived when their text had closed. `blocks`: those of the completed item. */
  listLate(blocks: readonly Block[]): LateCitations {
    return [...this.#closed].flatMap(([at, { index, emitted }]) => {
      const block = blocks[at];
      const cited = block === undefined ? undefined : this.#cite(at, block);
      const citations = findNew(cited?.kind === "text" ? (cited.citations ?? []) : [], emitted);
      return citations.length > 0 ? [{ index, citations }] : [];
    });
  }

  #cite(at: number, block: Block): Block {
    if (block.kind !== "text" || block.citations !== undefined) return block;
    return { ...block, ...decodeAnnotations(this.#annotations.get(at)) };
  }
}
