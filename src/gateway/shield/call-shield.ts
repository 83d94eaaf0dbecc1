import { GatewayError } from "../../canonical/error.ts";
import type { Block, Message } from "../../canonical/types.ts";
import type { Kind } from "../../shield/detect/find.ts";
import { type Decision, EventEditor, type Slot } from "../../shield/event-editor.ts";
import { type Piece, placeOf } from "../../shield/event-pieces.ts";
import { scoreOf } from "../../shield/injection.ts";
import { type Leaf, listLeaves, readLeaf } from "../../shield/json-leaves.ts";
import { isThought, kindOf, unsealedKindOf } from "../../shield/leaf-kind.ts";
import type { CompiledProfile, Disposition } from "../../shield/profile.ts";
import { findInText, redactLeaves, redactText, type Substitute } from "../../shield/redact-json.ts";
import type { Replacer } from "../../shield/replace.ts";
import { restoreLeaves } from "../../shield/restore.ts";
import { Findings, replaceValue, type Screen, screenRequest, type Verdict } from "../../shield/screening.ts";
import { JointSlot, mergeEdits, RedactingSlot, RestoringSlot, WholeSlot } from "../../shield/slots.ts";
import type { SafetyRecord } from "../../store/records.ts";
import { decodeUtf8, encodeUtf8 } from "../../wire/bytes.ts";
import { type Edit, splice } from "../../wire/splice.ts";

/** A version of a profile that applies to a call. */
export type AppliedProfile = { id: string; version: number; compiled: CompiledProfile };

/** The values that tags stand for, beyond those of the call's own request. */
export type TagVault = { get: (tag: string) => string | undefined; add: (values: ReadonlyMap<string, string>) => void };

/** What a client carries in the place of the signature of Anthropic's block of thinking, and sends back. */
export type SealThought = (item: { type: string; thinking: string; signature: string }) => string;

/** Members of a request that no provider gets, or that say how it is handled. */
const SKIPPED: ReadonlySet<string> = new Set([
  "rhone",
  "model",
  "stream",
  "session_id",
  "context_mode",
  "parent",
  "routing",
  "tags",
]);

/**
 * What may not pass, for one call: its request is screened before it is parsed, so that nothing behind it sees what is replaced; its
 * answer before it is decoded. What was found is decided once, and recorded with the call.
 */
export class CallShield {
  readonly profile: AppliedProfile;
  readonly #replacer: Replacer;
  readonly #vault: TagVault | undefined;
  readonly #values = new Map<string, string>();
  readonly #output: Findings;
  /** The thoughts of the answer as their provider sent them, by their places in the stream; and whether the client's copy differs. */
  readonly #thoughts = new Map<string, { text: string; isChanged: boolean }>();
  /** Something of the answer was not changed, because only its issuer may. */
  #leavesSealed = false;
  #verdicts: Verdict[] = [];

  constructor(profile: AppliedProfile, replacer: Replacer, vault?: TagVault) {
    this.profile = profile;
    this.#replacer = replacer;
    this.#vault = vault;
    this.#output = new Findings(profile.compiled, "output");
  }

  get #isEnforced(): boolean {
    return this.profile.compiled.profile.mode === "enforce";
  }

  /** Whether answers are changed before they are decoded. Their bytes then pass through here. */
  get changesAnswers(): boolean {
    return this.#isEnforced && this.profile.compiled.profile.stages.includes("output");
  }

  /** Whether the client may get values in the place of tags. */
  get #restores(): boolean {
    return (
      this.#isEnforced &&
      this.profile.compiled.profile.restore === "caller" &&
      (this.#values.size > 0 || this.#vault !== undefined)
    );
  }

  /** Whether the client's bytes differ from those of the decoded answer. */
  get changesClientBytes(): boolean {
    return this.changesAnswers || this.#restores;
  }

  /** The request with what stands for its values. In `observe` it is the same text. */
  screenRequest(json: string): string {
    const isEnforced = this.#isEnforced;
    const screen = this.#screen(isEnforced ? (tag, value) => void this.#values.set(tag, value) : undefined);
    const { json: changed, verdicts } = screenRequest(json, screen, SKIPPED);
    this.#verdicts.push(...verdicts);
    return isEnforced ? changed : json;
  }

  /** Says that a body was not read: it is no JSON. Nothing else of it is known. */
  addUnscannedBody(): void {
    const findings = new Findings(this.profile.compiled, "input");
    findings.addUnscanned("body");
    this.#verdicts.push(...(findings.verdict === undefined ? [] : [findings.verdict]));
  }

  /** Throws `safety.policy_denied` if the request must not be sent. */
  requireAllowed(): void {
    if (!this.#isEnforced) return;
    const denied = this.#verdicts.find(({ disposition }) => isDenied(disposition));
    if (denied !== undefined)
      throw this.#denied(denied.stage === "tool_result" ? "a tool's result" : "the request", denied);
  }

  /** Stores the values that tags stand for where the call is stored, so that answers of later calls can have them. */
  storeValues(): void {
    if (this.#isEnforced && this.#values.size > 0 && this.profile.compiled.profile.restore === "caller")
      this.#vault?.add(this.#values);
  }

  /** A whole answer as its provider sent it, with what stands for new values. Throws `safety.policy_denied`. */
  screenAnswer(json: string): string {
    if (!this.changesAnswers) return json;
    const edits = this.#redactUnsealed(json, listLeaves(json));
    return edits.length === 0 ? json : splice(json, edits);
  }

  /** The same for a stream. `isJson`: its texts are JSON. Absent if the stream stays as it is. */
  answerEditor(isJson: boolean): EventEditor | undefined {
    if (!this.changesAnswers) return undefined;
    return new EventEditor({
      open: (piece) => {
        if (!isThought(piece.leaf)) return this.#redactingSlot(piece, isJson);
        this.#leavesSealed = true;
        return undefined;
      },
      edit: (json, leaves) => this.#redactUnsealed(json, leaves),
    });
  }

  /** A whole answer as the client gets it: its own values in the place of tags, and no new ones in what is sealed. */
  toClientBody(json: string, seal?: SealThought): string {
    if (!this.changesClientBytes) return json;
    const edits = this.#editForClient(json, listLeaves(json), seal);
    return edits.length === 0 ? json : splice(json, edits);
  }

  /** The same for bytes. They stay the same if nothing changes. */
  toClientBytes(bytes: Uint8Array, seal?: SealThought): Uint8Array {
    if (!this.changesClientBytes) return bytes;
    const text = decodeUtf8(bytes);
    const changed = this.toClientBody(text, seal);
    return changed === text ? bytes : encodeUtf8(changed);
  }

  /** The same for a stream. */
  clientEditor(seal?: SealThought): EventEditor | undefined {
    if (!this.changesClientBytes) return undefined;
    return new EventEditor({
      open: (piece) => this.#clientSlot(piece),
      edit: (json, leaves) => this.#editForClient(json, leaves, seal),
    });
  }

  /** Looks at an answer that is not changed. */
  observeAnswer(messages: readonly Message[]): void {
    const { profile, rules } = this.profile.compiled;
    if (this.changesAnswers || !profile.stages.includes("output")) return;
    for (const text of messages.flatMap(({ blocks }) => blocks.flatMap(textsOf)))
      for (const { kind } of findInText(text, rules)) this.#output.addValue(kind);
  }

  /** What was found, for the call's record; undefined: nothing. */
  get record(): SafetyRecord | undefined {
    const { verdict } = this.#output;
    const all = verdict === undefined ? this.#verdicts : [...this.#verdicts, verdict];
    if (all.length === 0) return undefined;
    const { id, version, compiled } = this.profile;
    return {
      profile: id,
      version,
      mode: compiled.profile.mode === "enforce" ? "enforce" : "observe",
      decisions: all.map(toRecorded),
    };
  }

  readonly #valueOf = (tag: string): string | undefined => this.#values.get(tag) ?? this.#vault?.get(tag);

  #screen(onTag?: Screen["onTag"]): Screen {
    return { compiled: this.profile.compiled, replacer: this.#replacer, onTag };
  }

  #redact(json: string, leaves: Iterable<Leaf>, isRead: (leaf: Leaf) => boolean): Edit[] {
    return redactLeaves(json, leaves, this.profile.compiled.rules, { isRead, substitute: this.#substitute }).edits;
  }

  /** What is sealed, or may be by what follows it, goes back to its issuer as it is: only the client's copy is changed. */
  #redactUnsealed(json: string, leaves: Iterable<Leaf>): Edit[] {
    return this.#redact(json, leaves, (leaf) => {
      const kind = isThought(leaf) ? "sealed" : kindOf(json, leaf);
      if (kind === "sealed" && unsealedKindOf(json, leaf) === "text") this.#leavesSealed = true;
      return kind === "text";
    });
  }

  /** Of an answer: counts, and throws `safety.policy_denied` for what is denied. */
  readonly #substitute: Substitute = (value, kind, { isNumber }) => {
    this.#output.addValue(kind);
    if (this.changesAnswers && isDenied(this.profile.compiled.dispositionOf(kind)))
      throw this.#denied("the answer", { values: { [kind]: 1 } });
    return replaceValue(value, kind, isNumber, this.#screen());
  };

  #redactingSlot(piece: Piece, isJson: boolean): Slot {
    const { rules } = this.profile.compiled;
    const substitute = this.#substitute;
    if (piece.isArguments || isJson)
      return new WholeSlot((text) => redactText(text, rules, { substitute }, piece.leaf).edits);
    return new RedactingSlot(rules, (value, kind) => substitute(value, kind, { leaf: piece.leaf, isNumber: false }));
  }

  #clientSlot(piece: Piece): Slot | undefined {
    const redacting = this.#leavesSealed ? this.#redactingSlot(piece, false) : undefined;
    // The values in a thought could not be taken out again before it goes back to its issuer.
    if (isThought(piece.leaf)) return redacting && this.#noteThought(piece, redacting);
    if (!this.#restores) return redacting;
    const restoring = new RestoringSlot(this.#valueOf, piece.isArguments);
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

  #editForClient(json: string, given: Iterable<Leaf>, seal: SealThought | undefined): Edit[] {
    const leaves = [...given];
    const isShown = (leaf: Leaf): boolean => unsealedKindOf(json, leaf) === "text";
    const redacted = this.#leavesSealed ? this.#redact(json, leaves, isShown) : [];
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

  #denied(what: string, { values, unscanned }: Partial<Pick<Verdict, "values" | "unscanned">>): GatewayError {
    const { id } = this.profile;
    const kinds = Object.keys(values ?? {}).filter((kind) =>
      isDenied(this.profile.compiled.dispositionOf(kind as Kind)),
    );
    const unread = kinds.length === 0 ? Object.keys(unscanned ?? {}).filter((one) => one !== "sealed") : [];
    const found = kinds.length > 0 ? kinds.join(", ") : `what cannot be read (${unread.join(", ")})`;
    return new GatewayError("safety.policy_denied", `the safety profile ${id} denies what ${what} contains: ${found}`);
  }
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

/** `checkpoint`: outside a run there is no one to decide. */
const isDenied = (disposition: Disposition): boolean => disposition === "block" || disposition === "checkpoint";

function textsOf(block: Block): string[] {
  if (block.kind === "text" || block.kind === "thinking") return [block.text];
  return block.kind === "tool_call" ? [block.arguments] : [];
}

const toRecorded = ({ stage, disposition, values, unscanned, signs }: Verdict): SafetyRecord["decisions"][number] => ({
  stage,
  disposition,
  ...(Object.keys(values).length > 0 && { values: values as Record<string, number> }),
  ...(Object.keys(unscanned).length > 0 && { unscanned }),
  ...(signs.length > 0 && { signs: signs.map(({ name }) => name), score: Math.round(scoreOf(signs) * 100) / 100 }),
});
