import OpenAI from "openai";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionMessageParam,
} from "openai/resources/chat/completions";
import { expect } from "vitest";
import { baseUrl, key, type Rhone, type RhoneRequest } from "./gateway.ts";

/** How a TypeScript user teaches the SDK our one object; without it, `// @ts-expect-error` on the member does. */
declare module "openai/resources/chat/completions/completions" {
  interface ChatCompletionCreateParamsBase {
    rhone?: RhoneRequest;
  }
  interface ChatCompletion {
    rhone?: Rhone;
  }
  interface ChatCompletionChunk {
    rhone?: Rhone;
  }
}

export const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });
export const { completions } = client.chat;

export const user = (content: string): ChatCompletionMessageParam => ({ role: "user", content });
export const alice = { model: "demo", messages: [user("My name is Alice.")] };
export const whatName = { model: "demo", messages: [user("What's my name?")] };
export const textOf = ({ choices }: ChatCompletion): string | null => choices[0]!.message.content;
export const inSessionOf = ({ rhone }: { rhone?: Rhone }): { rhone: RhoneRequest } => ({
  rhone: { session_id: rhone!.session_id },
});

/** What the provider is shown in this session: the `mirror` model answers with the request it got. */
export async function shown(session: { rhone: RhoneRequest }): Promise<ChatCompletionMessageParam[]> {
  const answer = await completions.create({ model: "fake/mirror", messages: [user("and?")], ...session });
  return (JSON.parse(textOf(answer)!) as { messages: ChatCompletionMessageParam[] }).messages;
}

export async function read(
  stream: AsyncIterable<ChatCompletionChunk>,
): Promise<{ chunks: ChatCompletionChunk[]; text: string }> {
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return { chunks, text: chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("") };
}

/** The error of a call that must fail. */
export const failureOf = (call: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(call).then(
    () => expect.unreachable("the call must fail"),
    (error: unknown) => error,
  );
