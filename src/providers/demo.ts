import { unfold } from "../canonical/accumulator.ts";
import type {
  Alternative,
  Block,
  FunctionTool,
  Message,
  ModelRequest,
  ModelResponse,
  StreamEvent,
} from "../canonical/types.ts";
import { openaiChat } from "../dialects/openai-chat/index.ts";
import { encodeUtf8 } from "../wire/bytes.ts";
import { sha256 } from "../wire/hash.ts";
import { isObject, parseJson, tryParseJson } from "../wire/json.ts";
import { createSample } from "./demo-arguments.ts";
import { embedTexts } from "./demo-embeddings.ts";

/**
 * The built-in demo model, as a replacement for `fetch`: OpenAI Chat completions, embeddings and token counting, without a
 * network or a key. The gateway treats it like any other provider. It is deterministic and stateless: it answers only from
 * the messages of the request, so an answer that refers to an earlier turn shows that the gateway restored the context.
 */
export async function fetchDemo(request: Request): Promise<Response> {
  const body = parseJson(await request.text());
  const { pathname } = new URL(request.url);
  if (pathname.endsWith("/embeddings")) return Response.json(embedTexts(isObject(body) ? body : {}));
  const call = openaiChat.decodeRequest(isObject(body) ? body : {});
  const response = respond(call);
  if (pathname.endsWith("/input_tokens"))
    return Response.json({ object: "response.input_tokens", input_tokens: response.usage.fresh });
  const includeUsage = isObject(body) && isObject(body.stream_options) && body.stream_options.include_usage === true;
  const reply = { created: Math.floor(Date.now() / 1000), includeUsage, request: call };
  if (!call.stream) return Response.json(openaiChat.encodeResponse(response, reply));
  const encoder = openaiChat.encodeStream(reply);
  const frames = streamByToken(response)
    .map((event) => encoder.push(event))
    .filter((frame) => frame !== "");
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const frame = frames.shift();
      if (frame === undefined) controller.close();
      else controller.enqueue(encodeUtf8(frame));
    },
  });
  return new Response(stream, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
}

/** The answer to a request. One word is one token, so that counts can be checked by hand. */
function respond(request: ModelRequest): ModelResponse {
  const { messages, maxOutput, sampling = {} } = request;
  const context = messages.flatMap(({ role, blocks }) => blocks.map((block) => ({ role, text: blockText(block) })));
  const { isCut, ...block } = truncate(applyStop(chooseReply(request), sampling.stop ?? []), maxOutput);
  const answer: Alternative = {
    messages: [{ role: "assistant", blocks: [block] }],
    finish: { reason: isCut ? "length" : block.kind === "tool_call" ? "tool_calls" : "stop" },
  };
  // Several requested answers (`n`) are all the same.
  const count = Math.min(sampling.n ?? 1, MAX_ANSWERS);
  return {
    id: `chatcmpl-demo-${sha256(JSON.stringify(context)).slice(0, 16)}`,
    model: "demo",
    ...answer,
    ...(count > 1 && { alternatives: Array.from({ length: count - 1 }, () => answer) }),
    usage: {
      fresh: context.reduce((sum, { text }) => sum + countWords(text), 0),
      output: count * countWords(blockText(block)),
    },
  };
}

/** Most answers to one request. OpenAI API reference, Chat: `n`. */
const MAX_ANSWERS = 128;

/** What an answer depends on. `text`: that of the last message. */
type Prompt = { text: string; last: Message | undefined; request: ModelRequest };

/** What the demo understands, in order: the first rule that returns a block answers. */
const RULES: readonly ((prompt: Prompt) => Block | undefined)[] = [
  callDemandedTool,
  summarize,
  callNextTool,
  repeatResult,
  callTool,
  recallFact,
  repeatMessage,
  confirmFact,
];

/** Answers by the first rule that applies, in the requested format; other messages are repeated. */
function chooseReply(request: ModelRequest): Block {
  const last = request.messages.at(-1);
  const prompt = { text: messageText(last), last, request };
  for (const rule of RULES) {
    const block = rule(prompt);
    if (block !== undefined) return formatReply(block, request);
  }
  return formatReply(textBlock(`You said: ${prompt.text}`), request);
}

/** A text as the member `answer`, or as the strings of the requested schema. */
function formatReply(block: Block, { format }: ModelRequest): Block {
  if (block.kind !== "text" || format === undefined || format.type === "text") return block;
  const value = format.type === "json" ? { answer: block.text } : createSample(format.schema, block.text);
  return textBlock(JSON.stringify(value));
}

/** A choice that demands a tool: the named one, or else the first one allowed. */
function callDemandedTool({ text, request }: Prompt): Block | undefined {
  const { toolChoice: choice, tools = [], messages } = request;
  if (choice === undefined || choice.mode === "auto" || choice.mode === "none") return undefined;
  const functions = tools.filter((tool) => tool.kind === "function");
  const among = choice.mode === "tool" ? [choice.name] : (choice.among ?? functions.map(({ name }) => name));
  const requested = functions.find(({ name }) => name === CALL.exec(text)?.groups?.name && among.includes(name));
  if (requested !== undefined) return callTool({ text, request, last: messages.at(-1) });
  const tool = functions.find(({ name }) => among.includes(name));
  return tool && createCall(messages.length, tool, JSON.stringify(createSample(tool.parameters ?? {}, text)));
}

/** The message that requests a summary, and the instructions that request one of a transcript. */
const SUMMARY = /^\s*(?:please )?summari[sz]e\b/i;
const OF_TRANSCRIPT = /\bwrite a summary\b/i;
const TRANSCRIPT = /^(?:User|System|Assistant): /;

/** The facts in the user's messages, which may be a transcript, and the lines that the user has in it. */
function summarize({ text, request: { messages } }: Prompt): Block | undefined {
  const isInstructed = messages.some(
    (message) => message.role === "system" && OF_TRANSCRIPT.test(messageText(message)),
  );
  if (!SUMMARY.test(text) && !(isInstructed && TRANSCRIPT.test(text))) return undefined;
  const facts = [...findFacts(messages)].map(([subject, value]) => `My ${subject} is ${value}.`);
  const transcript = messages.filter(({ role }) => role === "user").map(messageText);
  const lines = transcript.flatMap((one) => [...one.matchAll(/^User: (.*)$/gm)].map(([, line]) => line!));
  const others = lines.filter((line) => line.match(FACT) === null);
  return textBlock(["The user said:", ...facts, ...others].join("\n"));
}

function repeatResult({ last }: Prompt): Block | undefined {
  const result = last?.blocks.findLast((block) => block.kind === "tool_result");
  return result && textBlock(`The tool says: ${blockText(result)}`);
}

/** "call … with {…}" calls a declared tool; behind a "then", another one when the first has answered. */
const CALL = /\bcall (?<name>[\w-]+)(?: with (?<args>\{.*\}))?/s;
const NEXT = /,? (?:and )?then (?=call )/i;

/** The call that follows those which the last question has led to so far. */
function callNextTool({ last, request }: Prompt): Block | undefined {
  if (!last?.blocks.some(({ kind }) => kind === "tool_result")) return undefined;
  const question = request.messages.findLastIndex((message) => message.role === "user" && messageHasText(message));
  const made = request.messages.slice(question).filter(({ blocks }) => blocks.some(({ kind }) => kind === "tool_call"));
  const next = messageText(request.messages[question]).split(NEXT)[made.length];
  return next === undefined ? undefined : callTool({ text: next, last, request });
}

const messageHasText = ({ blocks }: Message): boolean => blocks.some(({ kind }) => kind === "text");

function callTool({ text: whole, request: { messages, tools = [], toolChoice } }: Prompt): Block | undefined {
  const [text = ""] = whole.split(NEXT);
  const { name, args = "{}" } = CALL.exec(text)?.groups ?? {};
  if (name === undefined || toolChoice?.mode === "none") return undefined;
  const tool = tools.filter((one) => one.kind === "function").find((one) => one.name === name);
  if (tool === undefined) return textBlock(`There is no tool named ${name}.`);
  return createCall(messages.length, tool, tryParseJson(args) === undefined ? "{}" : args);
}

function createCall(place: number, { name, custom }: FunctionTool, args: string): Block {
  const id = `call_${sha256(JSON.stringify([place, name, args])).slice(0, 24)}`;
  return { kind: "tool_call", id, name, arguments: args, ...(custom && { custom: true }) };
}

/** "my … is …" is a fact, and "what is my …?" a question about one. */
const FACT = /\bmy (?<subject>[\w ]{1,40}?) (?:is|are) (?<value>[^.!?\n]+)/gi;
const QUESTION = /\bwhat(?:'s|’s| is| are) my (?<subject>[\w ]{1,40}?)\s*\?/i;

function recallFact({ text, request: { messages } }: Prompt): Block | undefined {
  const subject = QUESTION.exec(text)?.groups?.subject?.toLowerCase();
  if (subject === undefined) return undefined;
  const value = findFacts(messages).get(subject);
  return textBlock(value === undefined ? `You have not told me your ${subject} yet.` : `Your ${subject} is ${value}.`);
}

const ECHO = /\bwhat did i (?:just )?say\b/i;

function repeatMessage({ text, request: { messages } }: Prompt): Block | undefined {
  if (!ECHO.test(text)) return undefined;
  const before = messages.slice(0, -1).findLast(({ role }) => role === "user");
  return textBlock(before === undefined ? "Nothing yet." : `You said: ${messageText(before)}`);
}

function confirmFact({ last }: Prompt): Block | undefined {
  const [fact] = findFacts(last === undefined ? [] : [last]);
  return fact && textBlock(`I will remember that your ${fact[0]} is ${fact[1]}.`);
}

/** The facts of the form "my … is …" in the user's messages, the latest value for each subject. */
function findFacts(messages: readonly Message[]): Map<string, string> {
  const facts = new Map<string, string>();
  for (const message of messages.filter(({ role }) => role === "user")) {
    for (const { groups } of messageText(message).matchAll(FACT))
      facts.set(groups!.subject!.toLowerCase(), groups!.value!.trim());
  }
  return facts;
}

const textBlock = (text: string): Block => ({ kind: "text", text });

/** Cuts the text before the first stop sequence. */
function applyStop(block: Block, stop: readonly string[]): Block {
  if (block.kind !== "text") return block;
  const ends = stop.map((sequence) => block.text.indexOf(sequence)).filter((at) => at >= 0);
  return ends.length === 0 ? block : { ...block, text: block.text.slice(0, Math.min(...ends)) };
}

/** Cuts the text after `limit` tokens. */
function truncate(block: Block, limit: number | undefined): Block & { isCut?: boolean } {
  if (block.kind !== "text" || limit === undefined || countWords(block.text) <= limit) return block;
  return { ...block, text: splitTokens(block.text).slice(0, limit).join(""), isCut: true };
}

/** Tokens: words, each with the white space before it. */
const splitTokens = (text: string): string[] => text.match(/\s*\S+/g) ?? [];
const countWords = (text: string): number => splitTokens(text).length;
const messageText = (message: Message | undefined): string => (message?.blocks ?? []).map(blockText).join("\n");

function blockText(block: Block): string {
  if (block.kind === "text" || block.kind === "thinking") return block.text;
  if (block.kind === "tool_call") return block.arguments;
  return block.kind === "tool_result" ? block.content.map(blockText).join("\n") : "";
}

/** The events of a stream with one delta per token. */
function streamByToken(response: ModelResponse): StreamEvent[] {
  return unfold(response).flatMap((event) =>
    event.type === "delta" ? splitTokens(event.text).map((text): StreamEvent => ({ ...event, text })) : [event],
  );
}
