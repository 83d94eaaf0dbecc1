import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { unpackState } from "./state/archive.ts";
import { MEMBERS, METHODS, PARTS } from "./support/stored/names.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const names = JSON.parse(read("test/stored-names.json")) as string[];
const page = read("docs/stored-names.md");
const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => read(join("src", path)));

it("the page and the list hold the same names, and all of them are in the source", () => {
  const onPage = new Set(Array.from(page.matchAll(/`([A-Za-z_][A-Za-z0-9_]*)`/g), ([, name]) => name!));
  expect([...onPage].toSorted()).toEqual(names.toSorted());
  const words = new Set(sources.flatMap((text) => text.match(/[A-Za-z_][A-Za-z0-9_]*/g) ?? []));
  expect(names.filter((name) => !words.has(name))).toEqual([]);
});

it("the files that the page names are there", () => {
  const files = Array.from(page.matchAll(/`((?:src|test|scripts)\/[^`]*)`/g), ([, path]) => path!);
  expect(files.filter((path) => !readable(path))).toEqual([]);
});

it.each(Object.entries(METHODS))("the object %s has the methods that it had", (file, methods) => {
  const found = Array.from(
    read(`src/objects/${file}.ts`).matchAll(/^ {2}(?:override )?(?:async )?([a-zA-Z]+)\(/gm),
    ([, name]) => name!,
  );
  expect(found.filter((name) => name !== "constructor")).toEqual(expect.arrayContaining(methods.split(" ")));
});

it("every table and index that fcdb45a has made is made in the same words", () => {
  const stateDir = mkdtempSync(join(tmpdir(), "rhone-schema-"));
  try {
    unpackState(join(ROOT, "test/fixtures/state/state.tar.gz"), stateDir);
    const made = statementsIn(stateDir);
    const written = new Set(sources.flatMap((text) => text.match(/CREATE (?:TABLE|INDEX)[^;`"]+/g) ?? []).map(normal));
    expect(made.size).toBeGreaterThan(20);
    expect([...made].filter((statement) => !written.has(statement))).toEqual([]);
  } finally {
    rmSync(stateDir, { recursive: true, force: true });
  }
});

/** What the objects' databases hold; those of D1 come of migrations, which the state's own test applies. */
function statementsIn(stateDir: string): Set<string> {
  const objects = join(stateDir, "v3", "do");
  const files = readdirSync(objects, { recursive: true, encoding: "utf8" }).filter(
    (path) => path.endsWith(".sqlite") && basename(path) !== "metadata.sqlite",
  );
  return new Set(
    files.flatMap((path) => {
      const database = new DatabaseSync(join(objects, path));
      try {
        const rows = database.prepare(
          "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name NOT LIKE '_cf_%'",
        );
        return rows.all().map(({ sql }) => normal(String(sql)));
      } finally {
        database.close();
      }
    }),
  );
}

/** SQLite drops `IF NOT EXISTS`, and keeps the rest as it was written. */
const normal = (statement: string): string => statement.replace("IF NOT EXISTS ", "").replace(/\s+/g, " ").trim();

function readable(path: string): boolean {
  try {
    return read(path) !== "";
  } catch {
    return false;
  }
}

it("the members of what is stored and sent are on the list", () => {
  const members = [...Object.values(MEMBERS).flatMap((shape) => Object.keys(shape)), ...Object.values(PARTS).flat()];
  expect(members.filter((name) => !names.includes(name))).toEqual([]);
});
