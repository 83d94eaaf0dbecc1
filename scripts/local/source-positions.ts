import { readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { basename, dirname, relative, resolve } from "node:path";

/**
 * Makes stack traces of a bundle readable: returns a function that replaces each `worker.js:1:2345` in a text by the
 * file, line and column of the source, relative to `project`. `main` is the bundle's module; its source map lies beside it.
 */
export function mapSourcePositions(main: string, project: string): (text: string) => string {
  const position = new RegExp(`[^\\s()]*\\b${basename(main).replaceAll(".", "\\.")}:(\\d+):(\\d+)`, "g");
  // Several megabytes, so it is read only when the first stack trace is printed.
  let map: SourceMap | undefined;
  return (text) =>
    text.replaceAll(position, (bundled: string, line: string, column: string) => {
      map ??= new SourceMap(JSON.parse(readFileSync(`${main}.map`, "utf8")) as SourceMapPayload);
      const entry = map.findEntry(Number(line) - 1, Number(column) - 1);
      if (!("originalSource" in entry)) return bundled;
      const source = relative(project, resolve(dirname(main), entry.originalSource));
      return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
    });
}
