import { GatewayError } from "../canonical/error.ts";
import { costMicros, type Price } from "../canonical/usage.ts";
import { LimitError, type Reservation, type Estimate } from "../keys/budget/grant-pool.ts";
import { catalogueOf } from "../providers/catalogue.ts";
import { pricesOf } from "../providers/prices.ts";
import type { Provider } from "../providers/provider.ts";
import type { Target } from "../routing/locate.ts";
import type { Context } from "../session/session.ts";
import type { WireItems } from "../session/turns.ts";
import type { ParsedRequest } from "../surfaces/request.ts";
import type { PreparedCall } from "./dispatch.ts";
import type { Caller } from "../keys/caller.ts";
import type { CallLog } from "./call/call-log.ts";
import { allowsModel } from "../keys/permissions.ts";

/** The output of a call that bounds none, where the model has no lower bound of its own. Tokens. */
const DEFAULT_OUTPUT = 4_096;
/** What is left of a budget must pay for so much of an answer, or a call without a bound is not begun. Tokens. */
const MIN_OUTPUT = 16;
/** A picture or a page, whichever way it is given; its data come on top. Tokens. */
const MEDIA_TOKENS = 4_000;
/** Of data in base64. What it holds in text is not told by its size; this is twice what scanned pages come to. */
const DATA_BYTES_PER_TOKEN = 8;
/** What the largest model reads. Tokens. */
const MAX_CONTEXT = 1_000_000;

/** The targets that the caller's key may have. Throws `model.not_allowed` when there are none. */
export function allowedTargets(
  caller: Caller,
  { model, rhone: { routing = {} } }: Pick<ParsedRequest, "model" | "rhone">,
  targets: readonly [Target, ...Target[]],
): [Target, ...Target[]] {
  // A name that the key may use leads where the deployment says; other names of the caller's speak for themselves.
  const { models, fallbacks, providers, hedge } = routing as Record<string, unknown>;
  const isNameAlone = [models, fallbacks, providers, hedge].every((value) => value === undefined);
  const [first, ...rest] = targets.filter((target) => allowsModel(caller, isNameAlone ? model : "", target));
  if (first !== undefined) return [first, ...rest];
  throw new GatewayError("model.not_allowed", `model: the key may not use ${model.slice(0, 200)}`, { param: "model" });
}

/** Sets aside what the call may take at most, at whichever of its targets. Throws `budget.exceeded` or `rate.limited`. */
export async function reserve(
  { call, request, host, log, context }: Pick<PreparedCall, "call" | "request" | "host" | "log" | "context">,
  targets: readonly Target[],
): Promise<void> {
  log.bytesSent = countBytes(request, context);
  const reserved = host.budgets.reserve(call.id, call.caller, request.rhone.tags ?? [], async () => {
    const estimates = await Promise.all(
      targets.map((target) =>
        estimateAt(target, host.providers, new Date(call.createdAt), { parsed: request, bytes: log.bytesSent }),
      ),
    );
    return estimates.reduce(mergeEstimates);
  });
  await logReservation(log, reserved);
}

/** What was set aside, and how the limits stand: a refusal says that, too. */
export async function logReservation(log: CallLog, reserved: Promise<Reservation | undefined>): Promise<void> {
  try {
    log.reservation = await reserved;
    log.rates = log.reservation?.rates ?? {};
  } catch (thrown) {
    if (thrown instanceof LimitError) log.rates = thrown.rates;
    throw thrown;
  }
}

type SizedRequest = { parsed: ParsedRequest; bytes: number };

async function estimateAt(
  { provider, model }: Target,
  providers: ReadonlyMap<string, Provider>,
  at: Date,
  { parsed: request, bytes }: SizedRequest,
): Promise<Estimate> {
  const { models } = await catalogueOf(providers);
  const known = models.find((one) => one.provider === provider && one.id === model);
  const input = Math.min(boundInput(bytes, request), known?.context ?? MAX_CONTEXT);
  const choices = request.request.sampling?.n ?? 1;
  const requested = request.request.maxOutput;
  const output = (requested ?? Math.min(known?.maxOutput ?? DEFAULT_OUTPUT, DEFAULT_OUTPUT)) * choices;
  const tokens = Math.ceil(bytes / 4) + (requested ?? 0) * choices;
  const price = await findPrice(provider, model, at);
  if (price === undefined) return { micros: 0, tokens, isUnpriced: true };
  const least = requested === undefined ? { least: maxCost(input, MIN_OUTPUT, price) } : {};
  return { micros: maxCost(input, output, price), tokens, ...least };
}

const PRICES = new WeakMap<Provider, Map<string, Price | undefined>>();

/** Prices of a day change seldom, and looking one up costs more than all the rest of admission. */
async function findPrice(provider: Provider, model: string, at: Date): Promise<Price | undefined> {
  const known = PRICES.get(provider) ?? new Map<string, Price | undefined>();
  PRICES.set(provider, known);
  const name = `${Math.floor(at.getTime() / HOUR_MS)} ${model}`;
  if (known.has(name)) return known.get(name);
  if (known.size >= MAX_PRICES) known.clear();
  const price = (await pricesOf(provider))([model], at);
  known.set(name, price);
  return price;
}

const HOUR_MS = 3_600_000;
/** A caller may name any model. */
const MAX_PRICES = 1_000;

/** Whether the model thinks all of its output is not known before. */
function maxCost(fresh: number, output: number, price: Price): number {
  const asReasoning = costMicros({ fresh, output, reasoning: output }, price) ?? 0;
  return Math.max(asReasoning, costMicros({ fresh, output }, price) ?? 0);
}

/** No tokenizer makes more tokens than there are bytes; data are no text, and what an address stands for is not here. */
function boundInput(bytes: number, { items, messages }: ParsedRequest): number {
  const data = items.reduce((sum, item) => sum + countDataBytes(item), 0);
  const media = messages.flatMap(({ blocks }) => blocks).filter(({ kind }) => kind === "media").length;
  return bytes - data + Math.ceil(data / DATA_BYTES_PER_TOKEN) + media * MEDIA_TOKENS;
}

const countDataBytes = (text: string): number =>
  text.length < 2_048
    ? 0
    : [...text.matchAll(/[A-Za-z0-9+/]{2048,}={0,2}/g)].reduce((sum, [run]) => sum + run.length, 0);

/** Of everything that the model is to read: the list of messages, what is restored before it, and the members beside. */
function countBytes({ surface, text, members, items }: ParsedRequest, { history, instructions }: Context): number {
  const { layout } = surface.dialect;
  const otherMembers = members.filter(({ key }) => !UNREAD_MEMBERS.has(key) && key !== layout.items);
  const sizes = [
    ...items.map((item) => Buffer.byteLength(item)),
    ...history.map(sizeOf),
    ...otherMembers.map(({ value }) => Buffer.byteLength(text.slice(value.start, value.end))),
    Buffer.byteLength(instructions?.items ?? ""),
    Buffer.byteLength(instructions?.member?.json ?? ""),
  ];
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Counted once for a session's history, which grows at its end. */
function sizeOf(items: WireItems): number {
  const size = SIZES.get(items) ?? Buffer.byteLength(items.items);
  SIZES.set(items, size);
  return size;
}

const SIZES = new WeakMap<WireItems, number>();

/** No model reads these. */
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

const mergeEstimates = (a: Estimate, b: Estimate): Estimate => ({
  micros: Math.max(a.micros, b.micros),
  tokens: Math.max(a.tokens, b.tokens),
  ...((a.least !== undefined || b.least !== undefined) && { least: Math.max(a.least ?? 0, b.least ?? 0) }),
  ...((a.isUnpriced || b.isUnpriced) && { isUnpriced: true }),
});
