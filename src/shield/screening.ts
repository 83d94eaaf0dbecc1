import { splice } from "../wire/splice.ts";
import type { Kind } from "./detect/find.ts";
import { findInjections, type InjectionSign } from "./injection.ts";
import { type Leaf, listLeaves } from "./json-leaves.ts";
import { isInstruction, isName, isReference, kindOf, stageOf } from "./leaf-kind.ts";
import { type CompiledProfile, type Disposition, dispositionOfAll, isMild, severestOf, type Stage } from "./profile.ts";
import { redactLeaves } from "./redact-json.ts";
import type { Replacer } from "./replace.ts";

/** What could not be read: pictures, audio and files; where some are; what is sealed to its issuer; what is no JSON; tokens for text. */
export type Unscanned = "media" | "reference" | "sealed" | "body" | "tokens";

/** What was found at one stage. `values`: how many of each kind; `unscanned`: of what could not be read. Never a value. */
export type Verdict = {
  stage: Stage;
  disposition: Disposition;
  values: Partial<Record<Kind, number>>;
  unscanned: Partial<Record<Unscanned, number>>;
  signs: InjectionSign[];
  judgement?: Judgement;
};

/** What a judge has decided; `failed`: it did not answer in time, or not with one of its two words. */
export type Judgement = "allow" | "deny" | "failed";

/** Gathers what is found at one stage. */
export class Findings {
  readonly #compiled: CompiledProfile;
  readonly #values = new Map<Kind, number>();
  readonly #unscanned = new Map<Unscanned, number>();
  readonly #signs = new Map<string, InjectionSign>();
  readonly stage: Stage;

  constructor(compiled: CompiledProfile, stage: Stage) {
    this.#compiled = compiled;
    this.stage = stage;
  }

  addValue(kind: Kind): void {
    this.#values.set(kind, (this.#values.get(kind) ?? 0) + 1);
  }

  addUnscanned(what: Unscanned): void {
    this.#unscanned.set(what, (this.#unscanned.get(what) ?? 0) + 1);
  }

  addSigns(text: string): void {
    for (const sign of findInjections(text)) this.#signs.set(sign.name, sign);
  }

  /** Undefined: there is nothing to tell. */
  get verdict(): Verdict | undefined {
    if (this.#values.size + this.#unscanned.size + this.#signs.size === 0) return undefined;
    const { stage } = this;
    const signs = [...this.#signs.values()];
    return {
      stage,
      disposition: this.#disposition(signs.length > 0),
      values: Object.fromEntries(this.#values),
      unscanned: Object.fromEntries(this.#unscanned),
      signs,
    };
  }

  #disposition(hasSigns: boolean): Disposition {
    const hasUnread = this.#unscanned.size > Number(this.#unscanned.has("sealed"));
    return severestOf([
      dispositionOfAll(this.#compiled, this.#values.keys()),
      hasSigns ? "allow_with_warning" : "allow",
      hasUnread && this.#compiled.profile.unscanned === "block" ? "block" : "allow",
    ]);
  }
}

/** A verdict, perhaps of nothing that was found, with what a judge has decided. */
export function withJudgement(
  verdict: Verdict | undefined,
  stage: Stage,
  judgement: Judgement,
  { profile }: CompiledProfile,
): Verdict {
  const known = verdict ?? { stage, disposition: "allow", values: {}, unscanned: {}, signs: [] };
  if (judgement === "allow") return { ...known, judgement };
  const isDenied = judgement === "deny" || profile.fail === "closed";
  return {
    ...known,
    judgement,
    disposition: severestOf([known.disposition, isDenied ? "block" : "allow_with_warning"]),
  };
}

/** The smallest text that instructions are looked for in. Characters. */
const MIN_INSTRUCTION = 12;

/**
 * Screens the JSON text of a request: what its profile says is replaced where it stands, also what is blocked, so that nothing of it is
 * stored; all other bytes stay. `skipped`: top-level members of the gateway's own, in which names are no text.
 */
export function screenRequest(
  json: string,
  screen: Screen,
  skipped: ReadonlySet<string>,
): { json: string; verdicts: Verdict[] } {
  const { compiled } = screen;
  const all = new Map(compiled.profile.stages.map((stage) => [stage, new Findings(compiled, stage)]));
  const readsSigns = compiled.profile.injection === "observe";
  const isGateways = isWithin(skipped);
  const leaves = [...listLeaves(json)];
  const { edits, finds } = redactLeaves(json, leaves, compiled.rules, {
    isRead: (leaf) => {
      const findings = all.get(stageOf(leaf));
      if (findings === undefined || (isGateways(leaf) && isName(json, leaf))) return false;
      const kind = kindOf(json, leaf);
      if (kind !== "text" && kind !== "opaque") findings.addUnscanned(kind);
      if (kind === "text" && isReference(leaf)) findings.addUnscanned("reference");
      return kind === "text";
    },
    substitute: (value, kind, { isNumber }) => replaceValue(value, kind, isNumber, screen),
    onText: (text, leaf) => {
      if (readsSigns && leaf.kind === "string" && text.length >= MIN_INSTRUCTION && !isInstruction(leaf))
        all.get(stageOf(leaf))!.addSigns(text);
    },
  });
  for (const { leaf, kind } of finds) all.get(stageOf(leaf))!.addValue(kind);
  if (leaves.some(isToken)) all.get("input")?.addUnscanned("tokens");
  const verdicts = [...all.values()].flatMap(({ verdict }) => verdict ?? []);
  return { json: edits.length === 0 ? json : splice(json, edits), verdicts };
}

/** Legacy completions and embeddings take tokens for text. */
const isToken = ({ kind, scope }: Leaf): boolean =>
  kind === "number" && scope.isArray && TOKENS.has(scope.member ?? scope.parent?.member ?? "");
const TOKENS = new Set(["prompt", "input"]);

/** A profile with what replaces values. `onTag`: gets each value that a tag stands for. */
export type Screen = {
  compiled: CompiledProfile;
  replacer: Replacer;
  onTag?: ((tag: string, value: string, kind: Kind) => void) | undefined;
};

/** What stands for a value; undefined if it is allowed. */
export function replaceValue(value: string, kind: Kind, isNumber: boolean, screen: Screen): string | undefined {
  const { compiled, replacer, onTag } = screen;
  if (isMild(compiled.dispositionOf(kind))) return undefined;
  if (isNumber) return replacer.replaceNumber(value, kind);
  const manner = compiled.mannerOf(kind);
  const instead = replacer.replace(value, kind, manner);
  if (manner === "tag") onTag?.(instead, value, kind);
  return instead;
}

/** Whether a leaf stands in one of these members of the whole. */
const isWithin =
  (names: ReadonlySet<string>) =>
  ({ member, scope }: Leaf): boolean => {
    let name = member;
    for (let one = scope; one.parent?.parent !== undefined; one = one.parent) name = one.member;
    return name !== undefined && names.has(name);
  };
