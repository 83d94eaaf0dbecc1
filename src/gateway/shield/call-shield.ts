import { GatewayError } from "../../canonical/error.ts";
import { logInternalError } from "../../canonical/log-internal-error.ts";
import { scoreOf } from "../../shield/injection.ts";
import type { Replacer } from "../../shield/replace.ts";
import { Findings, screenRequest, type Verdict } from "../../shield/screening.ts";
import type { SafetyRecord } from "../../store/records.ts";
import { JsonError } from "../../wire/json.ts";
import { AnswerShield } from "./answer-shield.ts";
import { type AppliedProfile, deniedError, isDenied } from "./applied-profile.ts";

/** The values that tags stand for, beyond those of the call's own request. */
export type TagVault = { get: (tag: string) => string | undefined; add: (values: ReadonlyMap<string, string>) => void };

/** Members of a request that no provider gets, or that say how it is handled. */
const SKIPPED: ReadonlySet<string> = new Set(
  "rhone model stream session_id context_mode parent routing tags".split(" "),
);

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
  #verdicts: Verdict[] = [];

  constructor(profile: AppliedProfile, replacer: Replacer, vault?: TagVault) {
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

  /** Throws `safety.policy_denied` if the request must not be sent. */
  requireAllowed(): void {
    if (!this.#isEnforced) return;
    const { id, compiled } = this.#profile;
    if (this.#hasFailed && compiled.profile.fail === "closed")
      throw new GatewayError("safety.policy_denied", `the safety profile ${id} could not be applied`);
    const denied = this.#verdicts.find(({ disposition }) => isDenied(disposition));
    if (denied === undefined) return;
    throw deniedError(this.#profile, denied.stage === "tool_result" ? "a tool's result" : "the request", denied);
  }

  /** Stores the values that tags stand for where the call is stored, so that answers of later calls can have them. */
  storeValues(): void {
    if (this.#isEnforced && this.#values.size > 0 && this.#profile.compiled.profile.restore === "caller")
      this.#vault?.add(this.#values);
  }

  /** What was found, for the call's record; undefined: nothing. */
  get record(): SafetyRecord | undefined {
    this.observe();
    const { verdict } = this.answer;
    const all = verdict === undefined ? this.#verdicts : [...this.#verdicts, verdict];
    if (all.length === 0) return undefined;
    const { id, version } = this.#profile;
    return { profile: id, version, mode: this.#isEnforced ? "enforce" : "observe", decisions: all.map(toRecorded) };
  }
}

const toRecorded = ({ stage, disposition, values, unscanned, signs }: Verdict): SafetyRecord["decisions"][number] => ({
  stage,
  disposition,
  ...(Object.keys(values).length > 0 && { values: values as Record<string, number> }),
  ...(Object.keys(unscanned).length > 0 && { unscanned }),
  ...(signs.length > 0 && { signs: signs.map(({ name }) => name), score: Math.round(scoreOf(signs) * 100) / 100 }),
});
