import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { ROOT, type SourceFile, sourcesOf } from "./support/source.ts";

/** Floors of `src/` from the bottom. A file imports its own room and lower floors; rooms on one floor do not know one another. */
const FLOORS: readonly (readonly string[])[] = [
  ["wire"],
  ["canonical", "outbound"],
  ["dialects", "mcp"],
  ["providers", "shield", "store"],
  ["session", "keys", "routing"],
  ["surfaces"],
  ["gateway"],
  ["endpoints", "runs"],
  ["platform"],
  ["http"],
  ["objects"],
  ["worker.ts", "env.d.ts"],
];

/** The same inside a room: its folders from the bottom; `.` are the files that lie in the room itself. */
const INNER_FLOORS: Record<string, readonly (readonly string[])[]> = {
  session: [["stream", "directory"], ["."], ["history"]],
  keys: [["budget"], ["."]],
  shield: [["detect"], ["."]],
  mcp: [["."], ["server"]],
  runs: [["tools"], ["state"], ["servers", "steps"], ["."], ["api", "answer"]],
  gateway: [["output"], ["shield"], ["call"], ["upstream"], ["reply"], ["."], ["responses", "sockets"], ["session"]],
  http: [
    ["request", "openapi"],
    ["admission"],
    ["inference", "sessions", "admin"],
    ["endpoints", "safety", "runs"],
    ["openai"],
    ["."],
  ],
};

/** The dialects do not know one another; what they share lies in `dialects/` itself or in `dialects/openai/`. */
const DIALECTS = "dialects";
const SHARED_BY_DIALECTS = new Set([".", "openai"]);

const src = sourcesOf("src").map((file) => ({ ...file, path: inSrc(file.path), imports: file.imports.map(inSrc) }));
const everywhere = ["src", "scripts", "bench"].flatMap(sourcesOf);

it("every file of src has a floor, every folder of a room an inner one", () => {
  expect(src.filter(({ path }) => floorOf(path) < 0).map(({ path }) => path)).toEqual([]);
  const inner = src.filter(({ path }) => INNER_FLOORS[roomOf(path)] !== undefined && innerFloorOf(path) < 0);
  expect(inner.map(({ path }) => path)).toEqual([]);
});

it("files import their own room and lower floors only", () => {
  expect(wrongImports((from, to) => roomOf(from) === roomOf(to) || floorOf(to) < floorOf(from))).toEqual([]);
});

it("inside a room, files import their own folder and lower ones only", () => {
  const isAllowed = (from: string, to: string): boolean =>
    roomOf(from) !== roomOf(to) ||
    INNER_FLOORS[roomOf(from)] === undefined ||
    folderOf(from) === folderOf(to) ||
    innerFloorOf(to) < innerFloorOf(from);
  expect(wrongImports(isAllowed)).toEqual([]);
});

it("dialects do not import one another", () => {
  const isAllowed = (from: string, to: string): boolean =>
    roomOf(from) !== DIALECTS ||
    roomOf(to) !== DIALECTS ||
    from === join(DIALECTS, "index.ts") ||
    folderOf(from) === folderOf(to) ||
    (SHARED_BY_DIALECTS.has(folderOf(to)) && to !== join(DIALECTS, "index.ts"));
  expect(wrongImports(isAllowed)).toEqual([]);
});

it("objects use nothing of http but its entry", () => {
  const isAllowed = (from: string, to: string): boolean =>
    roomOf(from) !== "objects" || roomOf(to) !== "http" || to === "http/app.ts";
  expect(wrongImports(isAllowed)).toEqual([]);
});

it("no file imports itself, by any way", () => {
  const imports = new Map(everywhere.map((file) => [file.path, file.imports]));
  const leadsTo = (file: string, from: string, seen: Set<string>): boolean =>
    (imports.get(file) ?? []).some((next) => next === from || (!seen.has(next) && leadsTo(next, from, seen.add(next))));
  expect(everywhere.filter(({ path }) => leadsTo(path, path, new Set())).map(({ path }) => path)).toEqual([]);
});

it("only platform and the floors above it read the platform's environment", () => {
  const readers = src.filter(({ path }) =>
    /Cloudflare\.Env|cloudflare:workers/.test(readFileSync(join(ROOT, "src", path), "utf8")),
  );
  expect(readers.filter(({ path }) => floorOf(path) < floorOf("platform/router.ts")).map(({ path }) => path)).toEqual(
    [],
  );
});

it("files and folders stay small", () => {
  const lines = src.map((file) => file.lines).toSorted((a, b) => a - b);
  expect(lines[Math.floor(lines.length * 0.5)], "median").toBeLessThanOrEqual(90);
  expect(lines[Math.floor(lines.length * 0.9)], "nine in ten").toBeLessThanOrEqual(200);
  expect(src.filter((file) => file.lines > 360).map(({ path }) => path)).toEqual([]);
  const sizes = Map.groupBy(everywhere, ({ path }) => dirname(path));
  expect([...sizes].filter(([, files]) => files.length > 20).map(([folder]) => folder)).toEqual([]);
});

it("comments are a tenth of src, and of no room less than 7 %", () => {
  expect(commentShare(src)).toBeGreaterThanOrEqual(0.1);
  const rooms = [...Map.groupBy(src, ({ path }) => roomOf(path))].filter(([room]) => !room.includes("."));
  const shares = rooms.map(([room, files]) => [room, Number(commentShare(files).toFixed(3))] as const);
  expect(shares.filter(([, share]) => share < 0.07)).toEqual([]);
});

function inSrc(path: string): string {
  return path.replace(/^src\//, "");
}

function wrongImports(isAllowed: (from: string, to: string) => boolean): string[] {
  return src.flatMap(({ path, imports }) =>
    imports.filter((to) => !isAllowed(path, to)).map((to) => `${path} imports ${to}`),
  );
}

function roomOf(path: string): string {
  return path.split("/")[0]!;
}

function floorOf(path: string): number {
  return FLOORS.findIndex((floor) => floor.includes(roomOf(path)));
}

/** The folder inside the room; `.` for a file that lies in the room itself. */
function folderOf(path: string): string {
  const [, folder, file] = path.split("/");
  return file === undefined ? "." : folder!;
}

function innerFloorOf(path: string): number {
  return (INNER_FLOORS[roomOf(path)] ?? []).findIndex((floor) => floor.includes(folderOf(path)));
}

/** Lines with a comment on them by all lines. */
function commentShare(files: readonly SourceFile[]): number {
  const lines = files.reduce((sum, file) => sum + file.lines, 0);
  const commented = files.reduce((sum, file) => sum + file.commentLines, 0);
  return commented / lines;
}
