import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { PROJECT } from "../scripts/settings.ts";
import { chart } from "./report/chart.ts";
import type { Results } from "./report/figures.ts";
import { report } from "./report/tables.ts";
import { HERE } from "./requests.ts";
import { FULL, hold, QUICK, run } from "./run.ts";
import { type Server, listServers } from "./servers.ts";

const HELP = `npm run bench -- [options]        measures the gateways side by side, on this machine in one run

  --quick            one round, in under three minutes; without it, about half an hour
  --install          first installs the other gateways (npm, pip) into directories that git ignores
  --only a,b         only these servers, besides the provider itself: proxy, rhone, portkey, litellm, tensorzero
  --project DIR      the gateway of another checkout
  --out DIR          where results.json, results.md and results.svg go (bench/results)
  --docs             writes the tables and the chart to docs/performance.md
  --draw             measures nothing: redraws the tables and the chart from results.json
  --serve            starts everything, prints the URLs, and waits: for another load generator`;

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

const start = Date.now();
const log = (text: string): void => {
  const seconds = Math.round((Date.now() - start) / 1000);
  console.error(`${String(seconds).padStart(5)} s  ${text}`);
};

if (options.help) {
  console.log(HELP);
} else {
  const only = options.only?.split(",");
  const servers = listServers(resolve(options.project)).filter(({ id }) => only?.includes(id) ?? true);
  if (options.install) install(servers);
  if (options.serve) await hold(servers, log);
  const json = join(options.out, "results.json");
  const results = options.draw
    ? (JSON.parse(readFileSync(json, "utf8")) as Results)
    : await run(servers, options.quick ? QUICK : FULL, log);
  mkdirSync(options.out, { recursive: true });
  const text = report(results);
  writeFileSync(json, `${JSON.stringify(results, null, 1)}\n`);
  writeFileSync(join(options.out, "results.md"), text);
  writeFileSync(join(options.out, "results.svg"), chart(results));
  if (options.docs) updateDocs(results);
  console.log(text);
  log(`written to ${options.out}`);
}
process.exit(0);

/** Replaces the tables between two marks in docs/performance.md; oxfmt aligns their columns. */
function updateDocs(results: Results): void {
  const page = join(PROJECT, "docs/performance.md");
  const [before, after] = readFileSync(page, "utf8").split(/(?<=<!-- results -->\n)[^]*(?=<!-- end of results -->)/);
  if (after === undefined) throw new Error(`${page}: expected <!-- results --> and <!-- end of results -->`);
  writeFileSync(page, `${before}\n${report(results)}\n${after}`);
  writeFileSync(join(PROJECT, "docs/performance.svg"), chart(results));
  spawnSync(join(PROJECT, "node_modules/.bin/oxfmt"), [page], { stdio: "inherit" });
}

/** Installs the other gateways. A failure is stored, and reported again in place of the results. */
function install(servers: readonly Server[]): void {
  for (const server of servers) {
    try {
      server.install?.();
    } catch (error) {
      console.error(`${server.id}: ${(error as Error).message}`);
    }
  }
}
