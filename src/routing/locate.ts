import { GatewayError } from "../canonical/error.ts";
import type { Dialect } from "../canonical/types.ts";
import { loadCatalogue, makerOf } from "../providers/catalogue.ts";
import type { Provider } from "../providers/provider.ts";
import { findMissingSetting, isConfigured } from "../providers/registry.ts";

/** Where a call is sent: a provider, the provider's name of the model, and the dialect of the request. */
export type Target = { provider: Provider; model: string; dialect: Dialect };

/** Identifies a target: `{provider}/{model}`. */
export const targetKeyOf = ({ provider, model }: Target): string => `${provider.id}/${model}`;

/**
 * Identifies a target's breaker. Accounts have breakers of their own: a refused key or used-up quota concerns one account
 * only. So has each `endpoint` other than the generations': a host without it may still generate.
 */
export function healthKeyOf(target: Target, endpoint?: string): string {
  const { account } = target.provider;
  const key = endpoint === undefined ? targetKeyOf(target) : `${targetKeyOf(target)}#${endpoint}`;
  return account === undefined ? key : `${account} ${key}`;
}

/** The issuer of the target's sealed items, which only the same issuer can open. */
export const issuerOf = ({ provider, model }: Target): string =>
  provider.sealsBy === "provider" ? provider.id : `${provider.id}/${model}`;

/**
 * Finds the target for a model name. `{provider id}/{name}` is sent to that provider under that name. Any other name,
 * `{maker}/{model}` or bare, is looked up in the catalogue; a name that the catalogue does not have is sent to a configured
 * provider that serves names of that form. Throws `model.not_found`.
 */
export async function locate(
  requested: string,
  surface: Dialect,
  providers: ReadonlyMap<string, Provider>,
): Promise<Target> {
  const slash = requested.indexOf("/");
  const named = slash > 0 ? providers.get(requested.slice(0, slash).toLowerCase()) : undefined;
  if (named !== undefined && isConfigured(named)) return createTarget(named, requested.slice(slash + 1), surface);
  const found = (await loadCatalogue(providers)).find(requested);
  if (found !== undefined) return createTarget(found.provider, found.id, surface);
  if (named !== undefined) return createTarget(named, requested.slice(slash + 1), surface);
  const provider = findProviderServing(requested, providers);
  const bareName = provider?.serves?.test(requested.toLowerCase()) ? requested : requested.slice(slash + 1);
  if (provider !== undefined) return createTarget(provider, provider.id === "demo" ? "demo" : bareName, surface);
  throw new GatewayError(
    "model.not_found",
    `model: no provider serves ${JSON.stringify(requested.slice(0, 200))}; write it as {provider}/{model}, with a provider of GET /v1/models`,
    { param: "model" },
  );
}

/** The target for a model at a given provider: under its name in the catalogue, or else under the bare name. */
export async function locateAt(provider: Provider, requested: string, surface: Dialect): Promise<Target> {
  const found = (await loadCatalogue(asRegistry(provider))).find(requested);
  return createTarget(provider, found?.id ?? requested.slice(requested.indexOf("/") + 1), surface);
}

/** A map with this provider only. It is the same map each time, because catalogues are cached by map. */
function asRegistry(provider: Provider): ReadonlyMap<string, Provider> {
  const cached = SINGLE_REGISTRIES.get(provider) ?? new Map([[provider.id, provider]]);
  SINGLE_REGISTRIES.set(provider, cached);
  return cached;
}

const SINGLE_REGISTRIES = new WeakMap<Provider, ReadonlyMap<string, Provider>>();

/** A provider that serves model names of this form, preferably a configured one. */
function findProviderServing(requested: string, providers: ReadonlyMap<string, Provider>): Provider | undefined {
  const [maker, bareName] = requested.toLowerCase().split(/\/(.*)/s);
  const all = [...providers.values()].filter(({ serves, maker: ownMaker }) => {
    if (serves === undefined) return false;
    if (serves.test(requested.toLowerCase())) return true;
    return (
      bareName !== undefined && ownMaker !== undefined && makerOf(ownMaker) === makerOf(maker!) && serves.test(bareName)
    );
  });
  return all.find(isConfigured) ?? all[0];
}

/** Throws `model.not_found` if the name is invalid or the provider is not configured. */
function createTarget(provider: Provider, model: string, surface: Dialect): Target {
  // A name of dots only would change the path of providers that have the model in it (`/models/..`).
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
  const byModel = provider.byModel?.find(([models]) => models.test(model.toLowerCase()))?.[1];
  const dialect = byModel ?? (provider.dialects.includes(surface) ? surface : provider.dialects[0]);
  return { provider, model, dialect };
}
