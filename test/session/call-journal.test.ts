import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { expect, it } from "vitest";
import { Journal, type JournalEntry } from "../../src/session/call-journal.ts";
import type { Sql } from "../../src/store/sql.ts";

function openJournal(): { journal: Journal; count: (table: string) => number } {
  const db = new DatabaseSync(":memory:");
  const sql = ((query: string, ...values: never[]) =>
    query.includes(";") ? (db.exec(query), []) : db.prepare(query).all(...values)) as Sql;
  const journal = new Journal({ sql, transact: (run) => run() });
  return { journal, count: (table) => sql(`SELECT 1 FROM ${table}`).length };
}

const entryOf = (id: string, text: string): JournalEntry => ({ id, org: "org", text, payload: "{}" });

/** Texts of one row and of several, which a part may not split inside a pair of surrogates. */
const texts = fc
  .tuple(fc.constantFrom("x", "é", "😀", '\\"'), fc.integer({ min: 0, max: 700_000 }), fc.string({ maxLength: 3 }))
  .map(([unit, length, end]) => unit.repeat(Math.ceil(length / unit.length)) + end.toWellFormed());

it("a journal gives back the text of each entry, of any length, also if it was entered twice", () => {
  fc.assert(
    fc.property(fc.array(texts, { minLength: 1, maxLength: 3 }), (all) => {
      const { journal, count } = openJournal();
      const entries = all.map((text, i) => entryOf(`call_${i}`, text));
      journal.enter(entries);
      journal.enter(entries);
      for (const { id, text } of entries) {
        expect(journal.find("org", id)?.text === text).toBe(true);
        expect(journal.find("other", id)).toBeUndefined();
      }
      for (const { id } of entries) {
        journal.remove("other", id);
        expect(journal.find("org", id)).toBeDefined();
        journal.remove("org", id);
      }
      expect([count("entries"), count("overflow")]).toEqual([0, 0]);
    }),
    { numRuns: 40 },
  );
});
