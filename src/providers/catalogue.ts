import type { ModelTraits } from "../dialects/dialect.ts";
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
  /** What requests to a target depend on: by its own entry, and by its maker's where a maker alone has models of that name. */
  describe: (target: { provider: Provider; model: string }) => ModelTraits;
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
  const rows: CatalogueRows = data;
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
  const describe: Catalogue["describe"] = (target) => ({
    ...toTraits(findAtMaker(rows, normalizeModelName(target.model))),
    ...toTraits(at(target)),
  });
  return { models, find, at, describe };
}

/** The data: by provider and the provider's name of the model, a line as `scripts/catalogue.ts` writes it. */
type CatalogueRows = Readonly<Record<string, Readonly<Record<string, string>>>>;

/**
 * The makers' providers whose models are the same at every host. Of open models each host decides what it accepts: its limits
 * are its own.
 */
const CLOSED_MAKERS = ["openai", "anthropic", "gemini", "xai"];
const OPEN_MODEL = /^(gemma|gpt-oss)-/;

/** The maker's entry of a model of this name, whether the maker is configured as a provider or not. */
function findAtMaker(rows: CatalogueRows, name: string): ModelEntry | undefined {
  BY_NAME ??= new Map(
    CLOSED_MAKERS.flatMap((maker) => Object.entries(rows[maker] ?? {}))
      .filter(([id]) => !OPEN_MODEL.test(id))
      .flatMap(([id, line]) => {
        const key = normalizeModelName(id);
        return [key.replace(DATE, ""), key].map((one) => [one, line] as const);
      }),
  );
  const line = BY_NAME.get(name) ?? BY_NAME.get(name.replace(DATE, ""));
  return line === undefined ? undefined : parseLine(name, line);
}

let BY_NAME: ReadonlyMap<string, string> | undefined;

function toTraits(model: ModelEntry | undefined): ModelTraits {
  if (model === undefined) return {};
  const { maxOutput, capabilities, fixedSampling } = model;
  return {
    ...(maxOutput !== undefined && { maxOutput }),
    ...(capabilities !== undefined && { reasons: capabilities.includes("reasoning") }),
    ...(fixedSampling && { fixedSampling }),
  };
}

function parseModel(provider: Provider, id: string, line: string): Model {
  const entry = parseLine(id, line);
  const { maker: listed } = entry;
  const maker = provider.maker ?? listed ?? (id.includes("anthropic.") ? "anthropic" : makerPrefixOf(id));
  return { provider, ...entry, ...(maker !== undefined && { maker: makerOf(maker) }) };
}

/** `line`: fields separated by `|`. `maker`: only of a line that names one. */
function parseLine(id: string, line: string): ModelEntry {
  const [name, released, context, maxOutput, listed, input, output, canonical] = line.split("|");
  const all = splitList(listed);
  const capabilities = all.filter((one) => one !== "fixed_sampling");
  // Of a model that only the price data have, neither is known.
  const isKnown = all.length > 0 || input !== "";
  const maker = makerPrefixOf(canonical);
  return {
    id,
    ...(name && { name }),
    ...(maker !== undefined && { maker }),
    ...(released && { released }),
    ...(context && { context: Number(context) }),
    ...(maxOutput && { maxOutput: Number(maxOutput) }),
    ...(isKnown && { capabilities }),
    ...(capabilities.length < all.length && { fixedSampling: true }),
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
