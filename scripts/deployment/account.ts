import { UserError } from "../user-error.ts";
import { runWrangler } from "../wrangler.ts";
import { ask } from "./prompt.ts";

/** The user's Cloudflare account, accessed with wrangler. A dry run has none: it prints each command, and reads return nothing. */
export type Account = {
  dryRun: boolean;
  /** Runs a command for its output. */
  read(args: string[]): Promise<string>;
  /** Runs a command that creates something. Wrangler's output is hidden: it advises steps that the deployment takes itself. */
  create(args: string[]): Promise<void>;
  /** Runs a command and shows its output. In a dry run, `inputIs` describes what stdin would receive. */
  run(args: string[], stdin?: { input: string; inputIs: string }): Promise<void>;
};

export async function openAccount({ dryRun }: { dryRun: boolean }): Promise<Account> {
  if (dryRun) {
    console.log("Dry run: nothing is created or uploaded. Where the account has nothing yet, the commands are:\n");
    return {
      dryRun,
      read: async (args) => print(args) ?? "",
      create: async (args) => print(args),
      run: async (args, stdin) => print(args, stdin && `   (over stdin: ${stdin.inputIs})`),
    };
  }
  const env = await logIn();
  const read = async (args: string[]): Promise<string> => {
    const { ok, stdout, stderr } = await runWrangler(args, { env });
    if (!ok) throw new UserError(`npx wrangler ${args.join(" ")} failed:\n${stderr.trim() || stdout.trim()}`);
    return stdout;
  };
  return {
    dryRun,
    read,
    create: async (args) => {
      console.log(`\n$ npx wrangler ${args.join(" ")}`);
      await read(args);
    },
    run: async (args, stdin) => {
      console.log(`\n$ npx wrangler ${args.join(" ")}`);
      const { ok } = await runWrangler(args, { env, show: true, ...(stdin && { input: stdin.input }) });
      if (!ok) throw new UserError(`npx wrangler ${args.join(" ")} failed; fix the cause and run the deployment again`);
    },
  };
}

/** Whether a table that wrangler printed has this name as a whole word: `rhone-records` is not `rhone-records-dead`. */
export const includesName = (output: string, name: string): boolean => output.split(/[^A-Za-z0-9_-]+/).includes(name);

/** Selects the account, as wrangler's environment: without it, wrangler would prompt at every command. */
async function logIn(): Promise<Record<string, string>> {
  const { ok, stdout } = await runWrangler(["whoami", "--json"]);
  if (!ok) throw new UserError("Not logged in to Cloudflare: run `npx wrangler login`, then `npm run deploy` again");
  if (process.env.CLOUDFLARE_ACCOUNT_ID) return {};
  const { accounts = [] } = JSON.parse(stdout) as { accounts?: { id: string; name: string }[] };
  const [only] = accounts;
  if (only === undefined)
    throw new UserError("CLOUDFLARE_ACCOUNT_ID: expected the account to deploy to; the login has none");
  if (accounts.length === 1) return { CLOUDFLARE_ACCOUNT_ID: only.id };
  console.log(accounts.map(({ id, name }, i) => `${i + 1}. ${name} (${id})`).join("\n"));
  const choice = await ask("Which account? Its number: ");
  const chosen = accounts[Number(choice) - 1];
  if (chosen === undefined) throw new UserError("CLOUDFLARE_ACCOUNT_ID: expected the account to deploy to");
  return { CLOUDFLARE_ACCOUNT_ID: chosen.id };
}

function print(args: string[], more = ""): undefined {
  console.log(`npx wrangler ${args.join(" ")}${more}`);
}
