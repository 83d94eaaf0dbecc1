import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { readOption, type RequestText } from "../../surfaces/request.ts";
import { editMembers, findMembers, isEmptyJson, sliceSpan } from "../../wire/splice.ts";

/** Items of input and output, in their order: the JSON text of each run of them, without brackets. */
export type Transcript = readonly string[];

/** UTF-16 code units that one connection, and that all of an isolate, keep: what is oldest is forgotten. */
const MAX_LENGTH = 4 * 1024 * 1024;
const MAX_ISOLATE_LENGTH = 24 * 1024 * 1024;

type Latest = { id: string; transcript: Transcript; length: number };

/** Connections that keep something, the one that was used last at the end, and how much they keep. */
const CONNECTIONS = new Map<ConnectionTranscripts, number>();

/**
 * The transcripts that a connection's last responses end, one of each channel: OpenAI, too, keeps the last response of a
 * connection in memory (OpenAI API reference, Responses WebSocket mode). So a client that names its conversation may send
 * what is new only, while the session gets what the client would send over HTTP. A client whose transcript was forgotten
 * gets an error that says so, and sends it again.
 */
export class ConnectionTranscripts {
  /** By channel, the one that was used last at the end; `undefined` is the one without a name. */
  readonly #latest = new Map<string | undefined, Latest>();

  /** Up to a response. `undefined`: none of the last ones has this id. */
  find(id: string): Transcript | undefined {
    return [...this.#latest.values()].find((latest) => latest.id === id)?.transcript;
  }

  /** `channel`: the one on which the response was sent. */
  remember(channel: string | undefined, id: string, transcript: Transcript): void {
    const length = transcript.reduce((sum, items) => sum + items.length, 0);
    this.#latest.delete(channel);
    this.#latest.set(channel, { id, transcript, length });
    while (this.#length > MAX_LENGTH) this.#latest.delete(this.#latest.keys().next().value);
    this.#account();
    for (const [connection] of CONNECTIONS) {
      if (sumOf(CONNECTIONS.values()) <= MAX_ISOLATE_LENGTH) return;
      connection.clear();
    }
  }

  forget(id: string): void {
    for (const [channel, latest] of this.#latest) if (latest.id === id) this.#latest.delete(channel);
    this.#account();
  }

  /** Also to be called when the connection closes. */
  clear(): void {
    this.#latest.clear();
    this.#account();
  }

  get #length(): number {
    return sumOf([...this.#latest.values()].map(({ length }) => length));
  }

  #account(): void {
    CONNECTIONS.delete(this);
    if (this.#latest.size > 0) CONNECTIONS.set(this, this.#length);
  }
}

const sumOf = (lengths: Iterable<number>): number => [...lengths].reduce((sum, length) => sum + length, 0);

/**
 * The request with the transcript of the response that it continues in front of its own input, and all of these items.
 * `undefined`: the connection does not have that response.
 */
export function withTranscript(
  request: RequestText,
  transcripts: Pick<ConnectionTranscripts, "find">,
): { text: string; transcript: Transcript } | undefined {
  const { text, members } = request;
  const own = readInput(request);
  const previous = readOption(request, "previous_response_id");
  if (typeof previous !== "string") return { text, transcript: own };
  const before = transcripts.find(previous);
  if (before === undefined) return undefined;
  const transcript = [...before, ...own];
  const whole = editMembers(text, members, ["previous_response_id"], [["input", `[${transcript.join(",")}]`]]);
  return { text: whole, transcript };
}

/** The output of the response in the last event of a stream (its JSON text), as a part of a transcript. */
export function readOutput(event: string): Transcript {
  const response = findMembers(event).find(({ key }) => key === "response");
  const output = response && findMembers(event, response.value.start).find(({ key }) => key === "output");
  return output === undefined ? [] : toTranscript(sliceSpan(event, output.value));
}

function readInput({ text, members }: RequestText): Transcript {
  const value = members.findLast(({ key }) => key === "input")?.value;
  return value === undefined ? [] : toTranscript(sliceSpan(text, value));
}

/** A bare text or a single item counts as a list of one. */
function toTranscript(json: string): Transcript {
  if (isEmptyJson(json)) return [];
  if (json.startsWith("[")) return [json.slice(1, -1)];
  return [json.startsWith('"') ? openaiResponses.layout.itemFromText!(json) : json];
}
