import { deltaTextOf, toOpenBlock, StreamAccumulator } from "../../canonical/accumulator.ts";
import { addCitations, addLate, findNew, type LateCitations } from "../../canonical/citations.ts";
import { GatewayError } from "../../canonical/error.ts";
import type { Block, Citation, Logprob, ModelResponse, StreamEvent, Text, Usage } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import { encodeSse, type SseEvent } from "../../wire/sse.ts";
import { AnswerCalls } from "../answer-calls.ts";
import type { ReplyContext, StreamDecoder, StreamEncoder } from "../dialect.ts";
import { findErrorBody } from "../error-body.ts";
import { decodeMalformed } from "../malformed-event.ts";
import { decodePart } from "./blocks.ts";
import { readMember } from "./casing.ts";
import { type DecodeContext, newDecodeContext } from "./decode-context.ts";
import { decodeStreamError, errorMembers, readPlainJson } from "./errors.ts";
import { decodeGrounding, joinTexts } from "./grounding.ts";
import { decodeLogprobs } from "./logprobs.ts";
import { PartialCall } from "./partial-args.ts";
import { isPlain, joinPart } from "./plain-parts.ts";
import {
  blockReasonOf,
  decodeResponse,
  encodeCandidate,
  encodeEnd,
  encodeEnvelope,
  encodeReplyPart,
  isAcceptedPart,
  isFailure,
  readFinishReason,
} from "./response.ts";
import { decodeUsage } from "./usage.ts";

export const decodeStream = (seal?: string, callId?: string): StreamDecoder => new GeminiDecoder(seal, callId);
export const encodeStream = (_reply: ReplyContext): StreamEncoder => new GeminiEncoder();

/** A stream without `alt=sse`: the list of its chunks. */
export function decodeChunks(chunks: readonly Json[], seal?: string, callId?: string): ModelResponse {
  const decoder = new GeminiDecoder(seal, callId);
  const accumulator = new StreamAccumulator();
  for (const chunk of chunks) for (const event of decoder.pushChunk(chunk)) accumulator.push(event);
  for (const event of decoder.end()) accumulator.push(event);
  if (accumulator.error !== undefined) throw accumulator.error;
  return accumulator.response!;
}

/**
 * Decodes chunks. Each chunk is a response with the next parts; beside the events the whole response grows, and
 * its final decoding equals `decodeResponse`. Consecutive plain texts of one kind are one part; a part with a
 * signature or an unknown member stays separate, because a signature is bound to its part (Gemini API, "Thought
 * signatures"). The answer is complete with a finish reason, or with the reason for refusing the prompt.
 */
class GeminiDecoder implements StreamDecoder {
  #envelope: JsonObject | undefined;
  /** `usageMetadata`, as received last. */
  #usage: JsonObject | undefined;
  #candidate: JsonObject = {};
  /** Parts received so far, plain texts joined. */
  readonly #parts: Json[] = [];
  /** Citations of the texts that have closed, by index of the part, which is that of the block. */
  readonly #cited = new Map<number, readonly Citation[]>();
  readonly #context: DecodeContext;
  #failed = false;
  readonly #calls = new AnswerCalls();
  /** No parts will follow. */
  #isEnding = false;
  #nextIndex = 0;
  /** `call`: the call whose arguments are incomplete. */
  #open: { index: number; block: Block; call?: PartialCall; logprobs?: Logprob[] } | undefined;
  /** Candidates after the first, in the form of a response without streaming. */
  readonly #others = new Map<number, JsonObject>();

  readonly #seal: string | undefined;
  readonly #callId: string | undefined;

  constructor(seal: string | undefined, callId: string | undefined) {
    this.#seal = seal;
    this.#callId = callId;
    this.#context = newDecodeContext(seal, callId);
  }

  get isAnswerComplete(): boolean {
    return this.#candidate.finishReason !== undefined || blockReasonOf(this.#envelope ?? {}) !== undefined;
  }

  get isFailing(): boolean {
    const hasCall = this.#parts.some((part) => isObject(part) && isObject(readMember(part, "functionCall")));
    return isFailure(this.#candidate.finishReason, hasCall);
  }

  get usage(): Usage {
    return decodeUsage(this.#usage);
  }

  push({ data, event, raw }: SseEvent): StreamEvent[] {
    // An error can arrive as plain JSON in spite of the content type (three recordings).
    const text = data ?? readPlainJson(raw);
    if (text === undefined || text.trim() === "[DONE]") return [];
    return this.pushChunk(tryParseJson(text), text, event);
  }

  end(): StreamEvent[] {
    if (this.#failed) return [];
    if (!this.isAnswerComplete) {
      const message = "the provider's stream ended before the answer was finished";
      return this.#fail(new GatewayError("stream.interrupted", message));
    }
    this.#isEnding = true;
    const closing = this.#close();
    const envelope = this.#envelope ?? {};
    const content = this.#parts.length > 0 ? { content: { parts: this.#parts, role: "model" } } : {};
    const first = this.#candidate.finishReason === undefined ? [] : [{ ...this.#candidate, ...content }];
    const others = [...this.#others].toSorted(([a], [b]) => a - b).map(([, other]) => other);
    const candidates = [...first, ...others];
    const body = { ...envelope, ...(candidates.length > 0 && { candidates }) };
    const { messages, finish, usage, alternatives, losses = [], rest } = decodeResponse(body, this.#seal, this.#callId);
    const items = messages.map(({ native }) => native);
    const lost = [...new Set([...this.#calls.losses, ...losses])];
    const extras = {
      ...(lost.length > 0 && { losses: lost }),
      ...(items.length > 0 && { items }),
      ...(alternatives && { alternatives }),
      ...(rest && { rest }),
    };
    return [...closing, { type: "end", finish, usage, ...extras, ...this.#listLate() }];
  }

  /** A chunk that is parsed already; a list stands for its first entry. `name`: that of its event. */
  pushChunk(chunk: Json | undefined, text = "null", name?: string): StreamEvent[] {
    const body = Array.isArray(chunk) ? chunk[0] : chunk;
    if (isObject(body) && isObject(body.usageMetadata)) this.#usage = body.usageMetadata;
    if (this.#failed) return [];
    if (!isObject(body)) return decodeMalformed(text, name, (error) => this.#fail(error));
    if (findErrorBody(body) !== undefined) return this.#fail(decodeStreamError(body));
    const { candidates, ...envelope } = body;
    const events: StreamEvent[] = [];
    if (this.#envelope === undefined) {
      const model = stringifyMember(body.modelVersion);
      events.push({ type: "start", id: stringifyMember(body.responseId), model });
    }
    this.#envelope = { ...this.#envelope, ...envelope };
    for (const candidate of Array.isArray(candidates) ? candidates : []) {
      if (!isObject(candidate)) continue;
      const index = candidate.index ?? 0;
      if (index === 0) events.push(...this.#addCandidate(candidate));
      else if (typeof index === "number") this.#addAlternative(index, candidate);
    }
    return events;
  }

  /** Members accumulate over the chunks; grounding accumulates by its own members. */
  #addCandidate({ content, groundingMetadata, finishReason, ...members }: JsonObject): StreamEvent[] {
    Object.assign(this.#candidate, members, readFinishReason(finishReason) !== "" && { finishReason });
    if (isObject(groundingMetadata)) {
      const before = isObject(this.#candidate.groundingMetadata) ? this.#candidate.groundingMetadata : {};
      this.#candidate.groundingMetadata = { ...before, ...groundingMetadata };
    }
    const parts = isObject(content) && Array.isArray(content.parts) ? content.parts : [];
    const events = parts.flatMap((part) => this.#addPart(part));
    const logprobs = decodeLogprobs(members.logprobsResult);
    if (logprobs.length > 0 && this.#open?.block.kind === "text") (this.#open.logprobs ??= []).push(...logprobs);
    return events;
  }

  /** Alternatives have no events of their own: the end event has them whole. */
  #addAlternative(index: number, { content, ...members }: JsonObject): void {
    const before = this.#others.get(index) ?? {};
    const earlier = isObject(before.content) && Array.isArray(before.content.parts) ? before.content.parts : [];
    const more = isObject(content) && Array.isArray(content.parts) ? content.parts : [];
    this.#others.set(index, {
      ...before,
      ...members,
      content: { role: "model", parts: more.reduce(joinPart, earlier) },
    });
  }

  /** Appends a plain text to the open block of its kind; every other part is a block of its own. */
  #addPart(part: Json): StreamEvent[] {
    // A bare text is a part at some hosts; no other value is one, nor is a text of another type.
    if (typeof part === "string") return this.#addWholePart(part);
    if (!isObject(part) || (part.text !== undefined && typeof part.text !== "string")) return [];
    const call = readMember(part, "functionCall");
    if (isObject(call)) return this.#addCall(part, call);
    if (!isPlain(part)) return this.#addWholePart(part);
    const text = stringifyMember(part.text);
    if (text === "") return [];
    const kind = part.thought === true ? "thinking" : "text";
    const isSame = this.#open?.block.kind === kind;
    return [
      ...(isSame ? [] : [...this.#close(), ...this.#start({ kind, text: "" }, { ...part, text: "" })]),
      ...this.#append(text),
    ];
  }

  /** A delta without a name continues the open call (Vertex, `streamFunctionCallArguments`). */
  #addCall(part: JsonObject, call: JsonObject): StreamEvent[] {
    const openCall = stringifyMember(call.name) === "" ? this.#open?.call : undefined;
    const continues = readMember(call, "willContinue") === true;
    if (openCall !== undefined) {
      openCall.add(call);
      return continues ? [] : this.#close();
    }
    if (!isAcceptedPart(part, this.#calls)) return [];
    if (!continues && readMember(call, "partialArgs") === undefined) return this.#addWholePart(part);
    const partial = new PartialCall(part, call);
    const block = decodePart(partial.completePart, this.#context);
    if (block === undefined) return [];
    const events = [...this.#close(), ...this.#start(block, partial.completePart, partial)];
    return continues ? events : [...events, ...this.#close()];
  }

  #addWholePart(part: Json): StreamEvent[] {
    const block = decodePart(part, this.#context);
    if (block === undefined) return [];
    const events = [...this.#close(), ...this.#start(block, part)];
    const text = deltaTextOf(block);
    const { index } = this.#open!;
    return [...events, ...(text === "" ? [] : [{ type: "delta", index, text } as const]), ...this.#close()];
  }

  #start(block: Block, part: Json, call?: PartialCall): StreamEvent[] {
    const index = this.#nextIndex++;
    this.#parts.push(part);
    this.#open = { index, block, ...(call !== undefined && { call }) };
    return [{ type: "open", index, block: toOpenBlock(block) }];
  }

  /** The open block is a plain text: its part, which is the last one, grows with it. */
  #append(text: string): StreamEvent[] {
    const open = this.#open!;
    const part = this.#parts.at(-1);
    if (isObject(part)) this.#parts[this.#parts.length - 1] = { ...part, text: stringifyMember(part.text) + text };
    return [{ type: "delta", index: open.index, text }];
  }

  #close(): StreamEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    this.#open = undefined;
    const { index, block, call, logprobs } = open;
    if (call === undefined)
      return [{ type: "close", index, block: { ...this.#finish(block), ...(logprobs && { logprobs }) } }];
    this.#parts[this.#parts.length - 1] = call.completePart;
    const finished = this.#finish(block);
    return [
      { type: "delta", index, text: deltaTextOf(finished) },
      { type: "close", index, block: finished },
    ];
  }

  /** The block as its part decodes now, with the id that it was opened with. */
  #finish(block: Block): Block {
    const known: DecodeContext = { ...this.#context, newId: () => (block.kind === "tool_call" ? block.id : "") };
    const finished = decodePart(this.#parts.at(-1)!, known) ?? block;
    return finished.kind === "text" ? this.#cite(finished) : finished;
  }

  /** The last part as a text with the citations received so far. */
  #cite(text: Text): Text {
    const { groundingMetadata } = this.#candidate;
    if (groundingMetadata === undefined) return text;
    const citations = decodeGrounding(this.#parts, groundingMetadata, this.#isEnding).at(-1)!;
    this.#cited.set(this.#parts.length - 1, citations);
    return addCitations(text, citations);
  }

  /** The grounding arrives with the last chunk, when texts before a call or code have closed. */
  #listLate(): { late?: LateCitations } {
    const { groundingMetadata } = this.#candidate;
    if (groundingMetadata === undefined) return {};
    const late = decodeGrounding(this.#parts, groundingMetadata, true)
      .map((citations, index) => ({ index, citations: findNew(citations, this.#cited.get(index)) }))
      .filter(({ citations }) => citations.length > 0);
    return late.length > 0 ? { late } : {};
  }

  #fail(error: GatewayError): StreamEvent[] {
    this.#failed = true;
    return [{ type: "error", error }];
  }
}

/**
 * Encodes texts and reasoning as they arrive. A call is sent whole when it closes, because its arguments are an
 * object.
 */
class GeminiEncoder implements StreamEncoder {
  #id = "";
  #model = "";
  readonly #blocks: Block[] = [];

  push(event: StreamEvent): string {
    switch (event.type) {
      case "start":
        this.#id = event.id;
        this.#model = event.model;
        return "";
      case "open":
        this.#blocks[event.index] = event.block;
        return "";
      case "delta": {
        const kind = this.#blocks[event.index]?.kind;
        if (kind === "text") return this.#encodePart({ text: event.text });
        return kind === "thinking" ? this.#encodePart({ text: event.text, thought: true }) : "";
      }
      case "close":
        this.#blocks[event.index] = event.block;
        return this.#close(event.block);
      case "end": {
        const { finish, usage, rest, alternatives = [] } = event;
        const response = {
          id: this.#id,
          model: this.#model,
          messages: [],
          finish,
          usage,
          ...(rest !== undefined && { rest }),
        };
        addLate(this.#blocks, event.late);
        const sent = joinTexts(this.#blocks.filter((block) => encodeReplyPart(block) !== undefined));
        const candidate = { content: { parts: [{ text: "" }], role: "model" }, ...encodeEnd(response, sent) };
        const { candidates: _, promptFeedback, ...envelope } = encodeEnvelope(response);
        // The answer to a refused prompt has no candidate.
        const others = alternatives.map((other, i) => encodeCandidate(other, i + 1));
        const content = promptFeedback === undefined ? { candidates: [candidate, ...others] } : { promptFeedback };
        return this.#encodeChunk({ ...content, ...envelope });
      }
      case "error":
        return encodeSse({ data: JSON.stringify({ error: errorMembers(event.error) }) });
      case "loss":
        return "";
    }
  }

  /** The text was sent already; its signature follows with an empty text, as Gemini sends it. */
  #close(block: Block): string {
    const part = encodeReplyPart(block);
    if (part === undefined) return "";
    if (block.kind !== "text" && block.kind !== "thinking") return this.#encodePart(part);
    const isSigned = isObject(part) && readMember(part, "thoughtSignature") !== undefined;
    return isSigned ? this.#encodePart({ ...part, text: "" }) : "";
  }

  #encodePart(part: Json): string {
    return this.#encodeChunk({ candidates: [{ content: { parts: [part], role: "model" }, index: 0 }] });
  }

  #encodeChunk(members: JsonObject): string {
    const chunk = { ...members, modelVersion: this.#model, responseId: this.#id };
    return encodeSse({ data: JSON.stringify(chunk) });
  }
}
