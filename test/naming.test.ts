import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { deniedWordsIn, isDenied } from "./support/denied-words.ts";
import { ROOT, sourcesOf, wordsOf } from "./support/source.ts";

/** Names that are stored or sent between objects: they change by migration only (docs/stored-names.md). */
const STORED = new Set<string>(JSON.parse(readFileSync(join(ROOT, "test/stored-names.json"), "utf8")));

/** English participles that are no verb form a function can have. Regular ones end in `ed`. */
const IRREGULAR = new Set(
  "begun broken built chosen cut done drawn driven fallen found given gone grown heard held hidden kept known left lost made meant met paid put read run said seen sent set shown spent split spoken stood taken thought told tried understood worn written".split(
    " ",
  ),
);
/** Imperatives that look like participles: `read`, `set`, `cut`, `put`, `run`, `split` are verbs as well. */
const VERBS = new Set([
  "read",
  "set",
  "cut",
  "put",
  "run",
  "split",
  "embed",
  "feed",
  "seed",
  "need",
  "proceed",
  "speed",
]);

const files = ["src", "scripts", "bench"].flatMap(sourcesOf);

it("no identifier uses a denied word", () => {
  const found = files.flatMap(({ path, identifiers }) =>
    [...identifiers]
      .filter(([name]) => !STORED.has(name) && wordsOf(name).some(isDenied))
      .map(([name, line]) => `${path}:${line} ${name}`),
  );
  expect(found).toEqual([]);
});

it("no comment uses a denied word", () => {
  const found = files.flatMap(({ path, comments }) =>
    comments.flatMap(({ value }) =>
      deniedWordsIn(value).map((word) => `${path}: ${word}: ${value.trim().slice(0, 80)}`),
    ),
  );
  expect(found).toEqual([]);
});

it("comments cite only what is in the repository", () => {
  const found = files.flatMap(({ path, comments }) =>
    comments
      .filter(({ value }) => /\b(SPEC|DESIGN|PAINS|HOUSE|PLATFORM)\b/.test(value))
      .map(({ value }) => `${path}: ${value}`),
  );
  expect(found).toEqual([]);
});

it("no exported function is named with a bare participle", () => {
  const isParticiple = (name: string): boolean =>
    wordsOf(name).length === 1 && !VERBS.has(name) && (IRREGULAR.has(name) || /[^e]ed$/.test(name));
  const found = files.flatMap(({ path, exports }) =>
    exports.filter(({ name, kind }) => kind === "function" && isParticiple(name)).map(({ name }) => `${path} ${name}`),
  );
  expect(found).toEqual([]);
});

/**
 * Names that several files export by design: each dialect has the same functions in the same files, and each surface's
 * routes or each kind of error the same members.
 */
const SAME_IN_EACH = [/^src\/dialects\//];

it("no exported name has two meanings", () => {
  const places = new Map<string, string[]>();
  for (const { path, exports } of files.filter(({ path }) => path.startsWith("src/")))
    for (const { name } of exports)
      if (!SAME_IN_EACH.some((folder) => folder.test(path))) places.set(name, [...(places.get(name) ?? []), path]);
  // A schema and the type that is inferred from it may share a name in one file.
  const twice = [...places]
    .map(([name, all]) => [name, [...new Set(all)]] as const)
    .filter(([, all]) => all.length > 1);
  expect(twice).toEqual([]);
});
