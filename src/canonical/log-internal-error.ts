/**
 * Logs an unexpected error with its stack. `id`: of the request, the call or the object. The error's message is not
 * logged, because it may quote content: `JSON.parse` quotes its input, `Headers` a refused value.
 */
export function logInternalError(id: string, cause: unknown): void {
  console.error("internal error", id, toContentFreeStack(cause));
}

/** Name and frames of the error and of its causes. */
function toContentFreeStack(thrown: unknown): string {
  if (!isError(thrown)) return `a thrown ${typeof thrown}`;
  const { name, stack = "", cause } = thrown;
  const frames = stack.split("\n").filter((line) => FRAME.test(line));
  const own = [name, ...frames].join("\n");
  return cause === undefined ? own : `${own}\ncaused by ${toContentFreeStack(cause)}`;
}

/** A line of V8's stack: `    at name (file:line:column)`. A message has lines of this form only if it quotes a stack. */
const FRAME = /^ {4}at .*(:\d+:\d+|<anonymous>|native)\)?$/;

/** `Object(…)`: an error of another realm is one too. */
const isError = (thrown: unknown): thrown is Error => Object(thrown) instanceof Error;
