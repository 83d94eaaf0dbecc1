import { env, exports } from "cloudflare:workers";
import { expect } from "vitest";
import { objectIdIn } from "../../../src/wire/id.ts";
import { decodeSse } from "../../../src/wire/sse.ts";

/** The gateway as a client sees it, from inside the runtime. */
export const KEY = "rhone_sk_test";

type Said = Record<string, unknown>;
export type OpenAiError = { message: string; type: string; param: string | null; code: string | null };
export type Rhone = { session_id: string; turn_id: string; call_id: string; run_id: string } & Record<string, unknown>;
export type Answer = {
  id: string;
  choices: { message: { content: string; tool_calls?: Said[] }; finish_reason: string }[];
  rhone: Rhone;
  error: Said;
};

export function request(path: string, init: RequestInit & { key?: string | null } = {}): Promise<Response> {
  const { key = KEY, headers, ...rest } = init;
  const all = new Headers(headers);
  if (key !== null) all.set("authorization", `Bearer ${key}`);
  return exports.default.fetch(new Request(`https://gateway.test${path}`, { ...rest, headers: all }));
}

export const post = (body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  request("/v1/chat/completions", {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers,
  });

export const user = (content: string): Said => ({ role: "user", content });

/** A whole answer, which must be a success. */
export async function chat(body: Said, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await post({ model: "demo", ...body }, headers);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text) as Answer;
}

/** What the provider was sent: the `mirror` model answers with it. */
export async function sent(
  body: Said,
  headers: Record<string, string> = {},
): Promise<{ raw: string; body: Said; answer: Answer }> {
  const answer = await chat({ model: "fake/mirror", ...body }, headers);
  const raw = answer.choices[0]!.message.content;
  return { raw, body: JSON.parse(raw) as Said, answer };
}

/** What the messages say that a provider was sent. */
export const contents = (body: Record<string, unknown>): unknown[] =>
  (body.messages as { content: unknown }[]).map(({ content }) => content);

export const eventsOf = async (response: Response): Promise<(string | undefined)[]> =>
  decodeSse(new Uint8Array(await response.arrayBuffer())).map(({ data }) => data);

/** What an error says of itself, in OpenAI's shape. */
export async function errorOf(response: Response): Promise<OpenAiError> {
  const { error }: { error: OpenAiError } = await response.json();
  return error;
}

export const get = async (path: string): Promise<Said> => (await request(path)).json();

/** The session's object, by any id that is in it. */
export function objectOf(callId: string): ReturnType<typeof env.SESSIONS.get> {
  const digits = Array.from(objectIdIn("call", callId)!).reduce(
    (sum, c) => (sum << 5n) | BigInt("0123456789abcdefghjkmnpqrstvwxyz".indexOf(c)),
    0n,
  );
  return env.SESSIONS.get(env.SESSIONS.idFromString(digits.toString(16).padStart(64, "0")));
}
