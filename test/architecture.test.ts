import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, it } from "vitest";

/** DESIGN 2: a file imports its own folder and lower floors, nothing else; types count. The last name of a path decides. */
const FLOORS: readonly (readonly string[])[] = [
  ["wire"],
  ["canonical"],
  ["dialects"],
  ["providers", "store", "shield"],
  ["session", "routing", "keys"],
  ["gateway"],
  ["endpoints", "runs", "assess", "pipelines", "live", "data"],
  ["http", "console"],
  ["objects"],
  ["worker.ts", "env.d.ts"],
];
/** The dialects ignore each other: what they share stands beside them, in `dialects/`. */
const APART = "dialects";

const src = resolve(import.meta.dirname, "../src");
const files = list(src);
const imports = new Map(files.map((file) => [file, importsOf(file)]));

it("every file has a floor", () => {
  expect(files.filter((file) => floorOf(file) < 0)).toEqual([]);
});

it("files import their own folder and lower floors only", () => {
  const wrong = edges().filter(([from, to]) => {
    if (roomOf(from) === roomOf(to)) return false;
    if (from === join(APART, "index.ts")) return !to.startsWith(APART) && floorOf(to) >= floorOf(from);
    if (from.startsWith(APART) && to.startsWith(APART)) return dirname(to) !== APART || to === join(APART, "index.ts");
    return floorOf(to) >= floorOf(from);
  });
  expect(wrong).toEqual([]);
});

it("no file imports itself, by whatever way", () => {
  const reached = (file: string, from: string, seen: Set<string>): boolean =>
    (imports.get(file) ?? []).some((next) => next === from || (!seen.has(next) && reached(next, from, seen.add(next))));
  expect(files.filter((file) => reached(file, file, new Set()))).toEqual([]);
});

it("only the entrances read the platform's environment", () => {
  const readers = files.filter((file) =>
    /Cloudflare\.Env|cloudflare:workers/.test(readFileSync(join(src, file), "utf8")),
  );
  expect(readers.filter((file) => floorOf(file) < floorOf("http/app.ts"))).toEqual([]);
});

const edges = (): [string, string][] =>
  [...imports].flatMap(([from, all]) => all.map((to): [string, string] => [from, to]));

function list(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? list(path) : [relative(src, path)];
  });
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), "utf8");
  return [...text.matchAll(/from "(\.[^"]+)"/g)].map(([, path]) => relative(src, resolve(src, dirname(file), path!)));
}

function floorOf(file: string): number {
  const top = file.split("/")[0]!;
  return FLOORS.findIndex((floor) => floor.includes(top));
}

/** A dialect is a room of its own; elsewhere the top folder is. */
function roomOf(file: string): string {
  const [top, second] = file.split("/");
  return top === APART && !second!.includes(".") ? join(top, second!) : top === APART ? file : top!;
}
