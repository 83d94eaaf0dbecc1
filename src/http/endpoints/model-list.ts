import type { Catalogue, Model } from "../../providers/catalogue.ts";
import type { Provider } from "../../providers/provider.ts";
import { isConfigured } from "../../providers/registry.ts";

/** A model by the name callers use. `model` is its catalogue entry; absent for the demo and for providers outside the catalogue. */
export type ListedModel = { id: string; provider: Provider; model?: Model };

/**
 * The models of the configured providers: by bare name where it resolves to the provider, else as `{provider}/{model}`.
 * A provider outside the catalogue is one entry, since its models are unknown.
 */
export function listModels(providers: ReadonlyMap<string, Provider>, catalogue: Catalogue): ListedModel[] {
  return [...providers.values()].filter(isConfigured).flatMap((provider) => {
    const known = catalogue.models.filter((model) => model.provider === provider);
    if (provider.id === "demo") return [{ id: "demo", provider }];
    if (known.length === 0) return [{ id: `${provider.id}/*`, provider }];
    return known.map((model) => {
      const bare = model.id.slice(model.id.lastIndexOf("/") + 1);
      const isPlain = catalogue.find(bare) === model && !model.id.startsWith("@");
      return { id: isPlain ? bare : `${provider.id}/${model.id}`, provider, model };
    });
  });
}

/** OpenAI's model object has four members. Clients ignore the additional ones. */
export function asOpenai({ id, provider, model }: ListedModel): object {
  return {
    id,
    object: "model",
    created: Math.floor(releasedAt(model) / 1000),
    owned_by: model?.maker ?? provider.id,
    ...(model !== undefined && {
      provider: provider.id,
      ...(model.context !== undefined && { context_window: model.context }),
      ...(model.maxOutput !== undefined && { max_output_tokens: model.maxOutput }),
      ...(model.capabilities?.length && { capabilities: model.capabilities }),
      ...(model.modalities.input.length > 0 && { modalities: model.modalities }),
    }),
  };
}

/** Anthropic API reference, Models. */
export function asAnthropic({ id, model }: ListedModel): object {
  return {
    type: "model",
    id,
    display_name: model?.name ?? id,
    created_at: new Date(releasedAt(model)).toISOString(),
    max_input_tokens: model?.context ?? null,
    max_tokens: model?.maxOutput ?? null,
  };
}

/** Gemini API reference, models. The resource name has the prefix `models/`. */
export function asGemini({ id, provider, model }: ListedModel): object {
  const embeds = provider.id === "demo" ? ["embedContent", "batchEmbedContents"] : [];
  return {
    name: `models/${id}`,
    displayName: model?.name ?? id,
    ...(model?.context !== undefined && { inputTokenLimit: model.context }),
    ...(model?.maxOutput !== undefined && { outputTokenLimit: model.maxOutput }),
    supportedGenerationMethods: ["generateContent", "streamGenerateContent", "countTokens", ...embeds],
    ...(model?.capabilities?.includes("reasoning") && { thinking: true }),
  };
}

/** Unix milliseconds; the epoch for an unknown date, as in Anthropic's API. */
const releasedAt = (model: Model | undefined): number =>
  model?.released === undefined ? 0 : Date.parse(model.released) || 0;
