import { GatewayError, invalid } from "../../canonical/error.ts";
import type { Provider } from "../../providers/provider.ts";
import type { Config } from "../../routing/config.ts";
import { locate } from "../../routing/locate.ts";

/** Checks the `allowed_models` of a key. Throws `request.invalid` naming the first pattern that no provider serves: a misspelt name would lock the key out. */
export async function requireKnownModels(
  patterns: readonly string[] | undefined,
  providers: ReadonlyMap<string, Provider>,
  { aliases, routes }: Pick<Config, "aliases" | "routes">,
): Promise<void> {
  for (const [i, pattern] of (patterns ?? []).entries()) {
    const name = pattern.toLowerCase();
    const isProvider = name.endsWith("/*") && providers.has(name.slice(0, -2));
    if (isProvider || aliases.has(name) || routes.has(name)) continue;
    const field = `allowed_models[${i}]`;
    if (name.endsWith("*"))
      throw invalid(field, "expected a model, or {provider}/* with a provider of this deployment");
    await locate(pattern, "openai-chat", providers).catch((thrown: unknown): never => {
      if (!(thrown instanceof GatewayError)) throw thrown;
      throw invalid(field, thrown.message.replace(/^model: /, ""));
    });
  }
}
