import { openaiResponses } from "../../dialects/openai-responses/index.ts";
import { readOption, type RequestText } from "../../surfaces/request.ts";
import { editMembers, findMembers, isEmptyJson, sliceSpan } from "../../wire/splice.ts";
import { previousNotFound } from "./state.ts";

/** Items of input and output, in their order: the JSON text of each run of them, without brackets. */
export type Transcript = readonly string[];

/** UTF-16 code units of a transcript that a connection keeps; the client of a longer one sends it again. */
const MAX_LENGTH = 8 * 1024 * 1024;

/**
 * The transcripts that a connection's last responses end, one of each channel: OpenAI, too, keeps the last response of a
 * connection in memory (OpenAI API reference, Responses WebSocket mode). So a client that names its conversation may send
 * what is new only, while the session gets what the client would send over HTTP.
 */
export class ConnectionTranscripts {
  readonly #latest = new Map<string | undefined, { id: string; transcript: Transcript }>();

  /** Up to a response. `undefined`: none of the last ones has this id. */
  find(id: string): Transcript | undefined {
    return [...this.#latest.values()].find((latest) => latest.id === id)?.transcript;
  }

  /** `channel`: the one on which the response was sent. `undefined` is the one without a name. */
  remember(channel: string | undefined, id: string, transcript: Transcript): void {
    const length = transcript.reduce((sum, items) => sum + items.length, 0);
    if (length > MAX_LENGTH) this.#latest.delete(channel);
    else this.#latest.set(channel, { id, transcript });
  }

  forget(id: string): void {
    for (const [channel, latest] of this.#latest) if (latest.id === id) this.#latest.delete(channel);
  }
}

/**
 * The request with the transcript of the response that it continues in front of its own input, and all of these items.
 * Throws OpenAI's error for a response that the connection does not have.
 */
export function withTranscript(
  request: RequestText,
  transcripts: Pick<ConnectionTranscripts, "find">,
): { text: string; transcript: Transcript } {
  const { text, members } = request;
  const own = readInput(request);
  const previous = readOption(request, "previous_response_id");
  if (typeof previous !== "string") return { text, transcript: own };
  const before = transcripts.find(previous);
  if (before === undefined) throw previousNotFound(previous);
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
