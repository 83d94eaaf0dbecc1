import type { Message } from "../../canonical/types.ts";
import { type Decision, EventEditor, type Slot } from "../../shield/event-editor.ts";
import { type Piece, placeOf } from "../../shield/event-pieces.ts";
import { type Leaf, listLeaves, readLeaf } from "../../shield/json-leaves.ts";
import { isSpelling, isThought, kindOf, unsealedKindOf } from "../../shield/leaf-kind.ts";
import { findInText, redactLeaves, type Reading, redactText, type Substitute } from "../../shield/redact-json.ts";
import { restoreLeaves, type Vault } from "../../shield/restore.ts";
import { Findings, replaceValue, type Screen, type Verdict } from "../../shield/screening.ts";
import { JointSlot, mergeEdits, RedactingSlot, RestoringSlot, WholeSlot } from "../../shield/slots.ts";
import { decodeUtf8, encodeUtf8 } from "../../wire/bytes.ts";
import { type Edit, findElements, sliceSpan, splice } from "../../wire/splice.ts";
import type { SseEvent } from "../../wire/sse.ts";
import { deniedError, isDenied, type AppliedProfile } from "./applied-profile.ts";

/** What a client carries in the place of the signature of Anthropic's block of thinking, and sends back. */
export type SealThought = (item: { type: string; thinking: string; signature: string }) => string;

/**
 * What may not pass in the answer of a call: it is screened before it is decoded, so that all that is stored of it has what stands for a
 * value; the client's copy has the client's own values in the place of their tags.
 */
export class AnswerShield {
  readonly #profile: AppliedProfile;
  readonly #screen: Screen;
  readonly #valueOf: Vault;
  readonly #mayRestore: () => boolean;
  readonly #findings: Findings;
  /** Kinds and values that have been counted. */
  readonly #counted = new Set<string>();
  /** The thoughts of the answer as their provider sent them, by their places in the stream; and whether the client's copy differs. */
  readonly #thoughts = new Map<string, { text: string; isChanged: boolean }>();
  /** Something of the answer was not changed, because only its issuer may. */
  #leavesSealed = false;

  /** `valueOf`: the client's own value of a tag; `mayRestore`: whether there may be one. */
  constructor(profile: AppliedProfile, screen: Screen, own: { valueOf: Vault; mayRestore: () => boolean }) {
    this.#profile = profile;
    this.#screen = screen;
    this.#valueOf = own.valueOf;
    this.#mayRestore = own.mayRestore;
    this.#findings = new Findings(profile.compiled, "output");
  }

  /** What was found in it; undefined: nothing. */
  get verdict(): Verdict | undefined {
    return this.#findings.verdict;
  }

  /** Whether it is changed before it is decoded. */
  get isChanged(): boolean {
    return this.#isEnforced && this.#profile.compiled.profile.stages.includes("output");
  }

  get #isEnforced(): boolean {
    return this.#profile.compiled.profile.mode === "enforce";
  }

  get #restores(): boolean {
    return this.#isEnforced && this.#profile.compiled.profile.restore === "caller" && this.#mayRestore();
  }

  /** Whether the client's bytes differ from those of the decoded answer. */
  get isChangedForClient(): boolean {
    return this.isChanged || this.#restores;
  }

  /** A whole answer as its provider sent it, with what stands for new values. Throws `safety.policy_denied`. */
  screen(json: string, isJson = false): string {
    if (!this.isChanged) return json;
    if (isList(json)) return editList(json, this.editor(isJson)!);
    const edits = this.#redactUnsealed(json, [...listLeaves(json)], this.#substitute);
    return edits.length === 0 ? json : splice(json, edits);
  }

  /** The same for a stream. `isJson`: its texts are JSON. Absent if the stream stays as it is. */
  editor(isJson: boolean): EventEditor | undefined {
    if (!this.isChanged) return undefined;
    return new EventEditor({
      open: (piece) => {
        if (!isThought(piece.leaf)) return this.#redactingSlot(piece, isJson);
        this.#leavesSealed = true;
        return undefined;
      },
      edit: (json, leaves) => this.#redactUnsealed(json, leaves, this.#substituteAgain),
    });
  }

  /** A whole answer as the client gets it: its own values in the place of tags, and no new ones in what is sealed. */
  toClientBody(json: string, seal?: SealThought): string {
    if (!this.isChangedForClient) return json;
    if (isList(json)) return editList(json, this.clientEditor({ seal })!);
    const edits = this.#editForClient(json, [...listLeaves(json)], seal);
    return edits.length === 0 ? json : splice(json, edits);
  }

  /** The same for bytes. They stay the same if nothing changes. */
  toClientBytes(bytes: Uint8Array, seal?: SealThought): Uint8Array {
    if (!this.isChangedForClient) return bytes;
    const text = decodeUtf8(bytes);
    const changed = this.toClientBody(text, seal);
    return changed === text ? bytes : encodeUtf8(changed);
  }

  /** The same for a stream. */
  clientEditor({ seal, isJson = false }: { seal?: SealThought | undefined; isJson?: boolean } = {}):
    | EventEditor
    | undefined {
    if (!this.isChangedForClient) return undefined;
    return new EventEditor({
      isIdle: () => !this.#leavesSealed && !this.#restores,
      open: (piece) => this.#clientSlot(piece, isJson),
      edit: (json, leaves) => this.#editForClient(json, leaves, seal),
    });
  }

  /** Notes that an answer could not be read. */
  addUnscanned(): void {
    if (this.#profile.compiled.profile.stages.includes("output")) this.#findings.addUnscanned("body");
  }

  /** Looks at an answer that is not changed. */
  observe(texts: readonly string[]): void {
    const { profile, rules } = this.#profile.compiled;
    if (this.isChanged || !profile.stages.includes("output")) return;
    for (const text of texts) for (const { kind } of findInText(text, rules)) this.#findings.addValue(kind);
  }

  #redact(
    json: string,
    leaves: readonly Leaf[],
    { isRead, substitute }: Pick<Reading, "isRead" | "substitute">,
  ): Edit[] {
    const isShown = (leaf: Leaf): boolean => !isSpelling(leaf) && isRead(leaf);
    return redactLeaves(json, leaves, this.#profile.compiled.rules, { isAnswer: true, isRead: isShown, substitute })
      .edits;
  }

  /** What is sealed, or may be by what follows it, goes back to its issuer as it is: only the client's copy is changed. */
  #redactUnsealed(json: string, leaves: readonly Leaf[], substitute: Substitute): Edit[] {
    const isRead = (leaf: Leaf): boolean => {
      const kind = isThought(leaf) ? "sealed" : kindOf(json, leaf);
      if (kind === "sealed" && unsealedKindOf(json, leaf) === "text") this.#leavesSealed = true;
      return kind === "text";
    };
    return this.#redact(json, leaves, { isRead, substitute });
  }

  /** Of an answer: counts, and throws `safety.policy_denied` for what is denied. */
  readonly #substitute: Substitute = (value, kind, where) => {
    this.#findings.addValue(kind);
    this.#counted.add(`${kind} ${value}`);
    return this.#instead(value, kind, where);
  };

  /** The same where a stream repeats a text, or is read again: a value that has been counted is not counted twice. */
  readonly #substituteAgain: Substitute = (value, kind, where) =>
    this.#counted.has(`${kind} ${value}`) ? this.#instead(value, kind, where) : this.#substitute(value, kind, where);

  readonly #instead: Substitute = (value, kind, { isNumber }) => {
    if (this.isChanged && isDenied(this.#profile.compiled.dispositionOf(kind)))
      throw deniedError(this.#profile, "the answer", { values: { [kind]: 1 } });
    return replaceValue(value, kind, isNumber, this.#screen);
  };

  #redactingSlot(piece: Piece, isJson: boolean): Slot {
    const { rules } = this.#profile.compiled;
    const substitute = this.#substitute;
    if (piece.isArguments || isJson)
      return new WholeSlot((text) => redactText(text, rules, { substitute }, piece.leaf).edits);
    return new RedactingSlot(rules, (value, kind) => substitute(value, kind, { leaf: piece.leaf, isNumber: false }));
  }

  #clientSlot(piece: Piece, isJson: boolean): Slot | undefined {
    const redacting = this.#leavesSealed ? this.#redactingSlot(piece, isJson) : undefined;
    // The values in a thought could not be taken out again before it goes back to its issuer.
    if (isThought(piece.leaf)) return redacting && this.#noteThought(piece, redacting);
    if (!this.#restores) return redacting;
    const restoring = new RestoringSlot(this.#valueOf, piece.isArguments || isJson);
    return redacting === undefined ? restoring : new JointSlot(redacting, restoring);
  }

  #noteThought({ place }: Piece, slot: Slot): Slot {
    const thought = { text: "", isChanged: false };
    this.#thoughts.set(place, thought);
    const note = (decision: Decision): Decision => {
      thought.isChanged ||= decision.edits.length > 0;
      return decision;
    };
    return {
      push: (piece) => {
        thought.text += piece;
        return note(slot.push(piece));
      },
      end: () => note(slot.end()),
    };
  }

  #editForClient(json: string, leaves: readonly Leaf[], seal: SealThought | undefined): Edit[] {
    const isShown = (leaf: Leaf): boolean => unsealedKindOf(json, leaf) === "text";
    const redacted = this.#leavesSealed
      ? this.#redact(json, leaves, { isRead: isShown, substitute: this.#substituteAgain })
      : [];
    const seals = seal === undefined || !this.#leavesSealed ? [] : this.#sealAgain(json, leaves, redacted, seal);
    const restorable = leaves.filter((leaf) => !isThought(leaf) && kindOf(json, leaf) === "text");
    const restored = this.#restores ? restoreLeaves(json, restorable, this.#valueOf) : [];
    return mergeEdits([...redacted, ...seals], restored);
  }

  /** The client's copy of a thought is no longer what was signed: what it carries in place of the signature has the original. */
  #sealAgain(json: string, leaves: readonly Leaf[], redacted: readonly Edit[], seal: SealThought): Edit[] {
    return leaves.flatMap((leaf) => {
      if (leaf.member !== "signature" || leaf.kind !== "string") return [];
      const signature = readLeaf(json, leaf);
      const thought =
        leaf.scope.member === "delta"
          ? this.#thoughts.get(placeOf(leaf.scope))
          : thoughtBeside(json, leaf, leaves, redacted);
      if (signature === "" || thought?.isChanged !== true) return [];
      const item = { type: "thinking", thinking: thought.text, signature };
      return [{ start: leaf.start, end: leaf.end, text: JSON.stringify(seal(item)) }];
    });
  }
}

/** Gemini's stream as one list of chunks. */
const isList = (json: string): boolean => /^\s*\[/.test(json);

/** A list of chunks, edited as the events of a stream are. */
function editList(json: string, editor: EventEditor): string {
  const chunks = findElements(json);
  const events = chunks.map((chunk): SseEvent => {
    const data = sliceSpan(json, chunk);
    return { data, raw: encodeUtf8(`data: ${data.replaceAll("\n", "\ndata: ")}\n\n`) };
  });
  const edited = [...events.flatMap((event) => editor.push(event)), ...editor.end()];
  return splice(
    json,
    chunks.map((chunk, i) => ({ ...chunk, text: edited[i]!.data! })),
  );
}

/** The thought of the block that a signature is in, in a whole answer. */
function thoughtBeside(
  json: string,
  { scope }: Leaf,
  leaves: readonly Leaf[],
  edits: readonly Edit[],
): { text: string; isChanged: boolean } | undefined {
  const thinking = leaves.find((leaf) => leaf.scope === scope && leaf.member === "thinking" && leaf.kind === "string");
  if (thinking === undefined) return undefined;
  const isChanged = edits.some(({ start, end }) => start >= thinking.start && end <= thinking.end);
  return { text: readLeaf(json, thinking), isChanged };
}

/** What a message says, and the arguments of its calls. */
export const textsIn = ({ blocks }: Message): string[] =>
  blocks.flatMap((block) => {
    if (block.kind === "text" || block.kind === "thinking") return [block.text];
    return block.kind === "tool_call" ? [block.arguments] : [];
  });
