import { lookUp } from "../wire/json.ts";
import type { ModelEntry, Provider } from "./provider.ts";
import { isConfigured } from "./registry.ts";

/** A model at a provider. */
export type Model = ModelEntry & { provider: Provider };

/** The models of the configured providers. */
export type Catalogue = {
  models: readonly Model[];
  /** Finds a model by the provider's name, `{maker}/{model}` or the bare name. Case is ignored. */
  find: (requested: string) => Model | undefined;
  /** The model of a target: by the provider's exact name. */
  at: (target: { provider: Provider; model: string }) => Model | undefined;
};

const CATALOGUES = new WeakMap<object, Catalogue>();

/**
 * The catalogue of these providers, built once per map. The data is loaded on first use. The catalogue is cached and not its
 * promise: in a Worker a request must not await the I/O of another one.
 */
export async function loadCatalogue(providers: ReadonlyMap<string, Provider>): Promise<Catalogue> {
  const cached = CATALOGUES.get(providers) ?? (await buildCatalogue(providers));
  CATALOGUES.set(providers, cached);
  return cached;
}

async function buildCatalogue(providers: ReadonlyMap<string, Provider>): Promise<Catalogue> {
  const { default: data } = await import("./catalogue.json", { with: { type: "json" } });
  const rows: Readonly<Record<string, Readonly<Record<string, string>>>> = data;
  const models = [...providers.values()].filter(isConfigured).flatMap((provider) => {
    const own = (provider.models ?? []).map((model) => ({ provider, ...model }));
    const listed = Object.entries(rows[provider.id] ?? {}).filter(([id]) => own.every((model) => model.id !== id));
    return [...own, ...listed.map(([id, line]) => parseModel(provider, id, line))];
  });
  const exact = groupModels(models, ({ id }) => [id.toLowerCase()]);
  const byKey = groupModels(models, ({ id }) => [normalizeModelName(id)]);
  const undated = groupModels(models, ({ id }) => [normalizeModelName(id).replace(DATE, "")]);
  const find = (requested: string): Model | undefined => {
    const exactMatches = exact.get(requested.toLowerCase());
    if (exactMatches !== undefined) return exactMatches[0];
    const maker = requested.includes("/") ? makerOf(requested.slice(0, requested.indexOf("/"))) : undefined;
    const key = normalizeModelName(requested);
    return [...(byKey.get(key) ?? []), ...(undated.get(key) ?? [])].find(
      (model) => maker === undefined || model.maker === undefined || model.maker === maker,
    );
  };
  const at: Catalogue["at"] = ({ provider, model }) =>
    (exact.get(model.toLowerCase()) ?? []).find((one) => one.provider === provider && one.id === model);
  return { models, find, at };
}

/** `line`: the compact form that `scripts/catalogue.ts` writes, fields separated by `|`. */
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

/** The maker in `{maker}/{model}`. Undefined for other forms, such as `accounts/fireworks/models/…`. */
const makerPrefixOf = (id = ""): string | undefined => /^(?<maker>[^/@]+)\/[^/]+$/.exec(id)?.groups?.maker;

/** Other names of makers → the catalogue's name. */
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

/** The catalogue's name of a maker. */
export const makerOf = (name: string): string => lookUp(MAKERS, name.toLowerCase()) ?? name.toLowerCase();

/** The date at the end of a dated model name. */
const DATE = /-20\d{6}$/;

/**
 * One spelling for all names of a model: `anthropic/claude-sonnet-4.5`, `claude-sonnet-4-5`, Fireworks' `kimi-k2p6`,
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
