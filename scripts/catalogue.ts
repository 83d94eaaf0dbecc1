import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { waitForUpdate } from "@pydantic/genai-prices";
import { PROJECT } from "./settings.ts";
import { runScript } from "./user-error.ts";

/**
 * `node scripts/catalogue.ts [file]`: rewrites `src/providers/catalogue.json` from models.dev (or a saved copy of it)
 * and, for models too new for that copy, from the price package. A model is stored as one line of text:
 * name | released | context window | output limit | capabilities | modalities in | modalities out | {maker}/{model}.
 * Among the capabilities, `fixed_sampling` marks a model that takes no parameters of sampling.
 */
const SOURCE = "https://models.dev/api.json";
const TARGET = join(PROJECT, "src/providers/catalogue.json");

/** By provider row: the ids of its models' sources in models.dev and in the price package, and the models it can call. */
const ROWS: Record<string, { from: string[]; newer?: string; only?: RegExp }> = {
  openai: {
    from: ["openai"],
    newer: "openai",
    only: /^(gpt-(?!image|3\.5|4-|4\.5|oss|realtime|4o:|4o-.*(realtime|audio|search-|ft-))|o\d|codex-mini-)/,
  },
  anthropic: { from: ["anthropic"], newer: "anthropic", only: /^claude-(?!2|v|instant)/ },
  gemini: { from: ["google"], newer: "google", only: /^(gemini-(?!flash|pro|1\.0)|gemma-)/ },
  vertex: { from: ["google-vertex", "google-vertex-anthropic"], only: /^(gemini|claude)-/ },
  bedrock: { from: ["amazon-bedrock"], only: /^((global|us|eu|apac|jp|au)\.)?anthropic\.claude-/ },
  "workers-ai": { from: ["cloudflare-workers-ai"] },
  mistral: { from: ["mistral"] },
  deepseek: { from: ["deepseek"], newer: "deepseek" },
  xai: { from: ["xai"], newer: "x-ai", only: /^grok-(?!voice)/ },
  moonshot: { from: ["moonshotai"], newer: "moonshotai" },
  perplexity: { from: ["perplexity"] },
  groq: { from: ["groq"] },
  cerebras: { from: ["cerebras"] },
  fireworks: { from: ["fireworks-ai"] },
  together: { from: ["togetherai"] },
  openrouter: { from: ["openrouter"] },
};

type SourceModel = {
  base_model?: string;
  name?: string;
  release_date?: string;
  status?: string;
  reasoning?: boolean;
  tool_call?: boolean;
  structured_output?: boolean;
  /** Whether the model takes a temperature and other parameters of sampling. */
  temperature?: boolean;
  limit?: { context?: number; output?: number };
  modalities?: { input?: string[]; output?: string[] };
};
type Models = Record<string, SourceModel>;
type Source = Record<string, { models: Models }>;

await runScript(async () => {
  const [file] = process.argv.slice(2);
  const text = file === undefined ? await (await fetch(SOURCE)).text() : readFileSync(file, "utf8");
  const read = JSON.parse(text) as Source & { providers?: Source; models?: Models };
  const priced = (await waitForUpdate()) ?? [];
  const catalogue: Record<string, Record<string, string>> = {};
  for (const [row, { from, newer, only = /./ }] of Object.entries(ROWS)) {
    const known = from
      .flatMap((id) => Object.entries((read.providers ?? read)[id]?.models ?? {}))
      .map(([id, one]) => [id, inheritMembers(one, read.models)] as const);
    const models = Object.fromEntries(
      known
        .filter(([id, { status }]) => only.test(id) && status !== "deprecated")
        .map(([id, one]) => [id, toLine(one)]),
    );
    const others = priced.find(({ id }) => id === newer)?.models ?? [];
    for (const { id, name, context_window, deprecated } of others) {
      if (deprecated === true || !only.test(id) || known.some(([knownId]) => knownId.startsWith(id))) continue;
      models[id] = toLine({ ...(name && { name }), limit: { ...(context_window && { context: context_window }) } });
    }
    catalogue[row] = Object.fromEntries(Object.entries(models).toSorted(([a], [b]) => compareReach(a, b)));
  }
  writeFileSync(TARGET, `${JSON.stringify(catalogue, null, 2)}\n`);
  console.log(
    Object.entries(catalogue)
      .map(([row, models]) => `${row} ${Object.keys(models).length}`)
      .join(", "),
  );
});

/** Adds the members that a host's model inherits from its maker's. */
function inheritMembers(one: SourceModel, bases: Models = {}): SourceModel {
  const base = bases[one.base_model ?? ""];
  if (base === undefined) return one;
  const { limit, modalities } = base;
  return { ...base, ...one, limit: { ...limit, ...one.limit }, modalities: { ...modalities, ...one.modalities } };
}

function toLine({ base_model = "", name = "", release_date = "", limit, modalities, ...can }: SourceModel): string {
  const supported = (["reasoning", "tool_call", "structured_output"] as const).filter((one) => can[one] === true);
  const capabilities = [...supported, ...(can.temperature === false ? ["fixed_sampling"] : [])];
  const { input = [], output = [] } = modalities ?? {};
  return [
    name.replaceAll("|", "/"),
    release_date,
    limit?.context ?? "",
    limit?.output ?? "",
    capabilities.join(","),
    input.join(","),
    output.join(","),
    base_model,
  ].join("|");
}

/** Bedrock's `global.` profiles come first: they work from every region. */
function compareReach(a: string, b: string): number {
  return Number(b.startsWith("global.")) - Number(a.startsWith("global.")) || (a < b ? -1 : 1);
}
