import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderTopics } from "../test/support/translation-page.ts";
import { GOLDEN, readTopics, type RowKind, type Topic, translate } from "../test/support/translation.ts";
import { PROJECT } from "./settings.ts";

/**
 * `node scripts/translation-table.ts`: computes outputs and losses of the rows in `test/golden/translation/` anew, and
 * writes `docs/translation.md` from them. What it changes in the rows is a change of behaviour: read the diff.
 */
const refresh = (topic: Topic): Topic => ({
  ...topic,
  ...refreshRows(topic, "requests"),
  ...refreshRows(topic, "answers"),
});

const refreshRows = (topic: Topic, kind: RowKind): Partial<Topic> => ({
  [kind]: topic[kind].map((row) => ({ ...row, ...translate(kind, row) })),
});

const topics = readTopics().map(([file, topic]) => [file, refresh(topic)] as const);
for (const [file, topic] of topics) writeFileSync(join(GOLDEN, file), `${JSON.stringify(topic, null, 2)}\n`);
writeFileSync(join(PROJECT, "docs/translation.md"), renderTopics(topics.map(([, topic]) => topic)));
execFileSync("npx", ["oxfmt", GOLDEN], { cwd: PROJECT, stdio: "inherit" });
