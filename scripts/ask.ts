import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";

/** Somebody is there to be asked. */
export const interactive = (): boolean => process.stdin.isTTY && process.stdout.isTTY;

/** The answer to a question, without the space around it; empty when nobody is there to answer. */
export async function ask(question: string, { hidden = false }: { hidden?: boolean } = {}): Promise<string> {
  if (!interactive()) return "";
  // What is hidden is neither echoed nor left in the terminal's history.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: hidden ? silent : process.stdout, terminal: true });
  terminal.on("SIGINT", () => process.exit(130));
  if (hidden) process.stdout.write(question);
  const answer = await terminal.question(hidden ? "" : question);
  terminal.close();
  if (hidden) process.stdout.write("\n");
  return answer.trim();
}
