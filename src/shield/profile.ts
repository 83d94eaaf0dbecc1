import { z } from "zod";
import { compilePattern } from "./custom-pattern.ts";
import type { Kind } from "./detect/find.ts";
import { makeNameList } from "./detect/names.ts";
import type { Manner } from "./replace.ts";
import { ALL_KINDS, type Rules } from "./rules.ts";

/** What is done about a value, from the mildest. `checkpoint`: a person decides, in a run. */
export const DISPOSITIONS = ["allow", "allow_with_warning", "redact", "checkpoint", "block"] as const;
export type Disposition = (typeof DISPOSITIONS)[number];

/** `off`: nothing is read. `observe`: decisions are made and recorded, and nothing is changed. `enforce`: they take effect. */
export const MODES = ["off", "observe", "enforce"] as const;
export const STAGES = ["input", "tool_result", "output"] as const;
export type Stage = (typeof STAGES)[number];

const treatment = {
  action: z.enum(DISPOSITIONS),
  as: z.enum(["tag", "mask", "hash", "fake"]).default("tag"),
};
const detector = z.strictObject(treatment).meta({ id: "SafetyTreatment" });

/** Characters of a name, and of a pattern. */
const MAX_NAME = 128;
const MAX_PATTERN = 1_000;
const MAX_NAMES = 5_000;
const MAX_PATTERNS = 50;
const MAX_REACH = 1_024;

/** A model that decides what no rule describes. `policy`: what it denies, in words. A judged answer is sent when it is whole. */
const judgeSchema = z
  .strictObject({
    model: z.string().min(1).max(256),
    policy: z.string().min(1).max(4_000),
    stages: z
      .array(z.enum(["input", "output"]))
      .min(1)
      .default(["input"]),
    timeout_ms: z.int().min(1).max(60_000).default(5_000),
  })
  .meta({ id: "SafetyJudge" });

export const profileSchema = z.strictObject({
  mode: z.enum(MODES),
  stages: z
    .array(z.enum(STAGES))
    .min(1)
    .default([...STAGES]),
  detectors: z
    .partialRecord(z.enum([...ALL_KINDS] as [string, ...string[]]), detector)
    .meta({ id: "SafetyDetectors" })
    .default({}),
  names: z
    .strictObject({ list: z.array(z.string().min(1).max(MAX_NAME)).max(MAX_NAMES), ...treatment })
    .meta({ id: "SafetyNames" })
    .optional(),
  /** RE2's syntax. `max_length`: characters of the longest match; a stream is late by as many. */
  patterns: z
    .array(
      z
        .strictObject({
          name: z.string().regex(/^[a-z][a-z0-9_]{0,31}$/),
          pattern: z.string().min(1).max(MAX_PATTERN),
          max_length: z.int().min(1).max(MAX_REACH).default(64),
          ...treatment,
        })
        .meta({ id: "SafetyPattern" }),
    )
    .max(MAX_PATTERNS)
    .default([]),
  /** Signs of injected instructions: they are scored, and warned of. */
  injection: z.enum(["off", "observe"]).default("observe"),
  /** Whether values return where the model names their tags: to the caller who brought them, or not at all. */
  restore: z.enum(["caller", "none"]).default("caller"),
  /** What follows where a check fails, or something cannot be read. */
  fail: z.enum(["closed", "open"]).default("closed"),
  unscanned: z.enum(["allow", "block"]).default("allow"),
  judge: judgeSchema.optional(),
});

export type JudgeRules = z.infer<typeof judgeSchema>;
export type Profile = z.infer<typeof profileSchema>;

/** Of a deployment that says nothing else: what no provider needs, and signs of it. */
export const DEFAULT_PROFILE_ID = "default-runtime-safety";
export const DEFAULT_PROFILE: Profile = profileSchema.parse({
  mode: "enforce",
  detectors: {
    ...Object.fromEntries(["secret", "card", "iban", "ssn", "national_id"].map((kind) => [kind, { action: "redact" }])),
    ...Object.fromEntries(["email", "phone", "ip"].map((kind) => [kind, { action: "allow_with_warning" }])),
  },
});

/** A profile that is ready to be used. */
export type CompiledProfile = {
  profile: Profile;
  rules: Rules;
  dispositionOf: (kind: Kind) => Disposition;
  mannerOf: (kind: Kind) => Manner;
};

/** Compiles a profile. Throws a `SyntaxError` for a pattern that RE2 refuses, with the pattern's name in front. */
export async function compileProfile(profile: Profile): Promise<CompiledProfile> {
  const treatments = new Map<string, { action: Disposition; as: Manner } | undefined>(
    Object.entries(profile.detectors),
  );
  if (profile.names !== undefined) treatments.set("name", profile.names);
  for (const pattern of profile.patterns) treatments.set(`pattern:${pattern.name}`, pattern);
  const all = await Promise.all(
    profile.patterns.map(async ({ name, pattern, max_length: reach, action }) => {
      try {
        return { pattern: await compilePattern({ name, pattern, reach }), isMild: isMild(action) };
      } catch (cause) {
        throw new SyntaxError(`${name}: ${(cause as Error).message}`, { cause });
      }
    }),
  );
  const rulesOf = (mild: boolean): Rules => {
    const kinds = (Object.entries(profile.detectors) as [Kind, { action: Disposition }][]).flatMap(
      ([kind, { action }]) => (isMild(action) === mild ? [kind] : []),
    );
    const patterns = all.flatMap((one) => (one.isMild === mild ? [one.pattern] : []));
    const { names } = profile;
    return {
      kinds: new Set(kinds),
      ...(names !== undefined && isMild(names.action) === mild && { names: makeNameList(names.list) }),
      ...(patterns.length > 0 && { patterns }),
    };
  };
  return {
    profile,
    rules: { ...rulesOf(false), ...([...treatments.values()].some(isAllowed) && { allowed: rulesOf(true) }) },
    dispositionOf: (kind) => treatments.get(kind)?.action ?? "allow",
    mannerOf: (kind) => treatments.get(kind)?.as ?? "tag",
  };
}

/** A profile once a person has let pass what it leaves to one: the values are replaced. */
export const toApproved = (compiled: CompiledProfile): CompiledProfile => ({
  ...compiled,
  dispositionOf: (kind) => (compiled.dispositionOf(kind) === "checkpoint" ? "redact" : compiled.dispositionOf(kind)),
});

const isAllowed = (treatment: { action: Disposition } | undefined): boolean =>
  treatment !== undefined && isMild(treatment.action);

/** Whether a value is only counted. */
export const isMild = (action: Disposition): boolean => action === "allow" || action === "allow_with_warning";

/** The disposition of what was found together. */
export const dispositionOfAll = ({ dispositionOf }: CompiledProfile, kinds: Iterable<Kind>): Disposition =>
  severestOf(Array.from(kinds, dispositionOf));

/** The severest of some dispositions; `allow` of none. */
export const severestOf = (all: readonly Disposition[]): Disposition =>
  DISPOSITIONS[Math.max(0, ...all.map((one) => DISPOSITIONS.indexOf(one)))]!;

/** Whether one profile lets pass nothing that the other does not: what a request may ask for in its stead. */
export function isAtLeastAsStrict(one: CompiledProfile, other: CompiledProfile): boolean {
  const [a, b] = [one.profile, other.profile];
  return (
    rankIn(MODES, a.mode) >= rankIn(MODES, b.mode) &&
    b.stages.every((stage) => a.stages.includes(stage)) &&
    (Object.keys(b.detectors) as Kind[]).every(
      (kind) => rankIn(DISPOSITIONS, one.dispositionOf(kind)) >= rankIn(DISPOSITIONS, other.dispositionOf(kind)),
    ) &&
    // Lists and patterns cannot be compared: they have to be the same ones.
    (b.names === undefined || isSame(a.names, b.names)) &&
    (b.patterns.length === 0 || isSame(a.patterns, b.patterns)) &&
    (a.fail === "closed" || b.fail === "open") &&
    (a.unscanned === "block" || b.unscanned === "allow") &&
    (a.restore === "none" || b.restore === "caller") &&
    (b.judge === undefined || isSame(a.judge, b.judge))
  );
}

const rankIn = <T>(list: readonly T[], value: T): number => list.indexOf(value);

const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);
