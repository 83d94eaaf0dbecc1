import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { PROJECT } from "../scripts/settings.ts";
import { HERE } from "./asks.ts";
import { chart } from "./chart.ts";
import type { Found } from "./figures.ts";
import { report } from "./report.ts";
import { FULL, hold, QUICK, run } from "./run.ts";
import { type Server, serversOf } from "./servers.ts";

const HELP = `npm run bench -- [options]        speed side by side, all on this machine in one run

  --quick            everything once over, in under three minutes; without it, for about half an hour
  --install          first installs what is compared (npm, pip, go) into directories that git does not see
  --only a,b         these servers alone, beside the provider itself: floor, rhone, portkey, litellm, bifrost
  --project DIR      the gateway of another checkout
  --out DIR          where results.json, results.md and results.svg go (bench/results)
  --docs             puts the tables and the chart into docs/performance.md
  --draw             measures nothing: makes the tables and the chart anew from results.json
  --serve            starts everything, says where it is, and waits: for another load generator`;

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    install: { type: "boolean", default: false },
    only: { type: "string" },
    project: { type: "string", default: PROJECT },
    out: { type: "string", default: join(HERE, "results") },
    docs: { type: "boolean", default: false },
    draw: { type: "boolean", default: false },
    serve: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const began = Date.now();
const say = (text: string): void => {
  const seconds = Math.round((Date.now() - began) / 1000);
  console.error(`${String(seconds).padStart(5)} s  ${text}`);
};

if (options.help) {
  console.log(HELP);
} else {
  const only = options.only?.split(",");
  const servers = serversOf(resolve(options.project)).filter(({ id }) => only?.includes(id) ?? true);
  if (options.install) install(servers);
  if (options.serve) await hold(servers, say);
  const json = join(options.out, "results.json");
  const found = options.draw
    ? (JSON.parse(readFileSync(json, "utf8")) as Found)
    : await run(servers, options.quick ? QUICK : FULL, say);
  mkdirSync(options.out, { recursive: true });
  const text = report(found);
  writeFileSync(json, `${JSON.stringify(found, null, 1)}\n`);
  writeFileSync(join(options.out, "results.md"), text);
  writeFileSync(join(options.out, "results.svg"), chart(found));
  if (options.docs) document(found);
  console.log(text);
  say(`written to ${options.out}`);
}
process.exit(0);

/** The tables stand between two marks; oxfmt lines them up. */
function document(found: Found): void {
  const page = join(PROJECT, "docs/performance.md");
  const [before, after] = readFileSync(page, "utf8").split(/(?<=<!-- results -->\n)[^]*(?=<!-- end of results -->)/);
  if (after === undefined) throw new Error(`${page}: expected <!-- results --> and <!-- end of results -->`);
  writeFileSync(page, `${before}\n${report(found)}\n${after}`);
  writeFileSync(join(PROJECT, "docs/performance.svg"), chart(found));
  spawnSync(join(PROJECT, "node_modules/.bin/oxfmt"), [page], { stdio: "inherit" });
}

/** What fails is said again, with its reason, where its results would stand. */
function install(servers: readonly Server[]): void {
  for (const server of servers) {
    try {
      server.install?.();
    } catch (thrown) {
      console.error(`${server.id}: ${(thrown as Error).message}`);
    }
  }
}
