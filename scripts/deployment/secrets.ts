import {
  ADMIN_KEY_SHAPE,
  isAdminKey,
  makeAdminKey,
  makeShieldKey,
  readEnvironment,
  workerSecrets,
} from "../settings.ts";
import { UserError } from "../user-error.ts";
import type { Account } from "./account.ts";
import { ask, isInteractive } from "./prompt.ts";

/** Asks the user. A dry run uploads nothing and asks no questions: every answer is empty. */
type Ask = typeof ask;

/** The secrets that the deployment does not have yet. A generated bootstrap key is to be shown once. */
export async function collectMissingSecrets(
  target: Account,
): Promise<{ secrets: Record<string, string>; generatedKey?: string }> {
  const question: Ask = target.dryRun ? async () => "" : ask;
  const existing = await listSecrets(target);
  const environment = readEnvironment();
  const admin = existing.has("RHONE_ADMIN_KEY")
    ? undefined
    : await chooseAdminKey(environment.RHONE_ADMIN_KEY, target, question);
  const hasShieldKey = existing.has("RHONE_SHIELD_KEY") || environment.RHONE_SHIELD_KEY !== undefined;
  const secrets = {
    ...(!hasShieldKey && { RHONE_SHIELD_KEY: makeShieldKey() }),
    ...(admin !== undefined && { RHONE_ADMIN_KEY: admin.key }),
    ...(await confirmSecrets(workerSecrets(environment), existing, question)),
    ...(await collectOtherKeys(question)),
  };
  return { secrets, ...(admin?.isGenerated && !target.dryRun && { generatedKey: admin.key }) };
}

/** The key of the environment, the one that the user pastes, or a new one. Throws `UserError`. */
async function chooseAdminKey(
  given: string | undefined,
  { dryRun }: Account,
  question: Ask,
): Promise<{ key: string; isGenerated: boolean }> {
  const own = given ?? (await question("RHONE_ADMIN_KEY: paste one, or press Enter for a new one: ", HIDDEN));
  if (own === "" && !isInteractive() && !dryRun)
    throw new UserError("RHONE_ADMIN_KEY: expected in the environment, since there is no terminal to ask for it");
  if (own === "") return { key: makeAdminKey(), isGenerated: true };
  if (!isAdminKey(own)) throw new UserError(`RHONE_ADMIN_KEY: expected ${ADMIN_KEY_SHAPE}`);
  return { key: own, isGenerated: false };
}

/** The secrets of the environment that the deployment lacks and the user wants to upload. */
async function confirmSecrets(
  given: Record<string, string>,
  existing: Set<string>,
  question: Ask,
): Promise<Record<string, string>> {
  const secrets: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    if (existing.has(name)) continue;
    if (/^y/i.test(await question(`${name} is set here. Upload it? [y/N] `))) secrets[name] = value;
  }
  return secrets;
}

/** Further keys, by the names that the user enters. */
async function collectOtherKeys(question: Ask): Promise<Record<string, string>> {
  const keys: Record<string, string> = {};
  for (;;) {
    const name = await question("Another provider's key, by name (such as OPENAI_API_KEY; Enter when done): ");
    if (name === "") return keys;
    const value = await question(`${name}: `, HIDDEN);
    if (value !== "") keys[name] = value;
  }
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
