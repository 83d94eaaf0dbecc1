import { createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { endsWithAssistant } from "./faults.ts";
import { answerOf, DONE, errorFrame, errorOf, framesOf, WHOLE, WORDS, type Wire } from "./wire-answers.ts";

/** One request, as the provider saw it. Milliseconds; `goneAt`: when the other side let go before all was said. */
export type Seen = { model: string; at: number; goneAt?: number };

/** Bytes, a pause in milliseconds, or how the connection ends before the answer does: `RESET` (RST) or `CLOSE` (FIN). */
type Step = string | Uint8Array | number;
const RESET = "\0reset";
const CLOSE = "\0close";

const BEGUN_CALL =
  'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"arguments":"{"}}]}}]}\n\n';
const HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const LAST = "0\r\n\r\n";
const chunked = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

const LONG = 60_000;
/** Later than the limit that a test sets for a target with a fallback. */
const LATE = 4_000;
const SOON = 150;

/**
 * A provider on bare sockets, for what no HTTP server lets one say: half a chunk, a byte at a time, a connection that is
 * reset before its headers. It knows nothing of how the gateway takes it. Listens on any port of this machine. `GET /log?model=` tells what was seen.
 */
export async function listenWire(): Promise<{ url: string; close: () => Promise<void> }> {
  const log: Seen[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // A peer that resets is what this is about.
    socket.on("error", () => {});
    converse(socket, log);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const close = (): Promise<void> =>
    new Promise((closed) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => closed());
    });
  return { url: `http://127.0.0.1:${port}/v1`, close };
}

function converse(socket: Socket, log: Seen[]): void {
  let text = "";
  let answered: Promise<void> = Promise.resolve();
  socket.on("data", (piece: Buffer) => {
    text += piece.toString("latin1");
    const end = text.indexOf("\r\n\r\n") + 4;
    const length = Number(/^content-length: *(\d+)/im.exec(text)?.[1] ?? 0);
    if (end < 4 || text.length < end + length) return;
    const path = text.split(" ", 2)[1]!;
    const body = text.slice(end, end + length);
    text = text.slice(end + length);
    answered = answered.then(() =>
      path.includes("/log?") ? tell(socket, path, log) : answer(socket, path, body, log),
    );
  });
}

function tell(socket: Socket, path: string, log: readonly Seen[]): void {
  const model = new URL(path, "http://wire.test").searchParams.get("model");
  send(socket, whole("200 OK", JSON.stringify(log.filter((seen) => seen.model === model))));
}

async function answer(socket: Socket, path: string, body: string, log: Seen[]): Promise<void> {
  const model = /\/models\/([^:]+):/.exec(path)?.[1] ?? /"model":\s*"([^"]*)"/.exec(body)?.[1] ?? "";
  const isStream = /"stream":\s*true/.test(body) || path.includes(":streamGenerateContent");
  const seen: Seen = { model: decodeURIComponent(model), at: Date.now() };
  log.push(seen);
  const count = log.filter((one) => one.model === seen.model).length;
  let isOver = false;
  const left = new AbortController();
  const onClose = (): void => {
    if (!isOver) seen.goneAt = Date.now();
    left.abort();
  };
  socket.once("close", onClose);
  const [name = ""] = seen.model.split(".");
  const wire = wireOf(path);
  for (const step of (FAULTS[name] ?? FAULTS.good!)({
    wire,
    count,
    isStream,
    goesOn: body.includes("cut off by"),
    endsWithAssistant: endsWithAssistant(body),
  })) {
    if (typeof step === "number") await sleep(step, undefined, { signal: left.signal, ref: false }).catch(() => {});
    else if (step === CLOSE) {
      isOver = true;
      socket.end();
    } else if (step === RESET) {
      isOver = true;
      socket.resetAndDestroy();
    } else if (!socket.destroyed && !send(socket, step)) await drained(socket, left.signal);
    if (socket.destroyed) return;
  }
  isOver = true;
  // The connection is used again.
  socket.off("close", onClose);
}

const send = (socket: Socket, bytes: string | Uint8Array): boolean =>
  typeof bytes === "string" ? socket.write(bytes, "utf8") : socket.write(bytes);

const drained = (socket: Socket, left: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    socket.once("drain", () => resolve());
    left.addEventListener("abort", () => resolve(), { once: true });
  });

function wireOf(path: string): Wire {
  if (path.endsWith("/responses")) return "responses";
  if (path.endsWith("/messages")) return "messages";
  return path.includes("/models/") ? "gemini" : "chat";
}

/**
 * What is asked: `count` from 1, of this model; `goesOn`: to continue what another has begun; `endsWithAssistant`: the
 * last message is the assistant's.
 */
type Told = { wire: Wire; count: number; isStream: boolean; goesOn: boolean; endsWithAssistant: boolean };
type Fault = (told: Told) => Iterable<Step>;

const good: Fault = ({ wire, isStream, goesOn }) => {
  const words = goesOn ? WORDS.slice(2) : WORDS;
  return isStream ? streamed(framesOf(wire, words)) : [whole("200 OK", answerOf(wire, words.join("")))];
};
const once =
  (fault: Fault): Fault =>
  (told) =>
    told.count === 1 ? fault(told) : good(told);
const refused =
  (status: string, headers = "", words: Record<string, string> = {}): Fault =>
  ({ wire }) => [whole(status, errorOf(wire, status, words), headers)];
/** The stream up to its second word, and then so. A whole answer stops in its middle, and is cut there at the latest. */
const after =
  (...rest: Step[]): Fault =>
  ({ wire, isStream }) => {
    if (isStream) return [HEAD, ...opened(wire).map(chunked), ...rest];
    const body = answerOf(wire, WHOLE);
    const half = `${headOf("200 OK", body.length)}${body.slice(0, body.length / 2)}`;
    return [half, ...rest.filter((step) => typeof step === "number"), RESET];
  };

/** By a model's name, up to its first dot. Any other answers well. */
export const FAULTS: Record<string, Fault> = {
  good,
  blackhole: () => [LONG],
  reset: () => [RESET],
  closed: () => [CLOSE],
  "429-after": once(refused("429 Too Many Requests", "retry-after: 1\r\n")),
  "429-bare": once(refused("429 Too Many Requests")),
  "500-once": once(refused("500 Internal Server Error")),
  "429-always": refused("429 Too Many Requests", "retry-after: 3600\r\n"),
  "500-always": refused("500 Internal Server Error"),
  // Every second request fails, the first one too.
  flapping: (told) => (told.count % 2 === 0 ? good(told) : refused("500 Internal Server Error")(told)),
  silent: () => [HEAD, LONG],
  "late-first": ({ wire, isStream }) =>
    isStream
      ? [HEAD, LATE, ...framesOf(wire, WORDS).map(chunked), LAST]
      : [LATE, whole("200 OK", answerOf(wire, WHOLE))],
  // Some models do not complete an answer that the request begins.
  "no-prefill": (told) => (told.endsWithAssistant ? refused("400 Bad Request")(told) : good(told)),
  stall: after(LONG),
  // A reset discards what its receiver has not read yet: the pause lets it be read.
  cut: after(SOON, RESET),
  "cut-in-frame": after(chunked('data: {"id":"chatcmpl-wi'), SOON, RESET),
  "cut-politely": after(CLOSE),
  "cut-at-end": (told) =>
    told.isStream ? [HEAD, ...framesOf(told.wire, WORDS).map(chunked), SOON, RESET] : good(told),
  malformed: after(chunked("data: {nonsense\n\n"), LAST),
  ended: after(LAST),
  // All of the answer, without the event that its wire ends with.
  "no-terminal": (told) =>
    told.isStream
      ? streamed(framesOf(told.wire, WORDS).filter((frame) => !/\[DONE\]|message_stop/.test(frame)))
      : good(told),
  // As a proxy says it whose own provider broke off: of a Chat answer, within a call that has no name yet.
  "only-done": ({ wire, isStream }) =>
    isStream
      ? [HEAD, ...opened(wire).map(chunked), ...(wire === "chat" ? [chunked(BEGUN_CALL)] : []), chunked(DONE), LAST]
      : [whole("200 OK", "{}")],
  error: ({ wire, isStream }) =>
    isStream
      ? [HEAD, ...opened(wire).map(chunked), chunked(errorFrame(wire)), LAST]
      : [whole("200 OK", errorOf(wire, "503", {}))],
  "error-first": ({ wire, isStream }) =>
    isStream
      ? [
          HEAD,
          ...framesOf(wire, WORDS)
            .slice(0, wire === "gemini" ? 0 : 1)
            .map(chunked),
          chunked(errorFrame(wire)),
          LAST,
        ]
      : [whole("200 OK", errorOf(wire, "503", {}))],
  html: () => [whole("200 OK", "<html><body>It works!</body></html>", "", "text/html")],
  gzip: ({ wire, isStream }) => {
    const [text, type] = isStream
      ? [framesOf(wire, WORDS).join(""), "text/event-stream"]
      : [answerOf(wire, WHOLE), "application/json"];
    const bytes = gzipSync(text);
    return [headOf("200 OK", bytes.length, "content-encoding: gzip\r\n", type), bytes];
  },
  redirect: () => [whole("307 Temporary Redirect", "", "location: http://127.0.0.1:9/elsewhere\r\n")],
  "header-flood": () => {
    const flood = Array.from({ length: 4_000 }, (_, i) => `x-flood-${i}: ${"y".repeat(100)}\r\n`).join("");
    return [`HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n${flood}transfer-encoding: chunked\r\n\r\n`, LAST];
  },
  oversized: (told) => {
    if (!told.isStream) return good(told);
    const more = Array.from({ length: 40 }, (_, i) => chunked(`${i === 0 ? "data: " : ""}${"x".repeat(512 * 1024)}`));
    return [HEAD, ...opened(told.wire).map(chunked), ...more, LAST];
  },
  trickle: (told) => {
    if (!told.isStream) return good(told);
    const pieces = framesOf(told.wire, WORDS)
      .join("")
      .match(/[^]{1,5}/g)!;
    return [HEAD, ...pieces.flatMap((piece, i) => (i % 10 === 0 ? [1, chunked(piece)] : [chunked(piece)])), LAST];
  },
  "context-length": refused("400 Bad Request", "", {
    chat: '{"error":{"message":"This model\'s maximum context length is 8192 tokens","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}',
    responses:
      '{"error":{"message":"Your input exceeds the context window of this model.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}',
    messages:
      '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 300000 tokens > 200000 maximum"}}',
    gemini:
      '{"error":{"code":400,"message":"The input token count (300000) exceeds the maximum number of tokens allowed (200000).","status":"INVALID_ARGUMENT"}}',
  }),
  "content-filter": refused("400 Bad Request", "", {
    chat: '{"error":{"message":"The prompt was filtered","type":null,"param":"prompt","code":"content_filter"}}',
  }),
  "bad-key": refused("401 Unauthorized"),
};

const streamed = (frames: string[]): Step[] => [HEAD, ...frames.map(chunked), LAST];
const headOf = (status: string, length: number, headers = "", type = "application/json"): string =>
  `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\n${headers}content-length: ${length}\r\n\r\n`;
const whole = (status: string, body: string, headers = "", type = "application/json"): string =>
  headOf(status, Buffer.byteLength(body), headers, type) + body;

/** A stream's frames, up to and with its second word. */
function opened(wire: Wire): string[] {
  const frames = framesOf(wire, WORDS);
  return frames.slice(0, frames.findIndex((frame) => frame.includes(WORDS[1]!)) + 1);
}
