import OpenAI from "openai";
import { describe, expect, inject, it } from "vitest";
import { encodeUtf8 } from "../../src/wire/bytes.ts";
import { decodeSse } from "../../src/wire/sse.ts";
import { type Seen, WHOLE } from "../fake/wire.ts";
import { baseUrl, key } from "./gateway.ts";

/**
 * What a caller and a provider live through, seen from outside: a provider on bare sockets that fails in one way, one
 * other model to fall back on, two retries.
 */

/**
 * `own`: the answer of the model that was asked for; `other`: its stand-in's; `rescued`: begun by the one, ended by the
 * other; `broken`: a beginning, and then an error event; a number: that status. Every answer is whole, and ends once.
 */
type Outcome = "own" | "other" | "rescued" | "broken" | number;
/** `tries`: at the model that was asked for. */
type Expected = { stream: Outcome; tries: number; whole?: Outcome; wholeTries?: number };

const broken = { stream: "broken", tries: 1, whole: "other", wholeTries: 3 } as const;

const FAULTS: Record<string, Expected> = {
  good: { stream: "own", tries: 1 },
  refused: { stream: "other", tries: 0 },
  blackhole: { stream: "other", tries: 1 },
  reset: { stream: "other", tries: 3 },
  closed: { stream: "other", tries: 3 },
  "429-after": { stream: "own", tries: 2 },
  "429-bare": { stream: "own", tries: 2 },
  "500-once": { stream: "own", tries: 2 },
  "503-while": { stream: "other", tries: 3 },
  "slow-first": { stream: "other", tries: 1 },
  stall: { ...broken, wholeTries: 1 },
  cut: broken,
  "cut-in-frame": broken,
  "cut-politely": broken,
  "cut-at-end": { stream: "own", tries: 1 },
  malformed: broken,
  unfinished: broken,
  "no-terminal": { stream: "own", tries: 1 },
  "only-done": broken,
  error: broken,
  "error-first": { stream: "other", tries: 3 },
  html: { stream: "other", tries: 3 },
  gzip: { stream: "own", tries: 1 },
  redirect: { stream: "other", tries: 3 },
  "header-flood": { stream: "other", tries: 3 },
  trickle: { stream: "own", tries: 1 },
  "context-length": { stream: 400, tries: 1 },
  "content-filter": { stream: 400, tries: 1 },
  "bad-key": { stream: "other", tries: 1 },
};

/** Long enough for a slow machine, short enough for a test. */
const SILENT = 2_500;
const deadlines_ms = { headers: SILENT, first_content: SILENT, whole: 2 * SILENT, idle: SILENT, total: 20_000 };
const retries = { max: 2, base_ms: 20, max_ms: 1_500, retry_after_max_ms: 1_500 };
/** A call waits for one silent target, and now and then for a machine that does too much at once. */
const MOST_MS = SILENT + 8_000;

/** What a caller makes of it. `ends`: how often it was told that this was all. */
type Told = { outcome: Outcome; text: string; ends: number; errors: number; from: string | null; callId: string };

/** An answer as a stranger reads it: whatever it may be. */
// oxlint-disable-next-line typescript/no-explicit-any -- a schema of four wires would test itself
type Said = any;

/** One surface: how it is asked over plain HTTP, and read. */
type Surface = {
  provider: string;
  path: (model: string, isStream: boolean) => string;
  body: object;
  /** The text of an event, or of a whole answer. */
  textOf: (said: Said) => string | undefined;
  /** What tells that this was all: in a stream, and of a whole answer. */
  end: RegExp;
  isDone: (whole: Said) => boolean;
};

const SURFACES: Record<string, Surface> = {
  chat: {
    provider: "wire",
    path: () => "/v1/chat/completions",
    body: { messages: [{ role: "user", content: "Count to four." }] },
    textOf: ({ choices }) => choices?.[0]?.delta?.content ?? choices?.[0]?.message?.content,
    end: /^data: \[DONE\]$/gm,
    isDone: ({ choices }) => choices?.[0]?.finish_reason === "stop",
  },
  responses: {
    provider: "wireresp",
    path: () => "/v1/responses",
    body: { input: "Count to four." },
    textOf: ({ type, delta, output }) =>
      type === "response.output_text.delta" ? delta : output?.[0]?.content?.[0]?.text,
    end: /^event: response\.completed$/gm,
    isDone: ({ status }) => status === "completed",
  },
  messages: {
    provider: "wireanth",
    path: () => "/v1/messages",
    body: { messages: [{ role: "user", content: "Count to four." }], max_tokens: 50 },
    textOf: ({ delta, content }) => delta?.text ?? content?.[0]?.text,
    end: /^event: message_stop$/gm,
    isDone: ({ stop_reason }) => stop_reason === "end_turn",
  },
  gemini: {
    provider: "wiregem",
    path: (model, isStream) =>
      `/v1beta/models/${model}:${isStream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    body: { contents: [{ role: "user", parts: [{ text: "Count to four." }] }] },
    textOf: ({ candidates }) => candidates?.[0]?.content?.parts?.[0]?.text,
    end: /"finishReason":"STOP"/g,
    isDone: ({ candidates }) => candidates?.[0]?.finishReason === "STOP",
  },
};

type Asked = { surface: string; model: string; isStream: boolean; rhone: object };

async function overHttp({ surface, model, isStream, rhone }: Asked): Promise<Told> {
  const { path, body, textOf, end, isDone } = SURFACES[surface]!;
  const named = surface === "gemini" ? {} : { model, stream: isStream };
  const response = await fetch(`${baseUrl}${path(model, isStream)}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ ...body, ...named, rhone }),
  });
  const from = response.headers.get("x-rhone-provider");
  const callId = response.headers.get("x-rhone-call-id")!;
  const raw = await response.text();
  const said = isStream && response.ok ? eventsIn(raw) : [JSON.parse(raw)];
  const errors = said.filter(({ error, response: whole }) => (error ?? whole?.error ?? null) !== null).length;
  const text = said.map((one) => textOf(one) ?? "").join("");
  const ends = isStream ? (raw.match(end)?.length ?? 0) : said.filter(isDone).length;
  const outcome = response.ok ? (errors > 0 ? "broken" : "own") : response.status;
  return { outcome, text, ends, errors, from, callId };
}

/** What no parser takes is counted as no event: a native relay looks at nothing that it passes on. */
function eventsIn(raw: string): Said[] {
  return decodeSse(encodeUtf8(raw)).flatMap(({ data }) => {
    if (data === undefined || data === "[DONE]") return [];
    try {
      return [JSON.parse(data) as object];
    } catch {
      return [];
    }
  });
}

const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });

/** The same as OpenAI's own SDK tells it. */
async function withSdk({ model, rhone }: Asked): Promise<Told> {
  const told = { text: "", ends: 0, errors: 0 };
  const asked = { ...SURFACES.chat!.body, model, stream: true, rhone };
  const called = client.chat.completions.create(asked as never).withResponse();
  const { data, response } = await called.catch((error: unknown) => ({ data: error, response: undefined }));
  if (response === undefined) {
    const { status, headers } = data as { status: number; headers: Headers };
    const about = { from: headers.get("x-rhone-provider"), callId: headers.get("x-rhone-call-id")! };
    return { ...told, ...about, outcome: status, errors: 1 };
  }
  const { headers } = response;
  const about = { from: headers.get("x-rhone-provider"), callId: headers.get("x-rhone-call-id")! };
  try {
    for await (const { choices } of data as unknown as AsyncIterable<OpenAI.ChatCompletionChunk>) {
      told.text += choices[0]?.delta.content ?? "";
      if (typeof choices[0]?.finish_reason === "string") told.ends++;
    }
    return { ...told, ...about, outcome: "own" };
  } catch {
    return { ...told, ...about, outcome: "broken", errors: 1 };
  }
}

const wireUrl = inject("wireUrl");
const json = async (url: string): Promise<Said> =>
  await (await fetch(url, { headers: { authorization: `Bearer ${key}` } })).json();
let serial = 0;

type Form = { surface: string; send: typeof overHttp; isStream: boolean; mode: string; midstream: string };

/** Lives one fault through, and tells everything that is not as it should be. */
async function wrongs(fault: string, { surface, send, isStream, mode, midstream }: Form): Promise<string[]> {
  const { stream, tries, whole = stream, wholeTries = tries }: Expected = FAULTS[fault] ?? broken;
  const expected = isStream ? (stream === "broken" && midstream === "continue" ? "rescued" : stream) : whole;
  const own = `${fault === "refused" ? "no" : ""}${SURFACES[surface]!.provider}`;
  const other = surface === "messages" ? "wire" : "wireanth";
  const name = `${fault}.${surface}-${serial++}`;
  const routing = { fallbacks: [`${other}/good.${name}`], deadlines_ms, retries, midstream };
  const began = Date.now();
  const told = await send({ surface, model: `${own}/${name}`, isStream, rhone: { context_mode: mode, routing } });
  const ms = Date.now() - began;
  const seen: Seen[] = await json(`${wireUrl}/log?model=${name}`);
  const call = await recordOf(told.callId);
  const wrong: string[] = [];
  const expects = (what: string, got: unknown, wanted: unknown): void => {
    if (got !== wanted) wrong.push(`${what}: ${JSON.stringify(got)} and not ${JSON.stringify(wanted)}`);
  };
  const isAnswered = expected === "own" || expected === "other" || expected === "rescued";
  expects("outcome", told.outcome, isAnswered ? "own" : expected);
  expects("text", told.text, isAnswered ? WHOLE : expected === "broken" ? "One two " : "");
  expects("ends", told.ends, isAnswered ? 1 : 0);
  expects("errors", told.errors, isAnswered ? 0 : 1);
  expects("provider", told.from, expected === "other" ? other : own);
  expects("provider on record", call.provider, expected === "other" || expected === "rescued" ? other : own);
  expects("status on record", call.status, isAnswered ? "completed" : expected === "broken" ? call.status : "failed");
  if (expected === "broken" && !/failed|incomplete/.test(call.status)) wrong.push(`on record as ${call.status}`);
  expects("tries", seen.length, isStream ? tries : wholeTries);
  expects(
    "tries on record",
    call.attempts.filter(({ provider }: Said) => provider === own).length,
    fault === "refused" ? 3 : seen.length,
  );
  const pause = fault === "429-after" ? 1_000 : 10;
  const gaps = seen.slice(1).map(({ at }, i) => at - seen[i]!.at);
  for (const gap of gaps) if (gap < pause) wrong.push(`tried again after ${gap} ms`);
  const held = seen.filter(({ goneAt, at }) => (goneAt ?? at) - at > SILENT + 3_000);
  if (held.length > 0) wrong.push("a silent provider's connection was held");
  if (ms > MOST_MS) wrong.push(`took ${ms} ms`);
  return wrong.map((one) => `${name} ${send.name} ${isStream ? "stream" : "whole"} ${mode} ${midstream}: ${one}`);
}

/** A call is on record when its last byte has left, or shortly after. */
async function recordOf(id: string): Promise<Said> {
  for (let i = 0; ; i++) {
    const call = await json(`${baseUrl}/v1/calls/${id}`);
    if (i === 100 || (call.status !== undefined && call.status !== "in_progress")) return call;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * Between the bytes of a stateless stream of the caller's own wire nobody looks: a `[DONE]` is passed on before it is
 * known to be false, and the error comes behind it.
 */
const isBlind = (fault: string, { surface, mode, midstream }: Form): boolean =>
  fault === "only-done" && surface === "chat" && mode === "stateless" && midstream === "error";

async function all(forms: readonly Form[]): Promise<string[]> {
  const pairs = Object.keys(FAULTS)
    .flatMap((fault) => forms.map((form) => ({ fault, form })))
    .filter(({ fault, form }) => !isBlind(fault, form));
  const wrong: string[] = [];
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      for (let pair = pairs.shift(); pair !== undefined; pair = pairs.shift())
        wrong.push(...(await wrongs(pair.fault, pair.form)));
    }),
  );
  return wrong;
}

describe("a provider that fails", () => {
  it("on a Chat stream, by the official SDK and by plain HTTP, with and without a session", async () => {
    const chat = { surface: "chat", isStream: true };
    const forms = [withSdk, overHttp].flatMap((send) => [
      { ...chat, send, mode: "stateless", midstream: "error" },
      { ...chat, send, mode: "stateful", midstream: "error" },
      { ...chat, send, mode: send === withSdk ? "stateless" : "stateful", midstream: "continue" },
    ]);
    expect(await all(forms)).toEqual([]);
  }, 90_000);

  it.each(Object.keys(SURFACES))(
    "on %s, streamed, rescued and whole",
    async (surface) => {
      const forms = [
        { isStream: true, mode: "stateless", midstream: "error" },
        { isStream: true, mode: "stateful", midstream: "continue" },
        { isStream: false, mode: "stateful", midstream: "error" },
      ].filter(({ isStream }) => surface !== "chat" || !isStream);
      expect(await all(forms.map((form) => ({ ...form, surface, send: overHttp })))).toEqual([]);
    },
    90_000,
  );

  it("by an event without an end, with and without a session", async () => {
    for (const mode of ["stateless", "stateful"]) {
      const form = { surface: "chat", send: overHttp, isStream: true, mode, midstream: "error" };
      expect(await wrongs("oversized", form)).toEqual([]);
    }
  }, 30_000);
});
