import type { Provider } from "./provider.ts";
import { isConfigured } from "./registry.ts";

/** A model at a provider, as far as it is known. */
export type Model = {
  provider: Provider;
  /** The provider's own name for it. */
  id: string;
  name?: string;
  maker?: string;
  /** YYYY-MM-DD */
  released?: string;
  /** Tokens. */
  context?: number;
  maxOutput?: number;
  capabilities: string[];
  modalities: { input: string[]; output: string[] };
};

/** What the configured providers can be asked for. */
export type Catalogue = {
  models: readonly Model[];
  /** The model that a name means: a provider's own, `{maker}/{model}`, or bare; in any case. */
  find: (asked: string) => Model | undefined;
};

const CATALOGUES = new WeakMap<object, Catalogue>();

/**
 * The catalogue of these rows, made once. The data is loaded with the first question. What is kept is the catalogue, not
 * its promise: in a Worker one request must not wait for another's.
 */
export async function loadCatalogue(providers: ReadonlyMap<string, Provider>): Promise<Catalogue> {
  const known = CATALOGUES.get(providers) ?? (await buildCatalogue(providers));
  CATALOGUES.set(providers, known);
  return known;
}

async function buildCatalogue(providers: ReadonlyMap<string, Provider>): Promise<Catalogue> {
  const { default: data } = await import("./catalogue.json", { with: { type: "json" } });
  const lines: Readonly<Record<string, Readonly<Record<string, string>>>> = data;
  const models = [...providers.values()]
    .filter(isConfigured)
    .flatMap((provider) =>
      Object.entries(lines[provider.id] ?? {}).map(([id, line]) => parseModel(provider, id, line)),
    );
  const exact = groupModels(models, ({ id }) => [id.toLowerCase()]);
  const byKey = groupModels(models, ({ id }) => [normalizeModelName(id)]);
  const undated = groupModels(models, ({ id }) => [normalizeModelName(id).replace(DATE, "")]);
  const find = (asked: string): Model | undefined => {
    const same = exact.get(asked.toLowerCase());
    if (same !== undefined) return same[0];
    const maker = asked.includes("/") ? makerOf(asked.slice(0, asked.indexOf("/"))) : undefined;
    const key = normalizeModelName(asked);
    return [...(byKey.get(key) ?? []), ...(undated.get(key) ?? [])].find(
      (model) => maker === undefined || model.maker === undefined || model.maker === maker,
    );
  };
  return { models, find };
}

/** See `scripts/catalogue.ts` for the line. */
function parseModel(provider: Provider, id: string, line: string): Model {
  const [name, released, context, maxOutput, capabilities, input, output, canonical] = line.split("|");
  const maker =
    provider.maker ?? makerPrefixOf(canonical) ?? (id.includes("anthropic.") ? "anthropic" : makerPrefixOf(id));
  return {
    provider,
    id,
    ...(name && { name }),
    ...(maker !== undefined && { maker: makerOf(maker) }),
    ...(released && { released }),
    ...(context && { context: Number(context) }),
    ...(maxOutput && { maxOutput: Number(maxOutput) }),
    capabilities: splitList(capabilities),
    modalities: { input: splitList(input), output: splitList(output) },
  };
}

const splitList = (text = ""): string[] => (text === "" ? [] : text.split(","));

/** `accounts/fireworks/models/…` says nothing of a maker. */
const makerPrefixOf = (id = ""): string | undefined => /^(?<maker>[^/@]+)\/[^/]+$/.exec(id)?.groups?.maker;

/** What makers call themselves, and what others call them. */
const MAKERS: Record<string, string> = {
  gemini: "google",
  xai: "x-ai",
  moonshot: "moonshotai",
  mistral: "mistralai",
  "deepseek-ai": "deepseek",
  "meta-llama": "meta",
  "zai-org": "z-ai",
  zai: "z-ai",
};

export const makerOf = (word: string): string => MAKERS[word.toLowerCase()] ?? word.toLowerCase();

const DATE = /-20\d{6}$/;

/**
 * One key for all the spellings of a model: `anthropic/claude-sonnet-4.5`, `claude-sonnet-4-5`, Fireworks' `kimi-k2p6`,
 * Vertex's `…@20250929`, Bedrock's `global.anthropic.…-v1:0`.
 */
function normalizeModelName(name: string): string {
  const tail = name.slice(name.lastIndexOf("/") + 1).toLowerCase();
  return tail
    .replace(/^((global|us|eu|apac|jp|au)\.)?anthropic\.(.*?)(-v\d+(:\d+)?)?$/, "$3")
    .replace(/@default$/, "")
    .replace(/(\d)p(\d)/g, "$1-$2")
    .replace(/[.@:]/g, "-");
}

function groupModels(models: readonly Model[], keysOf: (model: Model) => string[]): Map<string, Model[]> {
  const groups = new Map<string, Model[]>();
  for (const model of models) for (const key of keysOf(model)) groups.set(key, [...(groups.get(key) ?? []), model]);
  return groups;
}
