import { gzipSync } from "node:zlib";
import { answerOdd } from "./odd.ts";
import { json } from "./scene.ts";

/** A provider, by its path's wire and its model's name. */
type Answer = (request: Request) => Promise<Response>;
type Dialect = "openai-chat" | "openai-responses" | "anthropic" | "gemini" | "native";

/** What a try of a gateway looked like from here. Milliseconds; `status` is absent while nothing was answered. */
export type Tried = { model: string; at: number; status?: number };

/** Everything asked of the faults below, in order. */
export const tried: Tried[] = [];

/** Times in milliseconds. What stalls does so for longer than any test waits. */
const LONG = 600_000;
const SLOW = 400;
/** Later than the limit that a test sets for a target with a fallback. */
const LATE = 4_000;

/**
 * A fault stands in for a good answer: `good` gives it, `odd` the answer of that name in `odd.ts`, `count` tells how often
 * this model was asked, from 1. `endsWithAssistant`: the request's last message is the assistant's.
 */
type Fault = (told: {
  good: () => Promise<Response>;
  odd: () => Promise<Response>;
  count: number;
  dialect: Dialect;
  endsWithAssistant: boolean;
}) => Response | Promise<Response>;

const okAfter =
  (failures: number, failed: Fault): Fault =>
  (told) =>
    told.count <= failures ? failed(told) : told.good();

const failing: Fault = ({ dialect }) => refusal(dialect, 500);
const limited =
  (headers: Record<string, string> = {}): Fault =>
  ({ dialect }) =>
    refusal(dialect, 429, headers);

/**
 * What can go wrong with a provider, by the model's name: `fault-{name}`, and behind a dot anything that makes it a
 * model of its own, with a count of its own (`fault-500-once.a`). A name that is none of these answers well.
 */
export const FAULTS: Record<string, Fault> = {
  none: ({ good }) => good(),
  "500-once": okAfter(1, failing),
  "500-always": failing,
  "503-while": okAfter(4, ({ dialect }) => refusal(dialect, 503)),
  "429-after": okAfter(1, limited({ "retry-after": "1" })),
  "429-bare": okAfter(1, limited()),
  "429-always": limited({ "retry-after": "3600" }),
  // Every second request fails, the first one too.
  flapping: (told) => (told.count % 2 === 0 ? told.good() : failing(told)),
  // The server that the answer goes through breaks the connection.
  reset: () => new Response(null, { status: 599, headers: { "x-fake": "reset" } }),
  blackhole: async () => {
    await wait(LONG);
    return new Response(null, { status: 599 });
  },
  silent: ({ good }) => framed(good, (frames) => [LONG, ...frames]),
  stall: ({ good }) => framed(good, (frames) => [...begun(frames), LONG]),
  cut: ({ good }) => framed(good, (frames) => [...begun(frames), 20, new Error("connection reset")]),
  ended: ({ good }) => framed(good, begun),
  malformed: ({ good }) => framed(good, (frames) => [...begun(frames), 20, "data: {nonsense\n\n"]),
  // All of the answer, with what is no JSON before each of its frames, or behind the last one.
  "malformed-between": ({ good }) =>
    framed(good, (frames) => frames.flatMap((frame) => ["data: {nonsense\n\n", 5, frame])),
  "malformed-behind": ({ good }) => framed(good, (frames) => [...frames, 20, "data: {nonsense\n\n"]),
  "malformed-first": ({ good }) => framed(good, () => ["data: {nonsense\n\n"]),
  unfinished: ({ good }) => framed(good, (frames) => begun(frames).slice(0, -1)),
  error: ({ good, dialect }) => framed(good, (frames) => [...begun(frames), 20, errorFrame(dialect)]),
  "error-first": ({ good, dialect }) => framed(good, (frames) => [...begun(frames).slice(0, -1), errorFrame(dialect)]),
  "context-length": ({ dialect }) => refusal(dialect, 400, {}, TOO_LONG[dialect]),
  "content-filter": ({ dialect }) => refusal(dialect, 400, {}, FILTERED),
  "bad-key": ({ dialect }) => refusal(dialect, 401),
  // Some models do not complete an answer that the request begins.
  "no-prefill": ({ dialect, good, endsWithAssistant }) =>
    endsWithAssistant ? refusal(dialect, 400, {}, NO_PREFILL) : good(),
  "error-counting": ({ odd }) => odd(),
  "slow-first": ({ good }) => framed(good, (frames) => [SLOW, ...frames]),
  "late-first": ({ good }) => framed(good, (frames) => [LATE, ...frames]),
  pauses: ({ good }) => framed(good, (frames) => frames.flatMap((frame) => [frame, 60])),
  trickle: ({ good }) =>
    framed(good, (frames) => [
      SLOW,
      ...frames
        .join("")
        .match(/[^]{1,400}/g)!
        .flatMap((piece) => [piece, 1]),
    ]),
  oversized: ({ good }) => framed(good, (frames) => [`: ${"x".repeat(9 * 1024 * 1024)}\n\n`, ...frames]),
  // Its first frame, in which some wires count already, and no word after it.
  mute: ({ good }) => framed(good, ([first]) => [first!, LONG]),
  // A whole answer without one, which is counted all the same.
  hollow: async ({ good }) => {
    const said = await (await good()).json();
    return json({ ...Object(said), choices: [], content: undefined, candidates: [], output: undefined });
  },
  // A good answer under the name of another type.
  mislabelled: async ({ good }) => {
    const { status, body } = await good();
    return new Response(body, { status, headers: { "content-type": "text/html; charset=utf-8" } });
  },
  "mislabelled-stream": async ({ good }) => {
    const { status, body } = await good();
    return new Response(body, { status, headers: { "content-type": "text/event-stream" } });
  },
  "mislabelled-400": ({ dialect }) =>
    new Response(refusal(dialect, 400).body, { status: 400, headers: { "content-type": "text/plain" } }),
  html: () => new Response("<html>It works!</html>", { headers: { "content-type": "text/html" } }),
  // Over a real connection only: a function that stands in for the network has its answer encoded by Miniflare, which
  // goes by these headers and compresses JSON a second time.
  gzip: async ({ good }) => {
    const { status, headers, body } = await good();
    const bytes = gzipSync(Buffer.from(await new Response(body).arrayBuffer()));
    return new Response(bytes, { status, headers: { ...Object.fromEntries(headers), "content-encoding": "gzip" } });
  },
  redirect: () => new Response(null, { status: 307, headers: { location: "http://elsewhere.test/" } }),
  "many-headers": async ({ good }) => {
    const { status, headers, body } = await good();
    const flood = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`x-flood-${i}`, "y".repeat(100)]));
    return new Response(body, { status, headers: { ...Object.fromEntries(headers), ...flood } });
  },
};

const counts = new Map<string, number>();

/** The provider with its faults, and `GET /log`, `DELETE /log` for what was tried. */
export const withFaults =
  (answer: Answer): Answer =>
  async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname.endsWith("/log")) return log(request.method, searchParams.get("model"));
    const raw = await request.text();
    const model = modelOf(pathname, raw);
    const name = /^fault-([^.]+)/.exec(model)?.[1];
    const again = (body: string): Request =>
      new Request(request.url, { method: request.method, headers: request.headers, ...(raw !== "" && { body }) });
    if (name === undefined) return await answer(again(raw));
    const fault = FAULTS[name] ?? FAULTS.none!;
    const count = (counts.get(model) ?? 0) + 1;
    counts.set(model, count);
    const noted: Tried = { model, at: Date.now() };
    tried.push(noted);
    const response = await fault({
      good: () => answer(again(raw)),
      odd: () => answerOdd(new Request(request.url.replace("fault-", "odd-"), { method: "POST", body: oddOf(raw) })),
      count,
      dialect: dialectOf(pathname),
      endsWithAssistant: endsWithAssistant(raw),
    });
    noted.status = response.status;
    return response;
  };

const oddOf = (raw: string): string => raw.replace(/("model"\s*:\s*")fault-/, "$1odd-");

/** Whether the last message of a request is the assistant's, in any dialect. */
export function endsWithAssistant(raw: string): boolean {
  const { messages, input, contents } = JSON.parse(raw) as Record<string, unknown>;
  const last = [messages, input, contents].find((list) => Array.isArray(list))?.at(-1) as
    | { role?: string; type?: string }
    | undefined;
  return last?.role === "assistant" || last?.role === "model" || last?.type === "response";
}

function log(method: string, model: string | null): Response {
  const found = tried.filter((one) => model === null || one.model === model);
  if (method === "DELETE") {
    tried.length = 0;
    counts.clear();
  }
  return json(found);
}

function modelOf(pathname: string, raw: string): string {
  const inPath = /\/models\/([^:]+):\w+$/.exec(pathname)?.[1];
  if (inPath !== undefined) return decodeURIComponent(inPath);
  return /"model"\s*:\s*"(fault-[^"]*)"/.exec(raw)?.[1] ?? "";
}

function dialectOf(pathname: string): Dialect {
  if (pathname.endsWith("/responses")) return "openai-responses";
  if (pathname.endsWith("/messages")) return "anthropic";
  if (pathname.endsWith("/calls")) return "native";
  return pathname.includes("/models/") ? "gemini" : "openai-chat";
}

const wait = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref?.();
  });

/** A frame, a pause in milliseconds, or the end of the connection. */
type Step = string | number | Error;

/** The good stream's frames, changed; of a whole answer, its text in four pieces. */
async function framed(good: () => Promise<Response>, change: (frames: string[]) => Iterable<Step>): Promise<Response> {
  const response = await good();
  const text = await response.text();
  const isStream = response.headers.get("content-type")!.includes("event-stream");
  const quarter = new RegExp(`[^]{1,${Math.ceil(text.length / 4)}}`, "g");
  const frames = isStream ? text.split(/(?<=\n\n)/) : text.match(quarter)!;
  const steps = change(frames)[Symbol.iterator]();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value: step, done } = steps.next();
      if (done) return controller.close();
      if (typeof step === "string") return controller.enqueue(new TextEncoder().encode(step));
      if (step instanceof Error) return controller.error(step);
      await wait(step);
      return this.pull!(controller);
    },
  });
  return new Response(body, { status: response.status, headers: response.headers });
}

/** Up to and with the first content, never all: what a client has seen when the stream breaks. */
function begun(frames: string[]): string[] {
  const first = frames.findIndex((frame) => /"(content|text|delta)":\s*"[^"]|"text_delta"/.test(frame));
  return frames.slice(0, Math.max(1, Math.min(first + 1, frames.length - 1)));
}

type Refusal = { message: string; code?: string };
const TOO_LONG: Record<Dialect, Refusal> = {
  "openai-chat": { message: "maximum context length is 8192 tokens", code: "context_length_exceeded" },
  "openai-responses": { message: "maximum context length is 8192 tokens", code: "context_length_exceeded" },
  anthropic: { message: "prompt is too long: 300000 tokens > 200000 maximum" },
  gemini: { message: "The input token count (300000) exceeds the maximum number of tokens allowed (200000)." },
  native: { message: "The input exceeds the context window of the model", code: "context.too_long" },
};
const FILTERED = { message: "The prompt was refused by a content filter", code: "content_filter" };
const NO_PREFILL = { message: "The conversation must end with a user message" };

const KINDS: Record<number, { anthropic: string; openai: string; gemini: string }> = {
  400: { anthropic: "invalid_request_error", openai: "invalid_request_error", gemini: "INVALID_ARGUMENT" },
  401: { anthropic: "authentication_error", openai: "authentication_error", gemini: "UNAUTHENTICATED" },
  429: { anthropic: "rate_limit_error", openai: "rate_limit_error", gemini: "RESOURCE_EXHAUSTED" },
  500: { anthropic: "api_error", openai: "server_error", gemini: "INTERNAL" },
  503: { anthropic: "overloaded_error", openai: "server_error", gemini: "UNAVAILABLE" },
};

function errorBody(dialect: Dialect, status: number, { message, code }: Refusal): object {
  if (dialect === "native") return { error: { code: code ?? `http_${status}`, message } };
  const kind = KINDS[status]!;
  if (dialect === "anthropic") return { type: "error", error: { type: kind.anthropic, message } };
  if (dialect === "gemini") return { error: { code: status, message, status: kind.gemini } };
  return { error: { message, type: kind.openai, param: null, code: code ?? null } };
}

const refusal = (
  dialect: Dialect,
  status: number,
  headers: Record<string, string> = {},
  said: Refusal = { message: `Fault ${status}` },
): Response => json(errorBody(dialect, status, said), status, headers);

function errorFrame(dialect: Dialect): string {
  const said = { message: "Overloaded" };
  if (dialect === "anthropic") return `event: error\ndata: ${JSON.stringify(errorBody(dialect, 503, said))}\n\n`;
  if (dialect === "native") {
    const call = { id: "call_fake", object: "call", status: "failed" };
    const error = { code: "provider.execution_failed", ...said };
    return `event: call.failed\ndata: ${JSON.stringify({ type: "call.failed", call, error })}\n\n`;
  }
  if (dialect !== "openai-responses") return `data: ${JSON.stringify(errorBody(dialect, 503, said))}\n\n`;
  const response = { id: "resp_fake", object: "response", status: "failed", output: [], model: "m" };
  const error = { code: "server_error", message: said.message };
  return `event: response.failed\ndata: ${JSON.stringify({ type: "response.failed", response: { ...response, error } })}\n\n`;
}
