import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { bundle, describeSize } from "./bundle.ts";
import { openAccount, includesName, type Account } from "./deployment/account.ts";
import { collectMissingSecrets } from "./deployment/secrets.ts";
import { checkRouting } from "./routing.ts";
import { checkKeySettings, checkProviders, PROJECT, readEnvironment } from "./settings.ts";
import { UserError, runScript } from "./user-error.ts";
import { type Config, readConfig } from "./wrangler.ts";

/** Outside git, and not wrangler's own `.wrangler/deploy/config.json`, which would redirect every other command. */
const DEPLOY_CONFIG = ".wrangler/deploy/rhone.json";

/** `npm run deploy [-- --dry-run]`: see docs/deploy.md. Every step checks what exists already, so it can be repeated. */
await runScript(async () => {
  const unknown = process.argv.slice(2).find((word) => word !== "--dry-run");
  if (unknown !== undefined) throw new UserError(`npm run deploy: expected --dry-run or nothing, not ${unknown}`);
  const dryRun = process.argv.includes("--dry-run");
  checkProviders(readEnvironment());
  checkKeySettings(readEnvironment());
  await checkRouting(readEnvironment());
  console.log(describeSize(await bundle()));
  const target = await openAccount({ dryRun });
  // All questions come first: the steps below run unattended.
  const { secrets, generatedKey } = await collectMissingSecrets(target);

  const config = await readConfig();
  writeConfig(await resolveDatabases(target, config));
  for (const name of config.queues.consumers.flatMap(({ queue, dead_letter_queue }) => [queue, dead_letter_queue]))
    if (!(await hasQueue(target, name))) await target.create(["queues", "create", name]);
  for (const { bucket_name } of config.r2_buckets)
    if (!includesName(await target.read(["r2", "bucket", "list"]), bucket_name))
      await target.create(["r2", "bucket", "create", bucket_name, "--no-update-config"]);
  for (const { binding } of config.d1_databases)
    await target.run(["d1", "migrations", "apply", binding, "--remote", "--config", DEPLOY_CONFIG]);
  if (Object.keys(secrets).length > 0)
    await target.run(["secret", "bulk", "--config", DEPLOY_CONFIG], {
      input: JSON.stringify(secrets),
      inputIs: Object.keys(secrets).join(", "),
    });
  // Printed before the deployment: if that fails, the key is not lost.
  if (generatedKey !== undefined)
    console.log(`\nThe gateway's RHONE_ADMIN_KEY, shown only once; store it safely:\n\n${generatedKey}\n`);
  // Variables that were set in the dashboard are not deleted.
  await target.run(["deploy", "--keep-vars", "--config", DEPLOY_CONFIG]);
});

/** The project's configuration with the ids of the account's databases instead of zeros. */
async function resolveDatabases(target: Account, config: Config): Promise<Config> {
  const databases = [];
  for (const database of config.d1_databases) {
    let id = await databaseId(target, database.database_name);
    if (id === undefined) {
      await target.create(["d1", "create", database.database_name, "--no-update-config"]);
      id = await databaseId(target, database.database_name);
    }
    databases.push({
      ...database,
      database_id: id ?? database.database_id,
      migrations_dir: join(PROJECT, database.migrations_dir),
    });
  }
  return { ...config, main: join(PROJECT, config.main), d1_databases: databases };
}

async function databaseId(target: Account, name: string): Promise<string | undefined> {
  const found = JSON.parse((await target.read(["d1", "list", "--json"])) || "[]") as { name: string; uuid: string }[];
  return found.find((database) => database.name === name)?.uuid;
}

/** `queues list` has pages; a page without rows comes after the last one. */
async function hasQueue(target: Account, name: string): Promise<boolean> {
  for (let page = 1; ; page++) {
    const table = await target.read(["queues", "list", "--page", String(page)]);
    if (includesName(table, name)) return true;
    if (!/[0-9a-f]{32}/.test(table)) return false;
  }
}

function writeConfig(config: Config): void {
  const file = join(PROJECT, DEPLOY_CONFIG);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`);
}
