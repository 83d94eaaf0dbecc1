import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { hashCorpus, hashFixtures, type HashList, type TurnCode } from "../test/support/recorded-turns";
import { PROJECT } from "./settings.ts";
import { UserError, runScript } from "./user-error.ts";

/**
 * `node scripts/turn-hashes.ts --checkout DIR`: writes test/fixtures/turn-hashes.json with the code of a checkout of
 * commit fcdb45a, which is where the files below are found. The corpus is the one of `npm run test:corpus`.
 */
const { values } = parseArgs({ options: { checkout: { type: "string" } } });

await runScript(async () => {
  if (values.checkout === undefined) throw new UserError("--checkout: expected the directory of a checkout of fcdb45a");
  const checkout = resolve(values.checkout);
  const corpus = resolve(PROJECT, process.env.RHONE_CORPUS ?? join("..", "shared", "corpus"));
  if (!existsSync(corpus)) throw new UserError(`RHONE_CORPUS: expected a directory of recorded exchanges at ${corpus}`);
  const load = async (file: string): Promise<Record<string, never>> =>
    (await import(join(checkout, "src", file))) as Record<string, never>;
  const { namesOf } = await load("canonical/chain.ts");
  const { fold } = await load("canonical/fold.ts");
  const { DIALECTS } = await load("dialects/index.ts");
  const { decodeSse } = await load("wire/sse.ts");
  const code: TurnCode<unknown> = { dialects: DIALECTS!, decodeSse: decodeSse!, fold: fold!, hash: namesOf! };
  delete process.env.RHONE_CORPUS;
  const fixtures = hashFixtures(code);
  process.env.RHONE_CORPUS = corpus;
  const writtenBy = execFileSync("git", ["rev-parse", "HEAD"], { cwd: checkout, encoding: "utf8" }).trim();
  const list: HashList = { writtenBy, fixtures, corpus: hashCorpus(corpus, code) };
  writeFileSync(join(PROJECT, "test", "fixtures", "turn-hashes.json"), `${JSON.stringify(list, null, 1)}\n`);
  console.log(`${Object.keys(fixtures).length} fixtures, ${Object.keys(list.corpus).length} folders of the corpus`);
});
