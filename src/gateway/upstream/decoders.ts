import { restoreEvent, restoreResponse } from "../../canonical/tool-names.ts";
import type { ModelResponse, StreamEvent, Usage } from "../../canonical/types.ts";
import type { StreamDecoder } from "../../dialects/dialect.ts";
import type { Json } from "../../wire/json.ts";
import type { SseEvent } from "../../wire/sse.ts";
import { isSameDialect, type UpstreamCall } from "../call/upstream-call.ts";

type Decoded = Pick<UpstreamCall, "call" | "request" | "destination">;

/**
 * Decodes the body of a target's whole answer. Its calls have the names of the request's tools. A translated answer has its
 * call's id: some hosts give every answer the same one, and clients such as Claude Code take answers of one id for one.
 */
export function decodeBody(upstreamCall: Decoded, body: Json): ModelResponse {
  const { dialect, encodeTarget, aliases } = upstreamCall.destination;
  const response = dialect.decodeResponse(body, encodeTarget.issuer, upstreamCall.call.id);
  return restoreResponse(isSameDialect(upstreamCall) ? response : { ...response, id: upstreamCall.call.id }, aliases);
}

/** The same for a stream. */
export function createDecoder(upstreamCall: Decoded): StreamDecoder {
  const { dialect, encodeTarget, aliases } = upstreamCall.destination;
  const decoder = dialect.decodeStream(encodeTarget.issuer, upstreamCall.call.id);
  return isSameDialect(upstreamCall) && aliases === undefined ? decoder : new PublicDecoder(decoder, upstreamCall);
}

class PublicDecoder implements StreamDecoder {
  readonly #decoder: StreamDecoder;
  readonly #upstreamCall: Decoded;

  constructor(decoder: StreamDecoder, upstreamCall: Decoded) {
    this.#decoder = decoder;
    this.#upstreamCall = upstreamCall;
  }

  get isAnswerComplete(): boolean {
    return this.#decoder.isAnswerComplete;
  }

  get isTerminated(): boolean {
    return this.#decoder.isTerminated ?? false;
  }

  get isFailing(): boolean {
    return this.#decoder.isFailing === true;
  }

  get terminator(): string {
    return this.#decoder.terminator ?? "";
  }

  get usage(): Usage {
    return this.#decoder.usage;
  }

  push(event: SseEvent): StreamEvent[] {
    return this.#publish(this.#decoder.push(event));
  }

  end(): StreamEvent[] {
    return this.#publish(this.#decoder.end());
  }

  #publish(events: StreamEvent[]): StreamEvent[] {
    const { call, destination } = this.#upstreamCall;
    const isTranslated = !isSameDialect(this.#upstreamCall);
    return events.map((event) => {
      if (event.type === "start") return isTranslated ? { ...event, id: call.id } : event;
      return destination.aliases === undefined ? event : restoreEvent(event, destination.aliases);
    });
  }
}
