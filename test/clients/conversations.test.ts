import OpenAI from "openai";
import type { Response as Answer } from "openai/resources/responses/responses";
import { describe, expect, it } from "vitest";
import { baseUrl, key } from "./gateway.ts";
import { failureOf, PROVIDERS, readAll } from "./matrix.ts";

const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });
const { conversations, responses } = client;

const user = (content: string) => ({ type: "message" as const, role: "user" as const, content });
const textsOf = (items: readonly object[]): string[] => items.map((item) => JSON.stringify(item));
const seen = ({ output_text }: Answer): string => output_text;

/** What hebo's extension of the API answers: OpenAI's SDK has no list of conversations. */
async function listed(
  query: string,
): Promise<{ data: { id: string }[]; has_more: boolean; first_id: string; last_id: string }> {
  const answer = await fetch(`${baseUrl}/v1/conversations?${query}`, { headers: { authorization: `Bearer ${key}` } });
  expect(answer.status).toBe(200);
  return await answer.json();
}

describe.each(PROVIDERS)("conversations with %s", (provider) => {
  it("a conversation stores its responses, and gives them to the next one", async () => {
    const { id } = await conversations.create({ items: [user("My name is Alice.")], metadata: { topic: "names" } });
    expect(id).toMatch(/^conv_/);
    const first = await responses.create({ model: `${provider}/say`, input: "Hello", conversation: id });
    expect(first.conversation).toEqual({ id });
    const next = await responses.create({ model: `${provider}/mirror`, input: "And?", conversation: { id } });
    for (const words of ["My name is Alice.", "Hello", "Said say."]) expect(seen(next)).toContain(words);
    const items = await readAll(conversations.items.list(id, { order: "asc", limit: 2 }));
    expect(textsOf(items.slice(0, 4))).toEqual([
      expect.stringContaining("My name is Alice."),
      expect.stringContaining("Hello"),
      expect.stringContaining("Said say."),
      expect.stringContaining("And?"),
    ]);
    expect(items[2]!.id).toBe(first.output[0]!.id);
  });

  it("a conversation is a session by another name, also on another surface", async () => {
    const { id } = await conversations.create({ items: [user("My name is Alice.")] });
    const chat = await client.chat.completions.create({
      model: `${provider}/mirror`,
      messages: [{ role: "user", content: "Who am I?" }],
      rhone: { session_id: id.replace("conv_", "sess_") },
    } as never);
    expect(chat.choices[0]!.message.content).toContain("My name is Alice.");
    const [newest] = (await conversations.items.list(id, { limit: 1 })).data;
    expect(newest).toMatchObject({ type: "message", role: "assistant", status: "completed" });
  });
});

describe("a conversation", () => {
  it("a conversation is made, read, changed and deleted", async () => {
    const made = await conversations.create({ metadata: { user_id: "u1" } });
    expect(made).toMatchObject({ object: "conversation", metadata: { user_id: "u1" } });
    expect(Math.abs(made.created_at - Date.now() / 1000)).toBeLessThan(60);
    expect(await conversations.retrieve(made.id)).toEqual(made);
    const changed = await conversations.update(made.id, { metadata: { stage: "2" } });
    expect(changed.metadata).toEqual({ stage: "2" });
    expect(await conversations.delete(made.id)).toEqual({ id: made.id, object: "conversation.deleted", deleted: true });
    expect(await failureOf(conversations.retrieve(made.id))).toBeInstanceOf(OpenAI.NotFoundError);
    const error = await failureOf(responses.create({ model: "demo", input: "x", conversation: made.id }));
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect((error as Error).message).toContain(`Conversation with id '${made.id}' not found.`);
  });

  it("a conversation takes items, gives them ids, and lets one be deleted", async () => {
    const { id } = await conversations.create();
    const call = { type: "function_call" as const, call_id: "call_1", name: "look", arguments: "{}" };
    const result = { type: "function_call_output" as const, call_id: "call_1", output: "nothing there" };
    const added = await conversations.items.create(id, { items: [user("First."), user("Second."), call, result] });
    expect(added.data.map(({ type }) => type)).toEqual(["message", "message", "function_call", "function_call_output"]);
    const [first, second] = added.data;
    expect(await conversations.items.retrieve(first!.id!, { conversation_id: id })).toEqual(first);
    await responses.create({ model: "fakechat/say", input: "Third.", conversation: id });
    expect(await conversations.items.delete(second!.id!, { conversation_id: id })).toMatchObject({
      id,
      object: "conversation",
    });
    const left = textsOf(await readAll(conversations.items.list(id, { order: "asc" })));
    expect(left).toHaveLength(5);
    expect(left.join()).not.toContain("Second.");
    const next = await responses.create({ model: "fakechat/mirror", input: "All?", conversation: id });
    expect(seen(next)).not.toContain("Second.");
    for (const words of ["First.", "nothing there", "Third.", "Said say."]) expect(seen(next)).toContain(words);
    const gone = await failureOf(conversations.items.retrieve(second!.id!, { conversation_id: id }));
    expect(gone).toBeInstanceOf(OpenAI.NotFoundError);
  });

  it("a conversation is listed at once, by its metadata, in pages", async () => {
    const topic = `topic-${Date.now()}`;
    const made: string[] = [];
    for (let i = 0; i < 3; i++) made.unshift((await conversations.create({ metadata: { topic, n: String(i) } })).id);
    const all = await listed(`metadata.topic=${topic}`);
    expect(all).toMatchObject({ object: "list", has_more: false, first_id: made[0], last_id: made[2] });
    expect(all.data.map(({ id }) => id)).toEqual(made);
    const page = await listed(`metadata.topic=${topic}&limit=2`);
    expect(page).toMatchObject({ has_more: true, last_id: made[1] });
    expect((await listed(`metadata.topic=${topic}&limit=2&after=${page.last_id}`)).data).toMatchObject([
      { id: made[2] },
    ]);
    expect((await listed(`metadata.topic=${topic}&metadata.n=1`)).data).toMatchObject([{ id: made[1] }]);
    await conversations.delete(made[0]!);
    expect((await listed(`metadata.topic=${topic}`)).data).toHaveLength(2);
  });

  it("a conversation is found under the name that its session was given", async () => {
    const name = `chosen-${Date.now()}`;
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    await fetch(`${baseUrl}/v1/sessions`, { method: "POST", headers, body: JSON.stringify({ id: `sess_${name}` }) });
    const first = await responses.create({ model: "fakechat/say", input: "Hello", conversation: `conv_${name}` });
    const next = await responses.create({ model: "fakechat/mirror", input: "And?", previous_response_id: first.id });
    expect(seen(next)).toContain("Hello");
  });

  it.each([
    ["an unknown one", "GET", "/conversations/conv_unknown", undefined, 404],
    ["one whose id is none", "GET", "/conversations/resp_x", undefined, 404],
    ["an unknown item", "GET", "/conversations/conv_unknown/items/msg_x", undefined, 404],
    ["an unknown filter", "GET", "/conversations?topic=x", undefined, 400],
    ["an unknown cursor", "GET", "/conversations?after=conv_unknown", undefined, 400],
    ["too many items", "POST", "/conversations", { items: Array.from({ length: 21 }, () => user("x")) }, 400],
    ["metadata that is no text", "POST", "/conversations", { metadata: { a: 1 } }, 400],
  ])("a wrong request for conversations is refused: %s", async (_, method, path, body, status) => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const answer = await fetch(`${baseUrl}/v1${path}`, {
      method,
      headers,
      ...(body && { body: JSON.stringify(body) }),
    });
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ error: { type: "invalid_request_error" } });
  });
});
