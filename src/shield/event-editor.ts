import { encodeUtf8 } from "../wire/bytes.ts";
import { findStringEnd, JsonError, QUOTE } from "../wire/json.ts";
import { type Edit, splice } from "../wire/splice.ts";
import { encodeSse, type SseEvent, withData } from "../wire/sse.ts";
import { listEnds, listPieces, type Piece } from "./event-pieces.ts";
import { type Leaf, listLeaves, readLeaf, toJsonEdits } from "./json-leaves.ts";
import { forgetSpelling, inOrder } from "./redact-json.ts";

/** What is decided of a text that comes in pieces: all before `end`, with the edits in it. Offsets are those of the whole text. */
export type Decision = { end: number; edits: readonly Edit[] };

/** Decides about one text, however it is cut. After `end` it may go on. */
export type Slot = { push: (piece: string) => Decision; end: () => Decision };

/** `open`: the slot of a text, undefined if it stays as it is. `edit`: the edits of the strings that are no pieces. */
export type Editing = {
  open: (piece: Piece) => Slot | undefined;
  edit: (json: string, leaves: readonly Leaf[]) => readonly Edit[];
  /** Whether nothing of an event would change: it is not read. Absent: never. */
  isIdle?: () => boolean;
};

/**
 * Edits the texts of a stream inside its events, on any wire. An event waits until its texts are decided, and those behind it
 * wait for it; an event in which nothing changes keeps its bytes. What stands for a value is in the event where the value starts.
 */
export class EventEditor {
  readonly #editing: Editing;
  readonly #texts = new Map<string, GrowingText>();
  #waiting: Waiting[] = [];
  /** The place in `#waiting` of the first event that waits. */
  #next = 0;
  #last: LastText | undefined;

  constructor(editing: Editing) {
    this.#editing = editing;
  }

  /** The events that are decided with this one. */
  push(event: SseEvent): SseEvent[] {
    if (this.#next === this.#waiting.length && this.#editing.isIdle?.()) return [event];
    this.#waiting.push(this.#read(event));
    return this.#release();
  }

  /** All that still waits: no text goes on. */
  end(): SseEvent[] {
    for (const text of this.#texts.values()) text.end();
    return this.#release();
  }

  /** An event whose data is no JSON stays as it is. */
  #read(event: SseEvent): Waiting {
    const json = event.data ?? "";
    try {
      return this.#readJson(event, json);
    } catch (cause) {
      if (!(cause instanceof JsonError)) throw cause;
      return { event, json, pieces: [], edits: [] };
    }
  }

  #readJson(event: SseEvent, json: string): Waiting {
    const next = this.#last?.findNext(json);
    if (next !== undefined) return { event, json, pieces: [next], edits: [] };
    const leaves = leavesOf(json);
    const pieces = listPieces(leaves).flatMap((piece) => {
      const text = this.#textOf(piece);
      return text === undefined ? [] : [{ leaf: piece.leaf, text, ...text.push(readLeaf(json, piece.leaf)) }];
    });
    this.#endOthers(pieces);
    const ends = json.trim() === DONE ? "all" : listEnds(leaves);
    for (const text of this.#texts.values()) if (ends === "all" || ends.includes(text.place)) text.end();
    const inPieces = new Set(pieces.map(({ leaf }) => leaf));
    const edits = this.#editing.edit(
      json,
      leaves.filter((leaf) => !inPieces.has(leaf)),
    );
    const [only] = pieces;
    const isPlain = pieces.length === 1 && edits.length === 0 && ends.length === 0;
    this.#last = isPlain && forgetSpelling(only!.leaf.scope).length === 0 ? new LastText(json, only!) : undefined;
    return { event, json, pieces, edits };
  }

  /** A model says one thing at a time: what it has thought ends with what it says, and that with what it calls. */
  #endOthers(pieces: readonly PlacedPiece[]): void {
    const together = new Set(pieces.map(({ text }) => text));
    const places = new Set(pieces.filter(({ start, end }) => end > start).map(({ text }) => text.place));
    for (const other of this.#texts.values())
      if (!together.has(other) && places.has(other.place) && !other.isArguments) other.end();
  }

  #textOf(piece: Piece): GrowingText | undefined {
    const known = this.#texts.get(piece.text);
    if (known !== undefined) return known;
    const slot = this.#editing.open(piece);
    if (slot === undefined) return undefined;
    const text = new GrowingText(slot, piece);
    this.#texts.set(piece.text, text);
    return text;
  }

  #release(): SseEvent[] {
    const released: SseEvent[] = [];
    for (; this.#next < this.#waiting.length; this.#next++) {
      const waiting = this.#waiting[this.#next]!;
      if (waiting.pieces.some(({ text, end }) => text.decided < end)) break;
      released.push(edited(waiting));
    }
    // What has been released goes when it is half of the list.
    if (this.#next * 2 >= this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
    return released;
  }
}

/** How OpenAI's wire ends a stream. */
const DONE = "[DONE]";

type PlacedPiece = { leaf: Leaf; text: GrowingText; start: number; end: number };
type Waiting = { event: SseEvent; json: string; pieces: readonly PlacedPiece[]; edits: readonly Edit[] };

/** The event before, of which a single text was a piece. Most events of a stream differ from it in that piece alone. */
class LastText {
  readonly #before: string;
  readonly #behind: string;
  readonly #piece: Pick<PlacedPiece, "leaf" | "text">;

  constructor(json: string, piece: PlacedPiece) {
    this.#before = json.slice(0, piece.leaf.start);
    this.#behind = json.slice(piece.leaf.end);
    this.#piece = piece;
  }

  /** The piece of an event that differs in it alone, which the text has got then. */
  findNext(json: string): PlacedPiece | undefined {
    const [start, end] = [this.#before.length, json.length - this.#behind.length];
    if (!json.startsWith(this.#before) || !json.endsWith(this.#behind) || end <= start + 1) return undefined;
    if (json.charCodeAt(start) !== QUOTE || findStringEnd(json, start) !== end) return undefined;
    const leaf = { ...this.#piece.leaf, start, end };
    const { text } = this.#piece;
    return { leaf, text, ...text.push(readLeaf(json, leaf)) };
  }
}

/** An event with its edits. */
function edited({ event, json, pieces, edits }: Waiting): SseEvent {
  const ofPieces = pieces.flatMap(({ leaf, text, start, end }) => {
    const own = text.take(start, end);
    return own.length === 0 ? [] : [...toJsonEdits(json, leaf, own), ...forgetSpelling(leaf.scope)];
  });
  if (ofPieces.length + edits.length === 0) return event;
  const data = splice(json, inOrder([...ofPieces, ...edits]));
  const spliced = json.includes("\n") ? event.raw : withData(event, () => data);
  // Data on several lines is written anew.
  return { ...event, data, raw: spliced === event.raw ? encodeUtf8(encodeSse({ ...event, data })) : spliced };
}

/** The leaves of an event's JSON; none of what is no object or list. */
const leavesOf = (json: string): Leaf[] => (/^\s*[[{]/.test(json) ? [...listLeaves(json)] : []);

/** A text that grows, with the edits of which not all pieces have been taken. */
class GrowingText {
  readonly place: string;
  readonly isArguments: boolean;
  readonly #slot: Slot;
  #length = 0;
  #edits: Edit[] = [];
  /** How much of it is decided. */
  decided = 0;

  constructor(slot: Slot, { place, isArguments }: Piece) {
    this.#slot = slot;
    this.place = place;
    this.isArguments = isArguments;
  }

  /** Where the piece stands in the text. */
  push(piece: string): { start: number; end: number } {
    const start = this.#length;
    this.#length += piece.length;
    this.#add(this.#slot.push(piece));
    return { start, end: this.#length };
  }

  end(): void {
    this.#add(this.#slot.end());
  }

  #add({ end, edits }: Decision): void {
    this.decided = end;
    this.#edits.push(...edits);
  }

  /** The edits inside a piece, by its own offsets. Pieces are taken in their order. */
  take(start: number, end: number): Edit[] {
    const own = this.#edits.flatMap((edit): Edit[] =>
      edit.start < end && edit.end > start
        ? [
            {
              start: Math.max(edit.start, start) - start,
              end: Math.min(edit.end, end) - start,
              text: edit.start >= start ? edit.text : "",
            },
          ]
        : [],
    );
    this.#edits = this.#edits.filter((edit) => edit.end > end);
    return own;
  }
}
