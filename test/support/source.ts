import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { type Comment, parseSync, Visitor } from "oxc-parser";

export const ROOT = resolve(import.meta.dirname, "../..");

/** What the architecture tests read of one source file. `path` is relative to the repository. */
export type SourceFile = {
  path: string;
  lines: number;
  /** Paths of the files it imports, types included, relative to the repository. */
  imports: string[];
  comments: Comment[];
  /** How many lines have a comment on them. */
  commentLines: number;
  /** Every identifier, with the line of its first occurrence. String literals are not identifiers. */
  identifiers: Map<string, number>;
  exports: Export[];
};

export type Export = { name: string; kind: "function" | "type" | "value" };

/** The TypeScript files of a folder of the repository, parsed. */
export const sourcesOf = (folder: string): SourceFile[] => listFiles(join(ROOT, folder)).map(readSource);

function listFiles(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (name === "node_modules") return [];
    if (statSync(path).isDirectory()) return listFiles(path);
    return name.endsWith(".ts") ? [path] : [];
  });
}

function readSource(file: string): SourceFile {
  const text = readFileSync(file, "utf8");
  const { program, comments, module, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]!.message}`);
  const lineOf = (offset: number): number => text.slice(0, offset).split("\n").length;
  const identifiers = new Map<string, number>();
  const note = ({ name, start }: { name: string; start: number }): void => {
    if (!identifiers.has(name)) identifiers.set(name, lineOf(start));
  };
  new Visitor({ Identifier: note, PrivateIdentifier: note }).visit(program);
  const requests = [...module.staticImports, ...module.staticExports.flatMap(({ entries }) => entries)];
  const specifiers = requests.flatMap(({ moduleRequest }) => moduleRequest?.value ?? []);
  const imports = [...new Set(specifiers)]
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => relative(ROOT, resolve(dirname(file), specifier)));
  return {
    path: relative(ROOT, file),
    lines: text.split("\n").length - 1,
    imports,
    comments,
    commentLines: new Set(comments.flatMap(({ start, end }) => range(lineOf(start), lineOf(end)))).size,
    identifiers,
    exports: program.body.flatMap(exportsOf),
  };
}

const range = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, i) => first + i);

type Statement = ReturnType<typeof parseSync>["program"]["body"][number];

function exportsOf(statement: Statement): Export[] {
  if (statement.type !== "ExportNamedDeclaration" || statement.declaration === null) return [];
  const { declaration } = statement;
  if (declaration.type === "TSTypeAliasDeclaration" || declaration.type === "TSInterfaceDeclaration")
    return [{ name: declaration.id.name, kind: "type" }];
  if (declaration.type === "FunctionDeclaration" && declaration.id !== null)
    return [{ name: declaration.id.name, kind: "function" }];
  if (declaration.type === "ClassDeclaration" && declaration.id !== null)
    return [{ name: declaration.id.name, kind: "value" }];
  if (declaration.type !== "VariableDeclaration") return [];
  return declaration.declarations.flatMap(({ id, init }) =>
    id.type !== "Identifier"
      ? []
      : [{ name: id.name, kind: init?.type === "ArrowFunctionExpression" ? "function" : ("value" as const) }],
  );
}

/** The words of an identifier in lower case: `#hasBegun` is `has`, `begun`. */
export const wordsOf = (identifier: string): string[] =>
  identifier
    .replace(/^[#_$]+/, "")
    .split(/(?=[A-Z])|_/)
    .map((word) => word.toLowerCase());
