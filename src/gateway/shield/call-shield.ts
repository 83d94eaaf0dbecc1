import { GatewayError } from "../../canonical/error.ts";
import { logInternalError } from "../../canonical/log-internal-error.ts";
import type { Message } from "../../canonical/types.ts";
import { scoreOf } from "../../shield/injection.ts";
import { listLeaves, readLeaf } from "../../shield/json-leaves.ts";
import { kindOf } from "../../shield/leaf-kind.ts";
import { severestOf, type Stage } from "../../shield/profile.ts";
import type { Replacer } from "../../shield/replace.ts";
import { Findings, type Judgement, screenRequest, type Verdict, withJudgement } from "../../shield/screening.ts";
import type { CallRecord, SafetyRecord } from "../../store/records.ts";
import { JsonError, withoutUndefined } from "../../wire/json.ts";
import { AnswerShield, textsIn } from "./answer-shield.ts";
import { type AppliedProfile, deniedError, isDenied } from "./applied-profile.ts";
import { judge, type QueryJudge } from "./judge.ts";

/** The values that tags stand for, beyond those of the call's own request. */
export type TagVault = { get: (tag: string) => string | undefined; add: (values: ReadonlyMap<string, string>) => void };

type ShieldParts = {
  vault?: TagVault | undefined;
  pin?: (() => void) | undefined;
  query?: QueryJudge | undefined;
};

/** Members of a request that are the gateway's own, on any surface or on its own one. */
const SKIPPED: ReadonlySet<string> = new Set("rhone session_id context_mode parent routing tags".split(" "));

/**
 * What may not pass, for one call: its request is screened before it is parsed, so that nothing behind it sees what is replaced. What
 * was found is decided once, and recorded with the call.
 */
export class CallShield {
  readonly answer: AnswerShield;
  readonly #profile: AppliedProfile;
  readonly #replacer: Replacer;
  readonly #vault: TagVault | undefined;
  readonly #values = new Map<string, string>();
  /** In `observe`, a request that is still to be looked at. */
  #unseen: string | undefined;
  /** The request could not be read. */
  #hasFailed = false;
  readonly #verdicts: Verdict[] = [];
  readonly #judgements = new Map<Stage, Judgement>();
  /** In `observe`, judgements that are awaited beside the call. */
  readonly #judging: Promise<void>[] = [];
  readonly #query: QueryJudge | undefined;
  readonly #pin: (() => void) | undefined;
  /** What a judge of the request reads. */
  #screened = "";

  /** `vault`: values of earlier calls; `pin`: makes the session go on with its profile; `query`: reaches a judge. */
  constructor(profile: AppliedProfile, replacer: Replacer, { vault, pin, query }: ShieldParts = {}) {
    this.#pin = pin;
    this.#query = query;
    this.#profile = profile;
    this.#replacer = replacer;
    this.#vault = vault;
    this.answer = new AnswerShield(
      profile,
      { compiled: profile.compiled, replacer },
      {
        valueOf: (tag) => this.#values.get(tag) ?? vault?.get(tag),
        mayRestore: () => this.#values.size > 0 || vault !== undefined,
      },
    );
  }

  get #isEnforced(): boolean {
    return this.#profile.compiled.profile.mode === "enforce";
  }

  /** The request with what stands for its values. In `observe` it is the same text, which `observe` looks at later. */
  screenRequest(json: string): string {
    if (this.#isEnforced) return this.#screen(json);
    this.#unseen = json;
    return json;
  }

  /** Looks at a request that is not changed, while its provider works. */
  observe(): void {
    const json = this.#unseen;
    this.#unseen = undefined;
    if (json !== undefined) this.#screen(json);
  }

  #screen(json: string): string {
    const { compiled } = this.#profile;
    const onTag = (tag: string, value: string): void => void this.#values.set(tag, value);
    try {
      const screened = screenRequest(json, { compiled, replacer: this.#replacer, onTag }, SKIPPED);
      this.#verdicts.push(...screened.verdicts);
      this.#screened = this.#isEnforced ? screened.json : json;
      return screened.json;
    } catch (cause) {
      // What is no JSON is refused where it is parsed.
      if (!(cause instanceof JsonError)) this.#addFailure(cause);
      return json;
    }
  }

  /** A check has failed: the call is not sent, unless its profile fails open. */
  #addFailure(cause: unknown): void {
    logInternalError("shield", cause);
    this.addUnscannedBody();
    this.#hasFailed = true;
  }

  /** Notes that a body was not read: it is no JSON. Nothing else of it is known. */
  addUnscannedBody(): void {
    const findings = new Findings(this.#profile.compiled, "input");
    findings.addUnscanned("body");
    this.#verdicts.push(...(findings.verdict === undefined ? [] : [findings.verdict]));
  }

  /** Whether nothing stands against the request but what a person may let pass. */
  get awaitsPerson(): boolean {
    const isFailed = this.#hasFailed && this.#profile.compiled.profile.fail === "closed";
    const severest = severestOf(this.#listVerdicts().map(({ disposition }) => disposition));
    return this.#isEnforced && !isFailed && severest === "checkpoint";
  }

  /** Throws `safety.policy_denied` if the request must not be sent. */
  requireAllowed(): void {
    if (!this.#isEnforced) return;
    const { id, compiled } = this.#profile;
    if (this.#hasFailed && compiled.profile.fail === "closed")
      throw new GatewayError("safety.policy_denied", `the safety profile ${id} could not be applied`);
    const denied = this.#listVerdicts().find(({ disposition }) => isDenied(disposition));
    if (denied !== undefined) throw deniedError(this.#profile, NAMES[denied.stage], denied);
  }

  /**
   * Has the request judged, if its profile names a judge: before it is sent, or in `observe` beside it. Throws
   * `safety.policy_denied`.
   */
  async judgeRequest(): Promise<void> {
    const judging = this.#judge("input", () => {
      this.observe();
      return readTexts(this.#screened);
    });
    if (judging === undefined) return;
    if (!this.#isEnforced) return void this.#judging.push(judging);
    await judging;
    this.requireAllowed();
  }

  /** Whether an answer is judged before anything of it is sent. */
  get judgesAnswers(): boolean {
    return this.#isEnforced && this.#profile.compiled.profile.judge?.stages.includes("output") === true;
  }

  /** Has an answer judged, if its profile names a judge for it. Throws `safety.policy_denied`. */
  async judgeAnswer(messages: readonly Message[]): Promise<void> {
    if (!this.judgesAnswers) return;
    await this.#judge("output", () => messages.flatMap(textsIn).join("\n"));
    this.requireAllowed();
  }

  /** Looks at an answer that is not changed, and in `observe` has it judged. */
  observeAnswer(messages: readonly Message[]): void {
    const texts = messages.flatMap(textsIn);
    this.answer.observe(texts);
    const judging = this.#isEnforced ? undefined : this.#judge("output", () => texts.join("\n"));
    if (judging !== undefined) this.#judging.push(judging);
  }

  /** Resolves to a call's record with the judgements that came beside the call. Never rejects. Absent: there are none. */
  judge(record: CallRecord): Promise<CallRecord> | undefined {
    if (this.#judging.length === 0) return undefined;
    return Promise.all(this.#judging).then(() => ({ ...record, ...withoutUndefined({ safety: this.record }) }));
  }

  #judge(stage: "input" | "output", textOf: () => string): Promise<void> | undefined {
    const { judge: rules } = this.#profile.compiled.profile;
    if (rules === undefined || this.#query === undefined || !rules.stages.includes(stage)) return undefined;
    return judge(textOf(), rules, this.#query).then((judgement) => void this.#judgements.set(stage, judgement));
  }

  /** What was found at each stage, with what a judge has decided. */
  #listVerdicts(): Verdict[] {
    const { verdict } = this.answer;
    const all = verdict === undefined ? this.#verdicts : [...this.#verdicts, verdict];
    const { compiled } = this.#profile;
    const judged = [...this.#judgements].map(([stage, judgement]) =>
      withJudgement(
        all.find((one) => one.stage === stage),
        stage,
        judgement,
        compiled,
      ),
    );
    return [...all.filter(({ stage }) => !this.#judgements.has(stage)), ...judged];
  }

  /**
   * Stores, where the call is stored, which version the session goes on with, and the values that tags stand for, so that answers of
   * later calls can have them.
   */
  storeValues(): void {
    this.#pin?.();
    if (this.#isEnforced && this.#values.size > 0 && this.#profile.compiled.profile.restore === "caller")
      this.#vault?.add(this.#values);
  }

  /** What was found, for the call's record; undefined: nothing. */
  get record(): SafetyRecord | undefined {
    this.observe();
    const all = this.#listVerdicts();
    if (all.length === 0) return undefined;
    const { id, version } = this.#profile;
    return { profile: id, version, mode: this.#isEnforced ? "enforce" : "observe", decisions: all.map(toRecorded) };
  }
}

const NAMES: Record<Stage, string> = { input: "the request", tool_result: "a tool's result", output: "the answer" };

/** The texts of a request, without names of its wire. */
const readTexts = (json: string): string =>
  [...listLeaves(json)]
    .filter((leaf) => leaf.kind === "string" && kindOf(json, leaf) === "text")
    .map((leaf) => readLeaf(json, leaf))
    .join("\n");

const toRecorded = ({
  stage,
  disposition,
  values,
  unscanned,
  signs,
  judgement,
}: Verdict): SafetyRecord["decisions"][number] => ({
  stage,
  disposition,
  ...(Object.keys(values).length > 0 && { values: values as Record<string, number> }),
  ...(Object.keys(unscanned).length > 0 && { unscanned }),
  ...(signs.length > 0 && { signs: signs.map(({ name }) => name), score: Math.round(scoreOf(signs) * 100) / 100 }),
  ...(judgement !== undefined && { judgement }),
});
