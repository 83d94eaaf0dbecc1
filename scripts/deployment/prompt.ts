import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";

/** Whether a user at a terminal can answer questions. */
export const isInteractive = (): boolean => process.stdin.isTTY && process.stdout.isTTY;

/** Asks the user a question and returns the trimmed answer; empty when there is no terminal. */
export async function ask(question: string, { hidden = false }: { hidden?: boolean } = {}): Promise<string> {
  if (!isInteractive()) return "";
  // A hidden answer is neither echoed nor stored in the terminal's history.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: hidden ? silent : process.stdout, terminal: true });
  terminal.on("SIGINT", () => process.exit(130));
  if (hidden) process.stdout.write(question);
  const answer = await terminal.question(hidden ? "" : question);
  terminal.close();
  if (hidden) process.stdout.write("\n");
  return answer.trim();
}
