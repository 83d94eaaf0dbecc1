import type { Account } from "./account.ts";
import { ask, interactive } from "./ask.ts";
import { Refusal } from "./refusal.ts";
import { ADMIN_KEY_SHAPE, isAdminKey, makeAdminKey, readGiven, workerSecrets } from "./settings.ts";

/** The secrets to upload: those the deployment does not have yet. A key that was made up here is to be shown once. */
export async function missingSecrets(
  target: Account,
): Promise<{ secrets: Record<string, string>; madeUpKey?: string }> {
  // A dry run uploads nothing, so it has nothing to ask for.
  const question = target.dryRun ? async () => "" : ask;
  const present = await presentSecrets(target);
  const given = readGiven();
  const secrets: Record<string, string> = {};
  let madeUpKey: string | undefined;
  if (!present.has("RHONE_ADMIN_KEY")) {
    const own =
      given.RHONE_ADMIN_KEY ?? (await question("RHONE_ADMIN_KEY: paste one, or press Enter for a new one: ", HIDDEN));
    if (own === "" && !interactive() && !target.dryRun)
      throw new Refusal("RHONE_ADMIN_KEY: expected in the environment, since nobody is there to be asked for it");
    if (own === "") madeUpKey = makeAdminKey();
    else if (!isAdminKey(own)) throw new Refusal(`RHONE_ADMIN_KEY: expected ${ADMIN_KEY_SHAPE}`);
    secrets.RHONE_ADMIN_KEY = madeUpKey ?? own;
  }
  for (const [name, value] of Object.entries(workerSecrets(given))) {
    if (present.has(name)) continue;
    if (/^y/i.test(await question(`${name} is set here. Upload it? [y/N] `))) secrets[name] = value;
  }
  for (;;) {
    const name = await question("Another provider's key, by name (such as OPENAI_API_KEY; Enter when done): ");
    if (name === "") break;
    const value = await question(`${name}: `, HIDDEN);
    if (value !== "") secrets[name] = value;
  }
  return { secrets, ...(madeUpKey !== undefined && !target.dryRun && { madeUpKey }) };
}

const HIDDEN = { hidden: true };

async function presentSecrets(target: Account): Promise<Set<string>> {
  try {
    const list = JSON.parse((await target.read(["secret", "list"])) || "[]") as { name: string }[];
    return new Set(list.map(({ name }) => name));
  } catch (error) {
    // Before the first deployment there is no worker to have any.
    if (error instanceof Refusal && /not found/.test(error.message)) return new Set();
    throw error;
  }
}
