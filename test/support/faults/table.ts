/**
 * What a caller gets: `own`: the answer of the target that it names; `other`: the fallback's; `rescued`: the first part of
 * the one, the rest of the other; `broken`: part of an answer, then an error event; `error`: an error alone, as a status or
 * as the only event of a stream; a number: an error of that status. An answer is complete and has one end.
 */
export type Outcome = "own" | "other" | "rescued" | "broken" | "error" | number;

/** An outcome, and how many requests the failing target gets for it. */
type Result = readonly [outcome: Outcome, requests: number];

/** One way in which a provider fails. */
export type Fault = {
  /** What the provider does, for the documentation. */
  does: string;
  /** With a fallback, by default. With `midstream: "continue"`, a stream that is `broken` by default is `rescued`. */
  stream: Result;
  whole: Result;
  /** The outcomes without a fallback. */
  alone: { stream: Outcome; whole: Outcome };
  /** Settings of the calls. */
  deadlines_ms?: Record<string, number>;
  /** The fault that the scripted providers have for it; by default that of the same name. */
  fault?: string;
  /** How the fallback behaves; by default well. */
  fallback?: string;
  /** How many calls are made one after the other, with the same outcome. */
  calls?: number;
  /** Statuses and requests of the test without a network (`worker`) or over sockets (`sockets`) only. */
  only?: "worker" | "sockets";
};

/** Retries of every call: with a short backoff, but a `Retry-After` of a second is waited for. */
export const RETRIES = { max: 2, base_ms: 20, max_ms: 1_500, retry_after_max_ms: 1_500 };

/** The limit for a target that never answers. Long enough for a slow machine, as the fallback has it as well. */
export const SILENCE_MS = 2_500;
/** The limit for a target whose first content is late. The last target does not have it. */
const LATE_MS = 2_000;

const silent = {
  deadlines_ms: { fallback: LATE_MS, headers: SILENCE_MS, first_content: SILENCE_MS, whole: SILENCE_MS },
};

/** The target answers in the end. */
const answers = (requests: number): Omit<Fault, "does"> => ({
  stream: ["own", requests],
  whole: ["own", requests],
  alone: { stream: "own", whole: "own" },
});
/** The target does not answer, which is known before any content. */
const fails = (requests: number, stream: Outcome, whole: Outcome = stream): Omit<Fault, "does"> => ({
  stream: ["other", requests],
  whole: ["other", requests],
  alone: { stream, whole },
});
/** A stream breaks after its first content; a whole answer, before it is complete. */
const breaks = (whole: Outcome = "error"): Omit<Fault, "does"> => ({
  stream: ["broken", 1],
  whole: ["other", 3],
  alone: { stream: "broken", whole },
});

/** Every fault, and what comes of it. */
export const FAULTS: Record<string, Fault> = {
  none: { does: "answers", ...answers(1) },
  refused: { does: "refuses the connection", ...fails(3, 502) },
  reset: { does: "resets the connection before the headers", ...fails(3, 502) },
  closed: { does: "closes the connection before the headers", ...fails(3, 502), only: "sockets" },
  "500-once": { does: "answers 500 once", ...answers(2) },
  "500-always": { does: "answers 500 always", ...fails(3, 500) },
  "429-after": { does: "answers 429 with a short `Retry-After` once", ...answers(2) },
  "429-always": { does: "answers 429 with a long `Retry-After`", ...fails(1, 429) },
  "429-bare": { does: "answers 429 without `Retry-After` once", ...answers(2) },
  flapping: { does: "answers every second request with 500", ...answers(2), calls: 3 },
  blackhole: { does: "sends no headers", ...fails(1, 504), ...silent },
  silent: { does: "sends headers and no content", ...fails(1, "error", 504), ...silent },
  "late-first": {
    does: "sends its first content after `fallback`",
    ...answers(1),
    stream: ["other", 1],
    deadlines_ms: { fallback: LATE_MS },
  },
  "slow-first": { does: "sends its first content before `fallback`", ...answers(1), only: "worker" },
  trickle: { does: "sends a few bytes at a time", ...answers(1) },
  stall: {
    does: "stops after some content",
    ...breaks(504),
    whole: ["other", 1],
    deadlines_ms: { idle: SILENCE_MS, whole: SILENCE_MS },
  },
  cut: { does: "resets the connection after some content", ...breaks() },
  "cut-in-frame": { does: "resets the connection within an event", ...breaks(), only: "sockets" },
  "cut-politely": { does: "closes the connection after some content", ...breaks(), only: "sockets" },
  "cut-at-end": { does: "resets the connection after the end mark", ...answers(1), only: "sockets" },
  ended: { does: "ends the answer without an end mark", ...breaks() },
  unfinished: { does: "ends the answer before any content", ...fails(3, "error"), only: "worker" },
  "no-terminal": { does: "leaves out only `[DONE]` or `message_stop`", ...answers(1), only: "sockets" },
  "only-done": { does: "sends `[DONE]` within an answer", ...breaks(), only: "sockets" },
  malformed: { does: "sends a malformed event, then ends", ...breaks() },
  "malformed-first": { does: "sends a malformed event alone", ...fails(3, "error"), only: "worker" },
  error: { does: "sends an error event after some content", ...breaks() },
  "error-first": { does: "sends an error event before any content", ...fails(3, "error") },
  "error-counting": {
    does: "sends an error event and its usage (accounting)",
    ...breaks(),
    only: "worker",
  },
  "context-length": { does: "refuses the length of the context", ...fails(1, 400) },
  "content-filter": {
    does: "refuses the content",
    stream: [400, 1],
    whole: [400, 1],
    alone: { stream: 400, whole: 400 },
  },
  "bad-key": { does: "refuses the gateway's key", ...fails(1, 502) },
  prefill: {
    does: "breaks, and its fallback refuses a last message of the assistant",
    ...breaks(),
    fault: "cut",
    fallback: "no-prefill",
  },
  html: { does: "answers with a page of HTML", ...fails(3, 502) },
  redirect: { does: "redirects", ...fails(3, 502) },
  "header-flood": { does: "sends more headers than are read", ...fails(3, "error"), only: "sockets" },
  "many-headers": { does: "sends many headers", ...answers(1), only: "worker" },
  oversized: {
    does: "sends an event without an end",
    stream: ["broken", 1],
    whole: ["own", 1],
    alone: { stream: "broken", whole: "own" },
    only: "sockets",
  },
  gzip: { does: "compresses its answer", ...answers(1), only: "sockets" },
};

/** One way of calling. `isContinued`: with `midstream: "continue"`. */
export type Form = {
  isStream: boolean;
  mode: "stateless" | "stateful";
  isContinued: boolean;
  hasFallback: boolean;
};

/** Streams and whole answers, with and without a session, a fallback and `midstream: "continue"`. */
export const FORMS: readonly Form[] = [
  { isStream: true, mode: "stateless", isContinued: false, hasFallback: true },
  { isStream: true, mode: "stateful", isContinued: false, hasFallback: true },
  { isStream: true, mode: "stateless", isContinued: true, hasFallback: true },
  { isStream: true, mode: "stateful", isContinued: true, hasFallback: true },
  { isStream: true, mode: "stateless", isContinued: false, hasFallback: false },
  { isStream: true, mode: "stateful", isContinued: true, hasFallback: false },
  { isStream: false, mode: "stateless", isContinued: false, hasFallback: true },
  { isStream: false, mode: "stateful", isContinued: true, hasFallback: true },
  { isStream: false, mode: "stateful", isContinued: false, hasFallback: false },
];

/**
 * The forms that a fault is tested in: all of them for a stream that breaks after its first content, otherwise fewer, in
 * which each two settings occur with each other.
 */
export const formsOf = ({ stream }: Fault): readonly Form[] =>
  stream[0] === "broken" ? FORMS : FORMS.filter((_, i) => [0, 3, 4, 6, 8].includes(i));

/** The name of a form, as part of a model's name. */
export const nameOf = ({ isStream, mode, isContinued, hasFallback }: Form): string =>
  [isStream ? "stream" : "whole", mode, isContinued ? "continued" : "default", hasFallback ? "fallback" : "alone"].join(
    "-",
  );

/** What comes of one call in a form. */
export function expectOutcome(fault: Fault, { isStream, isContinued, hasFallback }: Form): Result {
  const [outcome, requests] = isStream ? fault.stream : fault.whole;
  if (!hasFallback) return [isStream ? fault.alone.stream : fault.alone.whole, requests];
  return [outcome === "broken" && isContinued ? "rescued" : outcome, requests];
}

/** `rhone.routing` of a call. */
export const toRouting = (fault: Fault, { isContinued, hasFallback }: Form, fallback: string): object => ({
  retries: RETRIES,
  midstream: isContinued ? "continue" : "error",
  ...(hasFallback && { fallbacks: [fallback] }),
  ...(fault.deadlines_ms && { deadlines_ms: fault.deadlines_ms }),
});

/** The faults of one of the two tests. */
export const faultsOf = (test: "worker" | "sockets"): [string, Fault][] =>
  Object.entries(FAULTS).filter(([, { only = test }]) => only === test);
