import { z } from "zod";
import type { Price, Rate } from "../canonical/usage.ts";
import { isObject, tryParseJson, withoutUndefined } from "../wire/json.ts";
import { formatIssue } from "../wire/zod-issue.ts";
import type { Provider } from "./provider.ts";

/** The price at that time of the first of these model names that has one. */
export type PriceList = (names: readonly string[], at: Date) => Price | undefined;

/** The prices of a provider. Those of the deployment (`RHONE_PRICES`) take precedence over the price data. */
export async function loadPrices({ prices, pricedAs }: Provider): Promise<PriceList> {
  const listed = pricedAs === undefined ? () => undefined : await loadPriceData(pricedAs);
  return (names, at) => {
    const custom = names.map((name) => prices?.get(name.toLowerCase())).find((price) => price !== undefined);
    if (custom !== undefined) return custom;
    const found = names.map((name) => listed(name, at)).find((price) => price !== undefined);
    return found ?? prices?.get("*");
  };
}

/**
 * A provider's prices in `@pydantic/genai-prices`. The package (half a megabyte) is loaded with the first call of an isolate
 * that needs it. Never throws: a model whose data is inconsistent has no price.
 */
async function loadPriceData(providerId: string): Promise<(model: string, at: Date) => Price | undefined> {
  const data = await import("@pydantic/genai-prices").catch(() => undefined);
  return (model, timestamp) => {
    try {
      const found = data?.calcPrice({}, model, { providerId, timestamp });
      return found ? toPrice(found.model_price) : undefined;
    } catch {
      return undefined;
    }
  };
}

type ListedPrice = NonNullable<ReturnType<typeof import("@pydantic/genai-prices").calcPrice>>["model_price"];

/** US dollars per million tokens → ours. A model that is paid by the hour or the page has no price per token. */
function toPrice(listed: ListedPrice): Price | undefined {
  const rate = (key: string): Rate | undefined => toRate(listed[key]);
  const input = rate("input_mtok");
  if (input === undefined) return undefined;
  const perUnit = (key: string): number | undefined => {
    const perThousand = listed[key];
    return typeof perThousand === "number" ? Math.round(perThousand * 1000) : undefined;
  };
  const parts = {
    cacheRead: rate("cache_read_mtok"),
    cacheWrite: rate("cache_write_mtok"),
    cacheWrite1h: rate("cache_write_1h_mtok"),
    reasoning: rate("output_reasoning_mtok"),
    inputAudio: rate("input_audio_mtok"),
    outputAudio: rate("output_audio_mtok"),
    call: perUnit("requests_kcount"),
    search: perUnit("web_searches_kcount"),
  };
  return {
    input,
    // Embeddings have no price for output.
    output: rate("output_mtok") ?? 0,
    ...withoutUndefined(parts),
  };
}

function toRate(price: ListedPrice[string]): Rate | undefined {
  if (price === undefined || typeof price === "number") return price === undefined ? undefined : toMicros(price);
  const tiers = price.tiers.map((tier) => ({ above: tier.start, rate: toMicros(tier.price) }));
  return { base: toMicros(price.base), tiers: tiers.toSorted((a, b) => a.above - b.above) };
}

const toMicros = (dollars: number): number => Math.round(dollars * 1_000_000);

const dollars = z.number().min(0);
const customPrice = z.strictObject({
  input: dollars,
  output: dollars,
  cache_read: dollars.optional(),
  cache_write: dollars.optional(),
  cache_write_1h: dollars.optional(),
});

/**
 * Reads `RHONE_PRICES`: `{"provider/model": {input, output, …}}` in US dollars per million tokens, `provider/*` for all other
 * models of the provider. Returns prices by provider and model; for each invalid entry a message is added to `problems`.
 */
export function readPrices(
  text: unknown,
  rows: ReadonlyMap<string, Provider>,
  problems: string[],
): Map<string, Map<string, Price>> {
  const all = new Map<string, Map<string, Price>>();
  if (text === undefined || text === "") return all;
  const input = typeof text === "string" ? tryParseJson(text) : text;
  if (!isObject(input)) problems.push("RHONE_PRICES: expected a JSON object of prices by provider/model");
  for (const [name, value] of isObject(input) ? Object.entries(input) : []) {
    const slash = name.indexOf("/");
    const id = name.slice(0, Math.max(0, slash)).toLowerCase();
    const parsed = customPrice.safeParse(value);
    if (!rows.has(id)) problems.push(`RHONE_PRICES[${JSON.stringify(name)}]: expected {provider}/{model}`);
    else if (!parsed.success) problems.push(formatIssue(parsed.error, `RHONE_PRICES[${JSON.stringify(name)}]`));
    else
      all.set(
        id,
        (all.get(id) ?? new Map<string, Price>()).set(name.slice(slash + 1).toLowerCase(), toCustomPrice(parsed.data)),
      );
  }
  return all;
}

function toCustomPrice({ input, output, cache_read, cache_write, cache_write_1h }: z.infer<typeof customPrice>): Price {
  return {
    input: toMicros(input),
    output: toMicros(output),
    ...(cache_read !== undefined && { cacheRead: toMicros(cache_read) }),
    ...(cache_write !== undefined && { cacheWrite: toMicros(cache_write) }),
    ...(cache_write_1h !== undefined && { cacheWrite1h: toMicros(cache_write_1h) }),
  };
}
