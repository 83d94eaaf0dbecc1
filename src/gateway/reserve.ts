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
const OPEN_OUTPUT = 4_096;
/** What is left of a budget must pay for so much of an answer, or a call without a bound is not begun. Tokens. */
const LEAST_OUTPUT = 16;
/** A picture or a page, whichever way it is given; its data come on top. Tokens. */
const MEDIUM = 4_000;
/** Of data in base64. What it holds in text is not told by its size; this is twice what scanned pages come to. */
const DATA_BYTES_A_TOKEN = 8;
/** What the largest model reads. Tokens. */
const LARGEST_CONTEXT = 1_000_000;

/** The targets that the caller's key may have. Throws `model.not_allowed` when there are none. */
export function allowedTargets(
  caller: Caller,
  { model, rhone: { routing = {} } }: Pick<ParsedRequest, "model" | "rhone">,
  targets: readonly [Target, ...Target[]],
): [Target, ...Target[]] {
  // A name that the key may use leads where the deployment says; other names of the caller's speak for themselves.
  const { models, fallbacks, providers, hedge } = routing as Record<string, unknown>;
  const isNameAlone = [models, fallbacks, providers, hedge].every((wish) => wish === undefined);
  const [first, ...rest] = targets.filter((target) => allowsModel(caller, isNameAlone ? model : "", target));
  if (first !== undefined) return [first, ...rest];
  throw new GatewayError("model.not_allowed", `model: the key may not use ${model.slice(0, 200)}`, { param: "model" });
}

/** Sets aside what the call may take at most, at whichever of its targets. Throws `budget.exceeded` or `rate.limited`. */
export async function reserve(
  { call, request, host, log, context }: Pick<PreparedCall, "call" | "request" | "host" | "log" | "context">,
  targets: readonly Target[],
): Promise<void> {
  log.bytesSent = bytesOf(request, context);
  const reserved = host.budgets.reserve(call.id, call.caller, request.rhone.tags ?? [], async () => {
    const wanted = await Promise.all(
      targets.map((target) =>
        wantedAt(target, host.providers, new Date(call.createdAt), { asked: request, bytes: log.bytesSent }),
      ),
    );
    return wanted.reduce(larger);
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

type Asking = { asked: ParsedRequest; bytes: number };

async function wantedAt(
  { provider, model }: Target,
  providers: ReadonlyMap<string, Provider>,
  at: Date,
  { asked: request, bytes }: Asking,
): Promise<Estimate> {
  const { models } = await catalogueOf(providers);
  const known = models.find((one) => one.provider === provider && one.id === model);
  const input = Math.min(inputBound(bytes, request), known?.context ?? LARGEST_CONTEXT);
  const choices = request.request.sampling?.n ?? 1;
  const given = request.request.maxOutput;
  const output = (given ?? Math.min(known?.maxOutput ?? OPEN_OUTPUT, OPEN_OUTPUT)) * choices;
  const tokens = Math.ceil(bytes / 4) + (given ?? 0) * choices;
  const price = await priceOf(provider, model, at);
  if (price === undefined) return { micros: 0, tokens, isUnpriced: true };
  const least = given === undefined ? { least: mostFor(input, LEAST_OUTPUT, price) } : {};
  return { micros: mostFor(input, output, price), tokens, ...least };
}

const PRICES = new WeakMap<Provider, Map<string, Price | undefined>>();

/** Prices of a day change seldom, and looking one up costs more than all the rest of admission. */
async function priceOf(provider: Provider, model: string, at: Date): Promise<Price | undefined> {
  const known = PRICES.get(provider) ?? new Map<string, Price | undefined>();
  PRICES.set(provider, known);
  const name = `${Math.floor(at.getTime() / HOUR)} ${model}`;
  if (known.has(name)) return known.get(name);
  if (known.size >= MAX_PRICES) known.clear();
  const price = (await pricesOf(provider))([model], at);
  known.set(name, price);
  return price;
}

const HOUR = 3_600_000;
/** A caller may name any model. */
const MAX_PRICES = 1_000;

/** Whether the model thinks all of its output is not known before. */
function mostFor(fresh: number, output: number, price: Price): number {
  const thought = costMicros({ fresh, output, reasoning: output }, price) ?? 0;
  return Math.max(thought, costMicros({ fresh, output }, price) ?? 0);
}

/** No tokenizer makes more tokens than there are bytes; data are no text, and what an address stands for is not here. */
function inputBound(bytes: number, { items, messages }: ParsedRequest): number {
  const data = items.reduce((sum, item) => sum + dataIn(item), 0);
  const media = messages.flatMap(({ blocks }) => blocks).filter(({ kind }) => kind === "media").length;
  return bytes - data + Math.ceil(data / DATA_BYTES_A_TOKEN) + media * MEDIUM;
}

const dataIn = (text: string): number =>
  text.length < 2_048
    ? 0
    : [...text.matchAll(/[A-Za-z0-9+/]{2048,}={0,2}/g)].reduce((sum, [run]) => sum + run.length, 0);

/** Of everything that the model is to read: the list of messages, what is restored before it, and the members beside. */
function bytesOf({ surface, text, members, items }: ParsedRequest, { history, instructions }: Context): number {
  const { layout } = surface.dialect;
  const beside = members.filter(({ key }) => !UNREAD.has(key) && key !== layout.items);
  const sizes = [
    ...items.map((item) => Buffer.byteLength(item)),
    ...history.map(sizeOf),
    ...beside.map(({ value }) => Buffer.byteLength(text.slice(value.start, value.end))),
    Buffer.byteLength(instructions?.items ?? ""),
    Buffer.byteLength(instructions?.member?.json ?? ""),
  ];
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Counted once for a session's history, which grows at its end. */
function sizeOf(passage: WireItems): number {
  const size = SIZES.get(passage) ?? Buffer.byteLength(passage.items);
  SIZES.set(passage, size);
  return size;
}

const SIZES = new WeakMap<WireItems, number>();

/** No model reads these. */
const UNREAD = new Set([
  "rhone",
  "model",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "max_output_tokens",
  "metadata",
]);

const larger = (a: Estimate, b: Estimate): Estimate => ({
  micros: Math.max(a.micros, b.micros),
  tokens: Math.max(a.tokens, b.tokens),
  ...((a.least !== undefined || b.least !== undefined) && { least: Math.max(a.least ?? 0, b.least ?? 0) }),
  ...((a.isUnpriced || b.isUnpriced) && { isUnpriced: true }),
});
