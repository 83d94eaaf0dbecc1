import { chat, request, sent, user } from "./client.ts";

/** Whatever an answer holds. */
export type Json = ReturnType<typeof JSON.parse>;

export const alice = { messages: [user("My name is Alice.")] };
export const whatName = [user("What's my name?")];

/** A request of the session API: its status and its body. */
export async function api(method: string, path: string, body?: unknown): Promise<{ status: number; body: Json }> {
  const response = await request(path, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body) }),
    headers: { "content-type": "application/json" },
  });
  return { status: response.status, body: await response.json() };
}

export const verb = (id: string, name: string, body: unknown = {}): ReturnType<typeof api> =>
  api("POST", `/v1/sessions/${id}:${name}`, body);

/** A session in which the model was told these things, one turn each. */
export async function sessionOf(...texts: string[]): Promise<{ id: string; turns: string[]; calls: string[] }> {
  const first = await chat({ model: "fake/say", messages: [user(texts[0]!)] });
  const id = first.rhone.session_id;
  const all = [first.rhone];
  for (const text of texts.slice(1))
    all.push((await chat({ model: "fake/say", messages: [user(text)], rhone: { session_id: id } })).rhone);
  return { id, turns: all.map(({ turn_id }) => turn_id), calls: all.map(({ call_id }) => call_id) };
}

/** What the provider sees when the session goes on, without the last message. */
export async function seen(id: string, rhone: Json = {}): Promise<string[]> {
  const { body } = await sent({ messages: [user("and?")], rhone: { session_id: id, ...rhone } });
  return (body.messages as Json[]).slice(0, -1).map(({ content }) => content as string);
}
