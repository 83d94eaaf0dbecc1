/**
 * Leaves out what workerd prints about connections and objects that tests break on purpose: an exception without a name of
 * a test, and a stack of addresses. vitest's own output, and every other line, stays.
 */
export function hideExpectedExceptions(output: NodeJS.WriteStream): void {
  const write = output.write.bind(output);
  const writeShown = (chunk: string | Uint8Array, ...rest: never[]): boolean => {
    if (typeof chunk !== "string") return write(chunk, ...rest);
    const shown = chunk.split("\n").filter((line) => !EXPECTED.some((pattern) => pattern.test(line)));
    return chunk !== "" && shown.every((line) => line === "") ? true : write(shown.join("\n"), ...rest);
  };
  output.write = writeShown;
}

const EXPECTED = [
  /^exception = \S+: disconnected: /,
  /^uncaught exception; exception = .*(?:broken\.outputGateBroken; jsg\.Error: crash|EnvironmentTeardownError)/,
  /^uncaught exception; source = Uncaught \(in promise\); stack = EnvironmentTeardownError/,
  /^stack: (?:\S+workerd@[0-9a-f]+ ?)+$/,
  /^console warning; message = Called \.text\(\) on an HTTP body/,
  /^A header value for "[a-z-]+" contains non-ASCII characters/,
];
