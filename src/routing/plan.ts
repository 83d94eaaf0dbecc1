import { GatewayError } from "../canonical/error.ts";
import type { Dialect } from "../canonical/types.ts";
import { catalogueOf, makerOf } from "../providers/catalogue.ts";
import type { Provider } from "../providers/provider.ts";
import { isConfigured, missingSetting } from "../providers/table.ts";

/** Where a call goes: a provider, the name it knows the model by, and the wire it is asked over. */
export type Target = { provider: Provider; model: string; dialect: Dialect };

/**
 * The targets of a model, in the order they are tried. `{provider id}/{name}` goes to that provider under that name.
 * Any other name is looked for in the catalogue, `{maker}/{model}` or bare; one too new for it goes to the configured
 * provider that serves names like it. Throws `model.not_found`.
 */
export async function plan(
  asked: string,
  surface: Dialect,
  providers: ReadonlyMap<string, Provider>,
): Promise<[Target, ...Target[]]> {
  const slash = asked.indexOf("/");
  const named = slash > 0 ? providers.get(asked.slice(0, slash).toLowerCase()) : undefined;
  if (named !== undefined && isConfigured(named)) return [target(named, asked.slice(slash + 1), surface)];
  const found = (await catalogueOf(providers)).find(asked);
  if (found !== undefined) return [target(found.provider, found.id, surface)];
  if (named !== undefined) return [target(named, asked.slice(slash + 1), surface)];
  const provider = serving(asked, providers);
  const bare = provider?.serves?.test(asked.toLowerCase()) ? asked : asked.slice(slash + 1);
  if (provider !== undefined) return [target(provider, provider.id === "demo" ? "demo" : bare, surface)];
  throw new GatewayError(
    "model.not_found",
    `model: no provider serves ${JSON.stringify(asked.slice(0, 200))}; write it as {provider}/{model}, with a provider of GET /v1/models`,
    { param: "model" },
  );
}

/** Who serves names like it: of those that do, a configured one. */
function serving(asked: string, providers: ReadonlyMap<string, Provider>): Provider | undefined {
  const [maker, bare] = asked.toLowerCase().split(/\/(.*)/s);
  const all = [...providers.values()].filter(({ serves, maker: own }) => {
    if (serves === undefined) return false;
    if (serves.test(asked.toLowerCase())) return true;
    return bare !== undefined && own !== undefined && makerOf(own) === makerOf(maker!) && serves.test(bare);
  });
  return all.find(isConfigured) ?? all[0];
}

function target(provider: Provider, model: string, surface: Dialect): Target {
  // Dots alone would climb in the provider's path, where the name stands in it.
  if (/^\.*$/.test(model))
    throw new GatewayError("model.not_found", `model: expected a name after ${provider.id}/`, { param: "model" });
  const missing = missingSetting(provider);
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
