import { computeCostMicros, type Price } from "../canonical/usage.ts";
import type { Estimate } from "../keys/budget/grant-pool.ts";
import { loadCatalogue } from "../providers/catalogue.ts";
import { loadPrices } from "../providers/prices.ts";
import type { Provider } from "../providers/provider.ts";
import type { Target } from "../routing/locate.ts";
import type { Context } from "../session/session.ts";
import type { WireItems } from "../session/turns.ts";
import type { ParsedRequest } from "../surfaces/request.ts";

/** Output reserved for a call that sets no bound, unless the model's own maximum is lower. Tokens. */
const DEFAULT_OUTPUT = 4_096;
/** A call without a bound is refused unless the budget's rest pays for its input and this much output. Tokens. */
const MIN_OUTPUT = 16;
/**
 * Reserved for each image or page, in addition to its data: for media given by URL or id the size is unknown. Tokens.
 */
const MEDIA_TOKENS = 4_000;
/**
 * Base64 bytes a token. The size of a document does not bound its text; this is twice the tokens that scanned pages
 * have.
 */
const DATA_BYTES_PER_TOKEN = 8;
/** Context window of the largest model; bounds the input of models that are not in the catalogue. Tokens. */
const MAX_CONTEXT = 1_000_000;

/**
 * Upper bound of the call's cost and tokens at one target. `least`: the cost with the minimum output, for calls without
 * a bound. A model without a price counts for the token limits only.
 */
export async function estimateGeneration(
  request: ParsedRequest,
  { provider, model }: Target,
  bytes: number,
  { providers, at }: { providers: ReadonlyMap<string, Provider>; at: Date },
): Promise<Estimate> {
  const entry = (await loadCatalogue(providers)).at({ provider, model });
  const input = Math.min(boundInput(bytes, request), entry?.context ?? MAX_CONTEXT);
  const choices = request.request.sampling?.n ?? 1;
  const requested = request.request.maxOutput;
  const output = (requested ?? Math.min(entry?.maxOutput ?? DEFAULT_OUTPUT, DEFAULT_OUTPUT)) * choices;
  const tokens = Math.ceil(bytes / 4) + (requested ?? 0) * choices;
  const price = await findPrice(provider, model, at);
  if (price === undefined) return { micros: 0, tokens, isUnpriced: true };
  const least = requested === undefined ? { least: maxCost(input, MIN_OUTPUT, price) } : {};
  return { micros: maxCost(input, output, price), tokens, ...least };
}

/** Prices by provider, then by hour and model. Shared by the calls of an isolate. */
const PRICES = new WeakMap<Provider, Map<string, Price | undefined>>();

/**
 * The price of a model, cached for an hour: prices rarely change, and looking one up takes longer than the rest of the
 * reservation.
 */
async function findPrice(provider: Provider, model: string, at: Date): Promise<Price | undefined> {
  const cached = PRICES.get(provider) ?? new Map<string, Price | undefined>();
  PRICES.set(provider, cached);
  const key = `${Math.floor(at.getTime() / HOUR_MS)} ${model}`;
  if (cached.has(key)) return cached.get(key);
  if (cached.size >= MAX_PRICES) cached.clear();
  const price = (await loadPrices(provider))([model], at);
  cached.set(key, price);
  return price;
}

const HOUR_MS = 3_600_000;
/** Entries a provider; bounds the memory, as callers may name any model. */
const MAX_PRICES = 1_000;

/** The higher cost of an output that is all text or all reasoning: how a model divides it is unknown beforehand. */
function maxCost(fresh: number, output: number, price: Price): number {
  const asReasoning = computeCostMicros({ fresh, output, reasoning: output }, price) ?? 0;
  return Math.max(asReasoning, computeCostMicros({ fresh, output }, price) ?? 0);
}

/**
 * Upper bound of the input's tokens: one a byte for text, as no tokenizer makes more, and separate rates for base64
 * data and for media.
 */
function boundInput(bytes: number, { items, messages }: ParsedRequest): number {
  const data = items.reduce((sum, item) => sum + countDataBytes(item), 0);
  const media = messages.flatMap(({ blocks }) => blocks).filter(({ kind }) => kind === "media").length;
  return bytes - data + Math.ceil(data / DATA_BYTES_PER_TOKEN) + media * MEDIA_TOKENS;
}

/** Bytes in runs of base64 that are too long to be text: 2 KiB and more. */
const countDataBytes = (text: string): number =>
  text.length < 2_048
    ? 0
    : [...text.matchAll(/[A-Za-z0-9+/]{2048,}={0,2}/g)].reduce((sum, [run]) => sum + run.length, 0);

/**
 * UTF-8 bytes of everything the model reads: items of the request, the session's history in place of those that it has,
 * instructions, other members.
 */
export function countBytes(
  { surface, text, members, items, systemCount, addedBytes = 0 }: ParsedRequest,
  { history, known, instructions }: Context,
): number {
  const { layout } = surface.dialect;
  const otherMembers = members.filter(({ key }) => !UNREAD_MEMBERS.has(key) && key !== layout.items);
  const sizes = [
    ...items.filter((_, i) => i < systemCount || i >= systemCount + known).map((item) => Buffer.byteLength(item)),
    ...history.map(sizeOf),
    ...otherMembers.map(({ value }) => Buffer.byteLength(text.slice(value.start, value.end))),
    Buffer.byteLength(instructions?.items ?? ""),
    Buffer.byteLength(instructions?.member?.json ?? ""),
    addedBytes,
  ];
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** UTF-8 bytes of history items. Cached, as a session's history is the same objects from call to call. */
function sizeOf(items: WireItems): number {
  const size = SIZES.get(items) ?? Buffer.byteLength(items.items);
  SIZES.set(items, size);
  return size;
}

const SIZES = new WeakMap<WireItems, number>();

/** Request members that no model reads. */
const UNREAD_MEMBERS = new Set([
  "rhone",
  "model",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "max_output_tokens",
  "metadata",
]);

/** Output assumed for a request without a bound on its output. Tokens. */
const TYPICAL_OUTPUT = 1_000;

/**
 * Expected cost of the call at a target, in micro-dollars; infinite for a model without a known price. `bytes`: from
 * `countBytes`.
 */
export async function expectCost(
  { request }: ParsedRequest,
  { provider, model }: Target,
  bytes: number,
  at: Date,
): Promise<number> {
  const prices = await loadPrices(provider);
  const { maxOutput = TYPICAL_OUTPUT } = request;
  // Tokenizers average four bytes a token.
  const cost = computeCostMicros({ fresh: Math.ceil(bytes / 4), output: maxOutput }, prices([model], at));
  return cost ?? Number.POSITIVE_INFINITY;
}
