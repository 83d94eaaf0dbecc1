import { GatewayError } from "../canonical/error.ts";
import type { Dialect } from "../canonical/types.ts";
import { loadCatalogue, makerOf } from "../providers/catalogue.ts";
import type { Provider } from "../providers/provider.ts";
import { isConfigured, findMissingSetting } from "../providers/registry.ts";

/** Where a call goes: a provider, the name it knows the model by, and the wire it is asked over. */
export type Target = { provider: Provider; model: string; dialect: Dialect };

/** A target's name, for whoever keeps something about it. */
export const targetKeyOf = ({ provider, model }: Target): string => `${provider.id}/${model}`;

/** The same for what is known of its health: one account's refused key or spent quota says nothing of another's. */
export const healthKeyOf = (target: Target): string =>
  target.provider.account === undefined ? targetKeyOf(target) : `${target.provider.account} ${targetKeyOf(target)}`;

/** Who made what it seals, and alone can open it. */
export const issuerOf = ({ provider, model }: Target): string =>
  provider.sealsBy === "provider" ? provider.id : `${provider.id}/${model}`;

/**
 * Where a model is. `{provider id}/{name}` is that provider's under that name. Any other name is looked for in the
 * catalogue, `{maker}/{model}` or bare; one too new for it is the configured provider's that serves names like it.
 * Throws `model.not_found`.
 */
export async function locate(
  asked: string,
  surface: Dialect,
  providers: ReadonlyMap<string, Provider>,
): Promise<Target> {
  const slash = asked.indexOf("/");
  const named = slash > 0 ? providers.get(asked.slice(0, slash).toLowerCase()) : undefined;
  if (named !== undefined && isConfigured(named)) return createTarget(named, asked.slice(slash + 1), surface);
  const found = (await loadCatalogue(providers)).find(asked);
  if (found !== undefined) return createTarget(found.provider, found.id, surface);
  if (named !== undefined) return createTarget(named, asked.slice(slash + 1), surface);
  const provider = findProviderServing(asked, providers);
  const bare = provider?.serves?.test(asked.toLowerCase()) ? asked : asked.slice(slash + 1);
  if (provider !== undefined) return createTarget(provider, provider.id === "demo" ? "demo" : bare, surface);
  throw new GatewayError(
    "model.not_found",
    `model: no provider serves ${JSON.stringify(asked.slice(0, 200))}; write it as {provider}/{model}, with a provider of GET /v1/models`,
    { param: "model" },
  );
}

/** Where a model is at this one provider: under the name the catalogue has there, else under its bare name. */
export async function locateAt(provider: Provider, asked: string, surface: Dialect): Promise<Target> {
  const found = (await loadCatalogue(asRegistry(provider))).find(asked);
  return createTarget(provider, found?.id ?? asked.slice(asked.indexOf("/") + 1), surface);
}

/** A provider as a table of its own: one and the same each time, since a catalogue is kept for each table. */
function asRegistry(provider: Provider): ReadonlyMap<string, Provider> {
  const known = SINGLE_REGISTRIES.get(provider) ?? new Map([[provider.id, provider]]);
  SINGLE_REGISTRIES.set(provider, known);
  return known;
}

const SINGLE_REGISTRIES = new WeakMap<Provider, ReadonlyMap<string, Provider>>();

/** Who serves names like it: of those that do, a configured one. */
function findProviderServing(asked: string, providers: ReadonlyMap<string, Provider>): Provider | undefined {
  const [maker, bare] = asked.toLowerCase().split(/\/(.*)/s);
  const all = [...providers.values()].filter(({ serves, maker: own }) => {
    if (serves === undefined) return false;
    if (serves.test(asked.toLowerCase())) return true;
    return bare !== undefined && own !== undefined && makerOf(own) === makerOf(maker!) && serves.test(bare);
  });
  return all.find(isConfigured) ?? all[0];
}

function createTarget(provider: Provider, model: string, surface: Dialect): Target {
  // Dots alone would climb in the provider's path, where the name stands in it.
  if (/^\.*$/.test(model))
    throw new GatewayError("model.not_found", `model: expected a name after ${provider.id}/`, { param: "model" });
  const missing = findMissingSetting(provider);
  if (missing !== undefined) {
    throw new GatewayError(
      "model.not_found",
      `model: provider ${provider.id} is not configured, ${missing} is not set`,
      { param: "model" },
    );
  }
  const own = provider.byModel?.find(([models]) => models.test(model.toLowerCase()))?.[1];
  const dialect = own ?? (provider.dialects.includes(surface) ? surface : provider.dialects[0]);
  return { provider, model, dialect };
}
