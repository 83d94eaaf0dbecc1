import { ADMIN_KEY_SHAPE, isAdminKey, makeAdminKey, readEnvironment, workerSecrets } from "../settings.ts";
import { UserError } from "../user-error.ts";
import type { Account } from "./account.ts";
import { ask, isInteractive } from "./prompt.ts";

/** The secrets that the deployment does not have yet. A generated bootstrap key is to be shown once. */
export async function collectMissingSecrets(
  target: Account,
): Promise<{ secrets: Record<string, string>; generatedKey?: string }> {
  // A dry run uploads nothing and asks no questions.
  const question = target.dryRun ? async () => "" : ask;
  const existing = await listSecrets(target);
  const environment = readEnvironment();
  const secrets: Record<string, string> = {};
  let generatedKey: string | undefined;
  if (!existing.has("RHONE_ADMIN_KEY")) {
    const own =
      environment.RHONE_ADMIN_KEY ??
      (await question("RHONE_ADMIN_KEY: paste one, or press Enter for a new one: ", HIDDEN));
    if (own === "" && !isInteractive() && !target.dryRun)
      throw new UserError("RHONE_ADMIN_KEY: expected in the environment, since there is no terminal to ask for it");
    if (own === "") generatedKey = makeAdminKey();
    else if (!isAdminKey(own)) throw new UserError(`RHONE_ADMIN_KEY: expected ${ADMIN_KEY_SHAPE}`);
    secrets.RHONE_ADMIN_KEY = generatedKey ?? own;
  }
  for (const [name, value] of Object.entries(workerSecrets(environment))) {
    if (existing.has(name)) continue;
    if (/^y/i.test(await question(`${name} is set here. Upload it? [y/N] `))) secrets[name] = value;
  }
  for (;;) {
    const name = await question("Another provider's key, by name (such as OPENAI_API_KEY; Enter when done): ");
    if (name === "") break;
    const value = await question(`${name}: `, HIDDEN);
    if (value !== "") secrets[name] = value;
  }
  return { secrets, ...(generatedKey !== undefined && !target.dryRun && { generatedKey }) };
}

const HIDDEN = { hidden: true };

async function listSecrets(target: Account): Promise<Set<string>> {
  try {
    const list = JSON.parse((await target.read(["secret", "list"])) || "[]") as { name: string }[];
    return new Set(list.map(({ name }) => name));
  } catch (error) {
    // Before the first deployment there is no worker, and so no secrets.
    if (error instanceof UserError && /not found/.test(error.message)) return new Set();
    throw error;
  }
}
