import { GatewayError, invalid, toGatewayError } from "../../canonical/error.ts";
import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import type { ResponseLocation } from "../../session/directory/response-index.ts";
import { MAX_FRAME_BYTES } from "../../surfaces/body.ts";
import { objectIdIn } from "../../wire/id.ts";
import { isObject, type Json, type JsonObject, stringOf, tryParseJson } from "../../wire/json.ts";
import { appendMember, findMembers, removeMember, splice } from "../../wire/splice.ts";
import { SseSplitter } from "../../wire/sse.ts";
import { ConnectionTranscripts, readOutput, type Transcript } from "./connection-transcripts.ts";

/** Longest life of a connection in milliseconds, as at OpenAI (OpenAI API reference, Responses WebSocket mode). */
export const MAX_CONNECTION_MS = 60 * 60_000;
/** Different `stream_id`s of a connection, and responses in progress at once; OpenAI's own limits, too. */
const MAX_CHANNELS = 32;
const MAX_IN_FLIGHT = 16;
/**
 * Characters sent since the client's last frame. The runtime does not report how much of them has left, and clients of
 * this mode answer no `ping`: the limit is above what sixteen answers usually have, and below an isolate's memory.
 */
const MAX_UNREAD = 64 * 1024 * 1024;
/** Close code for a client that reads too slowly, as on `rhone.ws.v1`. */
const TOO_SLOW = 4008;
/** Unstored responses that a connection can continue; agents continue the last one. */
const MAX_UNSTORED = 64;

/** A completed response. */
type Completed = { id: string; output: Transcript };

/** The server's end of the WebSocket. */
type ResponsesPeer = { send(text: string): void; close(code: number, reason: string): void };
/** What only this connection can continue. `unstored`: locations of responses with `store: false`, by id. */
export type Continuable = {
  unstored: ReadonlyMap<string, ResponseLocation>;
  transcripts: Pick<ConnectionTranscripts, "find">;
};
/** `transcript`: all items of the request, if the connection is to keep them. */
export type FrameAnswer = { response: Response; transcript?: Transcript };
/** Answers the text of a request as over HTTP. Throws `GatewayError` for an invalid request. */
type FrameHandler = (text: string, continuable: Continuable) => Promise<FrameAnswer>;

/**
 * OpenAI's WebSocket mode: `response.create` frames in, the events of a stream out, one response at a time per channel
 * (`stream_id`). A response with `store: false` can be continued on its own connection only, until a continuation of it
 * fails.
 */
export class ResponsesSocket {
  readonly #socket: ResponsesPeer;
  readonly #answer: FrameHandler;
  readonly #unstored = new Map<string, ResponseLocation>();
  readonly #transcripts = new ConnectionTranscripts();
  readonly #channels = new Map<string, Promise<void>>();
  #inFlight = 0;
  #sentCharacters = 0;

  constructor(socket: ResponsesPeer, answer: FrameHandler) {
    this.#socket = socket;
    this.#answer = answer;
  }

  /** Answers one frame from the client. Never throws; resolves when the answer is sent. */
  async receive(frame: string | ArrayBuffer): Promise<void> {
    this.#sentCharacters = 0;
    let channel: string | undefined;
    try {
      const event = readCreateEvent(frame);
      channel = readChannel(event);
      const before = this.#channels.get(channel ?? "") ?? Promise.resolve();
      this.#requireCapacity(channel);
      const answered = before.then(() => this.#createResponse(frame as string, event, channel));
      this.#channels.set(channel ?? "", answered);
      await answered;
    } catch (thrown) {
      this.#sendError(toGatewayError(thrown), channel);
    }
  }

  /** The connection is closed. */
  close(): void {
    this.#transcripts.clear();
  }

  /** Sends the error with the reason for which the connection is about to be closed. */
  expire(): void {
    const message = "connections end after 60 minutes: open a new one";
    this.#sendError(
      new GatewayError("request.invalid", message, { word: "websocket_connection_limit_reached" }),
      undefined,
    );
  }

  /** Throws `rate.limited` for one channel or one response too many. */
  #requireCapacity(channel: string | undefined): void {
    const isFull = !this.#channels.has(channel ?? "") && this.#channels.size >= MAX_CHANNELS;
    if (!isFull && this.#inFlight < MAX_IN_FLIGHT) return;
    const message = `expected at most ${MAX_CHANNELS} different ids, and ${MAX_IN_FLIGHT} responses at a time`;
    throw new GatewayError("rate.limited", `stream_id: ${message}`, {
      param: "stream_id",
      word: "websocket_stream_limit_reached",
    });
  }

  async #createResponse(frame: string, event: JsonObject, channel: string | undefined): Promise<void> {
    this.#inFlight++;
    const previous = stringOf(event.previous_response_id);
    let hasSucceeded = false;
    try {
      const continuable = { unstored: this.#unstored, transcripts: this.#transcripts };
      const { response, transcript } = await this.#answer(toRequestText(frame, event), continuable);
      const completed = await this.#sendEvents(response, channel);
      hasSucceeded = completed !== undefined;
      if (completed === undefined) return;
      if (transcript !== undefined)
        this.#transcripts.remember(channel, completed.id, [...transcript, ...completed.output]);
      else if (event.store === false) this.#rememberUnstored(completed.id, locationOf(response));
    } catch (thrown) {
      this.#sendError(toGatewayError(thrown), channel);
    } finally {
      this.#inFlight--;
      if (!hasSucceeded && previous !== undefined) this.#forget(previous);
    }
  }

  /** Sends the response's events, or its error. Resolves to what was completed, if it was. */
  async #sendEvents(response: Response, channel: string | undefined): Promise<Completed | undefined> {
    if (response.headers.get("content-type")?.includes("event-stream") !== true || response.body === null) {
      this.#send(encodeErrorFrame(readError(tryParseJson(await response.text())) ?? {}, response.status), channel);
      return undefined;
    }
    const splitter = new SseSplitter();
    let completed: Completed | undefined;
    for await (const chunk of response.body)
      for (const { data = "" } of splitter.push(chunk)) {
        const event = tryParseJson(data);
        if (!isObject(event)) continue;
        this.#send(event.type === "error" ? encodeErrorFrame(readError(event) ?? event, 500) : data, channel);
        const id = completedResponseId(event);
        if (id !== undefined) completed = { id, output: readOutput(data) };
      }
    return completed;
  }

  #forget(id: string): void {
    this.#unstored.delete(id);
    this.#transcripts.forget(id);
  }

  /** Keeps the newest entry last, so that the first one is the one to forget. */
  #rememberUnstored(id: string, at: ResponseLocation): void {
    this.#unstored.delete(id);
    this.#unstored.set(id, at);
    const [oldest] = this.#unstored.keys();
    if (this.#unstored.size > MAX_UNSTORED) this.#unstored.delete(oldest!);
  }

  #sendError(error: GatewayError, channel: string | undefined): void {
    const { error: members } = openaiResponses.encodeError(error, "");
    this.#send(encodeErrorFrame(members as JsonObject, error.status), channel);
  }

  /** Sends one event, and closes the connection of a client that has not shown to be reading for too long. */
  #send(json: string, channel: string | undefined): void {
    if (this.#sentCharacters > MAX_UNREAD) return;
    const text =
      channel === undefined ? json : splice(json, [appendMember(json, "stream_id", JSON.stringify(channel))]);
    this.#sentCharacters += text.length;
    try {
      if (this.#sentCharacters > MAX_UNREAD)
        this.#socket.close(TOO_SLOW, "too slow: too much was sent that may not have been read");
      else this.#socket.send(text);
    } catch {
      // The client has disconnected. The call goes on, and its response is stored.
    }
  }
}

/** The frame's JSON object. Throws `request.invalid` naming what was expected, or `request.too_large`. */
function readCreateEvent(frame: string | ArrayBuffer): JsonObject {
  if (typeof frame !== "string") throw invalid("frame", "expected text");
  if (frame.length > MAX_FRAME_BYTES || new TextEncoder().encode(frame).length > MAX_FRAME_BYTES)
    throw new GatewayError("request.too_large", `frame: expected at most ${MAX_FRAME_BYTES / 1024 / 1024} MiB`);
  const event = tryParseJson(frame);
  if (!isObject(event)) throw invalid("frame", "expected a JSON object");
  if (event.type !== "response.create") throw invalid("type", "expected response.create");
  if (event.background === true) throw invalid("background", "must be absent: background is HTTP only");
  if (event.stream === false) throw invalid("stream", "must be absent: a WebSocket always streams");
  return event;
}

/** Channel of an event; `undefined` for the one without a name. Throws `request.invalid`. */
function readChannel({ stream_id: channel }: JsonObject): string | undefined {
  if (channel === undefined || channel === null) return undefined;
  if (typeof channel !== "string" || channel === "" || channel.length > 128)
    throw invalid("stream_id", "expected a name of up to 128 characters");
  return channel;
}

/** The frame as the body of the equivalent HTTP request: without the members that only frames have, always streaming. */
function toRequestText(frame: string, { generate }: JsonObject): string {
  const names = ["type", "stream_id", "stream", ...(generate === false ? [] : ["generate"])];
  const body = splice(frame, removeMember(findMembers(frame), ...names));
  return splice(body, [appendMember(body, "stream", "true")]);
}

/** The response's id, if the event is the last one of a completed response. */
function completedResponseId({ type, response }: JsonObject): string | undefined {
  const isEnd = type === "response.completed" || type === "response.incomplete";
  return isEnd && isObject(response) ? stringOf(response.id) : undefined;
}

/** Where the gateway stored the call of the response. */
function locationOf({ headers }: Response): ResponseLocation {
  const call = headers.get("x-rhone-call-id") ?? "";
  return { call, place: objectIdIn("call", call) ?? "" };
}

/** The members of the error in the body of an error, or in an `error` event; undefined if there are none. */
const readError = (body: Json | undefined): JsonObject | undefined =>
  isObject(body) && isObject(body.error) ? body.error : undefined;

/** An error frame as OpenAI sends it. Clients of this mode distinguish errors by `code`, so it is never absent. */
function encodeErrorFrame({ type, code, message, param }: JsonObject, status: number): string {
  const known = stringOf(code) ?? stringOf(type) ?? "server_error";
  return JSON.stringify({
    type: "error",
    status,
    error: { type: type ?? "invalid_request_error", code: known, message: message ?? known, param: param ?? null },
  });
}
