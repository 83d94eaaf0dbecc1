/** A failure whose cause the user can fix. It is printed as its message alone, without a stack trace. */
export class UserError extends Error {}

/** Runs a script. A `UserError` ends it with its message, any other error with its stack trace; the exit code is 1. */
export async function runScript(main: () => Promise<void> | void): Promise<void> {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof UserError ? error.message : error);
    process.exit(1);
  }
}
