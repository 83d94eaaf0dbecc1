import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT } from "../support/source.ts";
import { renderTopics } from "../support/translation-page.ts";
import { readTopics, type RowKind, translate } from "../support/translation.ts";

const topics = readTopics().map(([, topic]) => topic);

describe.each(topics)("golden table of translation: $title", (topic) => {
  for (const kind of ["requests", "answers"] as const satisfies RowKind[])
    for (const row of topic[kind])
      it(`the ${kind} of "${row.title}" are translated from ${row.from} to ${row.to} as the table has it`, () => {
        const { output, losses } = row;
        expect(translate(kind, row)).toEqual({ output, losses });
      });

  it("rows of one title translate one input", () => {
    for (const rows of Map.groupBy([...topic.requests, ...topic.answers], ({ title }) => title).values())
      expect(new Set(rows.map(({ from, input }) => JSON.stringify([from, input]))).size).toBe(1);
  });
});

describe("docs/translation.md", () => {
  it("docs/translation.md is the page that `node scripts/translation-table.ts` writes from the rows", () => {
    expect(readFileSync(join(ROOT, "docs/translation.md"), "utf8")).toBe(renderTopics(topics));
  });
});
