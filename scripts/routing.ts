import { GatewayError } from "../src/canonical/error.ts";
import type { Provider } from "../src/providers/provider.ts";
import { isConfigured, readProviders } from "../src/providers/registry.ts";
import { type Config, ConfigError, readConfig, resolveAlias } from "../src/routing/config.ts";
import { locate } from "../src/routing/locate.ts";
import { UserError } from "./user-error.ts";

/**
 * Throws a `UserError` if `RHONE_CONFIG` is invalid or names a model or a provider that does not exist. A target whose
 * provider merely has no key yet is returned as a warning: its route works without it.
 */
export async function checkRouting(environment: Record<string, string | undefined>): Promise<string[]> {
  const config = readRouting(environment.RHONE_CONFIG);
  const { rows } = readProviders(environment);
  const warnings = await Promise.all(listModels(config).map((one) => checkModel(one, rows)));
  return warnings.flat();
}

function readRouting(text: string | undefined): Config {
  try {
    return readConfig(text);
  } catch (error) {
    if (error instanceof ConfigError) throw new UserError(error.message);
    throw error;
  }
}

type NamedModel = { at: string; model: string };

/** Every model in the configuration, with the path of the member that names it. */
function listModels({ aliases, routes }: Config): NamedModel[] {
  const targets = [...routes].flatMap(([name, { targets: all }]) =>
    all.map(({ model }, i) => ({ at: `RHONE_CONFIG.routes.${name}[${i}].target`, model })),
  );
  const aliasTargets = [...aliases.keys()]
    .map((name) => ({ at: `RHONE_CONFIG.aliases.${name}`, model: resolveAlias(name, aliases) }))
    .filter(({ model }) => !routes.has(model.toLowerCase()));
  return [...aliasTargets, ...targets];
}

async function checkModel({ at, model }: NamedModel, rows: ReadonlyMap<string, Provider>): Promise<string[]> {
  const provider = rows.get(model.slice(0, Math.max(0, model.indexOf("/"))).toLowerCase());
  try {
    await locate(model, "openai-chat", rows);
    return [];
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const line = `${at}: ${error.message.replace(/^model: /, "")}`;
    if (provider !== undefined && !isConfigured(provider)) return [line];
    throw new UserError(line);
  }
}
