import { describe, expect, it } from "vitest";
import { chat, request, sent, user } from "../../support/worker/client.ts";
import { api } from "../../support/worker/session-client.ts";

type Json = ReturnType<typeof JSON.parse>;

/** Conversations that their clients name, and what can be wrong with them: never another's words, never a broken request. */
const named = (id: string = crypto.randomUUID()): Record<string, string> => ({ "x-rhone-conversation-id": id });
const said = (content: string): object => ({ role: "assistant", content });

async function turnsOf(session: string): Promise<Json[]> {
  const { body } = await api("GET", `/v1/sessions/${session}/timeline`);
  return (body.data as Json[]).filter(({ type }) => type === "turn");
}

it("two devices with one conversation and different transcripts have branches of their own", async () => {
  const headers = named();
  const devices = ["phone", "desk"].map((name) => ({ name, transcript: [] as object[] }));
  const sessions = new Set<string>();
  for (let turn = 1; turn <= 3; turn++) {
    for (const { name, transcript } of devices) {
      transcript.push(user(`${name} ${turn}`));
      // Another wire gets what the session holds of it: that of this device alone.
      const { rhone, choices } = await chat({ model: "fakeanth/mirror", messages: transcript }, headers);
      const { content } = choices[0]!.message as { content: string };
      const { messages }: Json = JSON.parse(content);
      expect(JSON.stringify(messages)).not.toContain(name === "phone" ? "desk" : "phone");
      expect(messages).toHaveLength(2 * turn - 1);
      sessions.add(rhone.session_id);
      transcript.push(said(content));
    }
  }
  expect(sessions.size).toBe(1);
  const turns = await turnsOf([...sessions][0]!);
  const parents = turns.map(({ parent_id: parent }) => turns.findIndex(({ turn_id: id }) => id === parent));
  expect(parents).toEqual([-1, -1, 0, 1, 2, 3]);
});

it("a transcript that shrinks is followed, and what it leaves out is not sent", async () => {
  const headers = named();
  const whole = [user("one"), said("Said say."), user("two"), said("Said say."), user("three")];
  const sessions = new Set<string>();
  for (const length of [1, 3, 5, 3, 1, 5]) {
    const { raw, answer } = await sent({ messages: whole.slice(0, length) }, headers);
    expect(JSON.parse(raw).messages).toEqual(whole.slice(0, length));
    sessions.add(answer.rhone.session_id);
  }
  expect(sessions.size).toBe(1);
});

describe("an odd id", () => {
  it.each<[string, string]>([
    ["of 10 KiB", "x".repeat(10_240)],
    ["with slashes, quotes and braces", '../../org_default/{"a":"b"}/0'],
    ["of percent signs", "%00%2e%2e%2f"],
    ["that is a number", "0"],
  ])("%s names a conversation like any other", async (_, id) => {
    const messages = [user("hi")];
    const [first, second] = [await chat({ messages }, named(id)), await chat({ messages }, named(id))];
    expect(second.rhone.session_id).toBe(first.rhone.session_id);
    const agent = { ...named(id), "x-rhone-agent-id": id };
    expect((await chat({ messages }, agent)).rhone.session_id).toBe(first.rhone.session_id);
  });

  it.each<[string, unknown]>([
    ["a text that is no JSON", "user_1_session_2"],
    ["a list", "[1]"],
    ["a session that is no text", '{"session_id": {"a": 1}}'],
    ["an empty session", '{"session_id": ""}'],
    ["half a surrogate pair", '{"session_id": "\\ud800"}'],
    ["another conversation's header", JSON.stringify({ session_id: "x".repeat(10_000) })],
  ])("metadata.user_id of Claude Code: %s", async (_, user_id) => {
    const body = { model: "fakeanth/say", max_tokens: 9, metadata: { user_id }, messages: [user("hi")] };
    const headers = { "user-agent": "claude-cli/2.1.4", "anthropic-version": "2023-06-01" };
    for (let i = 0; i < 2; i++) {
      const response = await request("/v1/messages", { method: "POST", headers, body: JSON.stringify(body) });
      expect(response.status, await response.text()).toBe(200);
    }
  });
});

it("the id of a session, also of another organisation's, is only a name here", async () => {
  const { id: org } = (await api("POST", "/v1/organizations", { name: "Elsewhere" })).body as { id: string };
  const messages = [user("My name is Alice.")];
  const theirs = await chat({ model: "demo", messages }, { "x-rhone-organization": org });
  const own = await chat({ model: "demo", messages });
  for (const { session_id: id } of [theirs.rhone, own.rhone]) {
    const { rhone, choices } = await chat({ model: "demo", messages: [user("What is my name?")] }, named(id));
    expect(rhone.session_id).not.toBe(id);
    expect(JSON.stringify(choices)).not.toContain("Alice");
  }
});

it("a conversation of another key is another conversation", async () => {
  const headers = named();
  const first = await chat({ messages: [user("My name is Alice.")] }, headers);
  const { secret } = (await api("POST", "/v1/keys", { name: "other", ttl_s: 60 })).body as { secret: string };
  const body = JSON.stringify({ model: "demo", messages: [user("What is my name?")] });
  const response = await request("/v1/chat/completions", { method: "POST", key: secret, headers, body });
  const { rhone, choices }: Json = await response.json();
  expect(rhone.session_id).not.toBe(first.rhone.session_id);
  expect(JSON.stringify(choices)).not.toContain("Alice");
});

it("a session id with a transcript that is not its own keeps every word, and adds no other conversation's", async () => {
  const mine = await chat({ messages: [user("mine")] });
  const other = [user("another"), said("Another answer."), user("and now?")];
  const rhone = { session_id: mine.rhone.session_id };
  const { raw, answer } = await sent({ messages: other, rhone }, named());
  expect(answer.rhone.session_id).toBe(rhone.session_id);
  const texts = JSON.parse(raw).messages.map(({ content }: Json) => content);
  expect(texts.slice(-3)).toEqual(["another", "Another answer.", "and now?"]);
});

describe("cache marks in odd places", () => {
  const mark = { type: "ephemeral" };
  const marked = (text: string, cache_control: unknown = mark): object => ({ type: "text", text, cache_control });
  const tools = [{ name: "look", input_schema: { type: "object" }, cache_control: mark }];
  const call = { type: "tool_use", id: "toolu_1", name: "look", input: {}, cache_control: mark };
  const result = { type: "tool_result", tool_use_id: "toolu_1", content: [marked("fine")], cache_control: mark };
  const transcript = [
    { role: "user", content: [marked("one"), marked("two")] },
    { role: "assistant", content: [marked("Let me look."), call] },
    { role: "user", content: [result, marked("three")] },
  ];

  it.each(["fake/mirror", "fakeresp/mirror", "fakegem/mirror", "demo"])(
    "seven marks of a Messages client reach no provider of another wire: %s",
    async (model) => {
      const body = JSON.stringify({ model, max_tokens: 9, system: [marked("Be brief.")], tools, messages: transcript });
      const headers = { "anthropic-version": "2023-06-01", ...named() };
      const response = await request("/v1/messages", { method: "POST", headers, body });
      const text = await response.text();
      expect(response.status, text).toBe(200);
      expect(text).not.toContain("cache_control");
    },
  );

  it("five marks of a client's own go to Claude as they are, and its refusal comes back in its words", async () => {
    const body = JSON.stringify({
      model: "fakeanth/say",
      max_tokens: 9,
      system: [marked("Be brief.")],
      tools,
      messages: transcript,
    });
    const headers = { "anthropic-version": "2023-06-01", ...named() };
    const response = await request("/v1/messages", { method: "POST", headers, body });
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining("maximum of 4 blocks")]);
  });

  it.each<[unknown]>([[null], ["ephemeral"], [[]], [{}], [{ type: "ephemeral", ttl: "7d" }], [{ type: 1 }]])(
    "%j as a mark breaks nothing",
    async (cache_control) => {
      const messages = [{ role: "user", content: [marked("one", cache_control)] }];
      for (const model of ["fake/say", "fakeanth/say", "fakegem/say"]) {
        const body = JSON.stringify({ model, max_tokens: 9, messages });
        const headers = { "anthropic-version": "2023-06-01", ...named() };
        const response = await request("/v1/messages", { method: "POST", headers, body });
        const text = await response.text();
        expect([200, 400], text).toContain(response.status);
        if (response.status === 400) expect(text).toContain("cache_control");
      }
    },
  );
});
