import { restoreEvent, type ToolAliases } from "../../canonical/tool-names.ts";
import type { StreamEvent, Usage } from "../../canonical/types.ts";
import type { StreamDecoder } from "../../dialects/dialect.ts";
import type { SseEvent } from "../../wire/sse.ts";

/** Decodes a stream whose calls have the target's names to events with those of the request. */
export const restoreTools = (decoder: StreamDecoder, aliases: ToolAliases | undefined): StreamDecoder =>
  aliases === undefined ? decoder : new RestoringDecoder(decoder, aliases);

class RestoringDecoder implements StreamDecoder {
  readonly #decoder: StreamDecoder;
  readonly #aliases: ToolAliases;

  constructor(decoder: StreamDecoder, aliases: ToolAliases) {
    this.#decoder = decoder;
    this.#aliases = aliases;
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
    return this.#restore(this.#decoder.push(event));
  }

  end(): StreamEvent[] {
    return this.#restore(this.#decoder.end());
  }

  #restore(events: StreamEvent[]): StreamEvent[] {
    return events.map((event) => restoreEvent(event, this.#aliases));
  }
}
