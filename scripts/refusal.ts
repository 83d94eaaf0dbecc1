/** A reason to stop that the user can mend. It is printed as one line, without a stack. */
export class Refusal extends Error {}

/** Runs a script: a refusal ends it with its one line, everything else with the whole error; exit code 1 both times. */
export async function runScript(main: () => Promise<void> | void): Promise<void> {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof Refusal ? error.message : error);
    process.exit(1);
  }
}
