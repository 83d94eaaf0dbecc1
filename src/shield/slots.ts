import type { Edit } from "../wire/splice.ts";
import type { Kind } from "./detect/find.ts";
import type { Decision, Slot } from "./event-editor.ts";
import { asJson, Restorer, type Vault } from "./restore.ts";
import type { Rules } from "./rules.ts";
import { Window } from "./window.ts";

/** Reads a text through a window; late by what may still become a value. `onFind` gives what stands for one, undefined if it stays. */
export class RedactingSlot implements Slot {
  readonly #window: Window;
  readonly #onFind: (value: string, kind: Kind) => string | undefined;
  /** The text from `#at` on, as long as a value may be in it. */
  #text = "";
  #at = 0;
  /** What stands for more of the last value; undefined: that one stays. */
  #rest: string | undefined;

  constructor(rules: Rules, onFind: (value: string, kind: Kind) => string | undefined) {
    this.#window = new Window(rules);
    this.#onFind = onFind;
  }

  push(piece: string): Decision {
    this.#text += piece;
    return this.#decide(this.#window.push(piece));
  }

  end(): Decision {
    return this.#decide(this.#window.end());
  }

  #decide({ end, finds }: ReturnType<Window["push"]>): Decision {
    const edits = finds.flatMap(({ start, end: to, kind, continues }): Edit[] => {
      const text = continues ? this.#rest : this.#onFind(this.#text.slice(start - this.#at, to - this.#at), kind);
      this.#rest = text === undefined ? undefined : "";
      return text === undefined ? [] : [{ start, end: to, text }];
    });
    this.#text = this.#text.slice(end - this.#at);
    this.#at = end;
    return { end, edits };
  }
}

/**
 * Waits until a JSON text is whole, as only then its strings can be read: of a tool's arguments, or an answer in JSON. What starts as no
 * object or array, and what follows one, is read at the end.
 */
export class WholeSlot implements Slot {
  readonly #edit: (text: string) => readonly Edit[];
  readonly #parts: string[] = [];
  #length = 0;
  #at = 0;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** It is one object or array so far, and nothing else. */
  #isOne = true;

  constructor(edit: (text: string) => readonly Edit[]) {
    this.#edit = edit;
  }

  push(piece: string): Decision {
    this.#parts.push(piece);
    this.#length += piece.length;
    return this.#closes(piece) ? this.end() : { end: this.#at, edits: [] };
  }

  end(): Decision {
    const text = this.#parts.splice(0).join("");
    const at = this.#at;
    this.#at = this.#length;
    this.#isOne &&= text.trim() === "";
    const edits = text === "" ? [] : this.#edit(text);
    return {
      end: this.#at,
      edits: edits.map(({ start, end, text: by }) => ({ start: start + at, end: end + at, text: by })),
    };
  }

  /** Whether the text's only object or array ends with this piece. */
  #closes(piece: string): boolean {
    let isClosed = false;
    for (let i = 0; i < piece.length && this.#isOne; i++) {
      const character = piece[i]!;
      if (this.#isInString) this.#readInString(character);
      else if (character === '"' && this.#depth > 0) this.#isInString = true;
      else if (character === "{" || character === "[") {
        this.#isOne = !isClosed;
        this.#depth++;
      } else if (character === "}" || character === "]") isClosed = --this.#depth === 0;
      else if (this.#depth === 0 && character.trim() !== "") this.#isOne = false;
    }
    return isClosed && this.#isOne;
  }

  #readInString(character: string): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (character === "\\") this.#isEscaped = true;
    else if (character === '"') this.#isInString = false;
  }
}

/** Decides as two slots do that look at the same text; where their edits overlap, the first one's count. */
export class JointSlot implements Slot {
  readonly #slots: readonly [Slot, Slot];
  #waiting: [Edit[], Edit[]] = [[], []];

  constructor(first: Slot, second: Slot) {
    this.#slots = [first, second];
  }

  push(piece: string): Decision {
    return this.#join(this.#slots[0].push(piece), this.#slots[1].push(piece));
  }

  end(): Decision {
    return this.#join(this.#slots[0].end(), this.#slots[1].end());
  }

  /** An edit is final when both have decided the text that it is in. */
  #join(one: Decision, other: Decision): Decision {
    const [first, second] = this.#waiting;
    first.push(...one.edits);
    second.push(...other.edits);
    const end = Math.min(one.end, other.end);
    const cut = Math.min(end, ...[...first, ...second].filter((edit) => edit.end > end).map(({ start }) => start));
    const edits = mergeEdits(
      first.filter((edit) => edit.end <= cut),
      second.filter((edit) => edit.end <= cut),
    );
    this.#waiting = [first.filter((edit) => edit.end > cut), second.filter((edit) => edit.end > cut)];
    return { end: cut, edits };
  }
}

/** Two lists of edits of one text, in their order, without those of the second that overlap one of the first. */
export const mergeEdits = (first: readonly Edit[], second: readonly Edit[]): Edit[] =>
  [
    ...first,
    ...second.filter(({ start, end }) => !first.some((edit) => edit.start < end && edit.end > start)),
  ].toSorted((a, b) => a.start - b.start);

/** Puts values back where their tags stand. `isJson`: the text is JSON, with the tags inside its strings. */
export class RestoringSlot implements Slot {
  readonly #restorer: Restorer;
  readonly #isJson: boolean;

  constructor(vault: Vault, isJson: boolean) {
    this.#restorer = new Restorer(vault);
    this.#isJson = isJson;
  }

  push(piece: string): Decision {
    return this.#inJson(this.#restorer.push(piece));
  }

  end(): Decision {
    return this.#inJson(this.#restorer.end());
  }

  #inJson({ end, edits }: { end: number; edits: Edit[] }): Decision {
    return { end, edits: this.#isJson ? edits.map(asJson) : edits };
  }
}
