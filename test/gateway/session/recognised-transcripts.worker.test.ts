import { beforeAll, describe, expect, it, vi } from "vitest";
import { request, type Rhone, user } from "../../support/worker/client.ts";

type Json = ReturnType<typeof JSON.parse>;

async function makeKey(defaults: object): Promise<string> {
  const body = JSON.stringify({ name: "framework", ttl_s: 600, defaults });
  const headers = { "content-type": "application/json" };
  const { secret }: { secret: string } = await (await request("/v1/keys", { method: "POST", headers, body })).json();
  return secret;
}

/** A call of a framework that sends its whole transcript and names nothing: its message, and where it was placed. */
async function say(
  key: string,
  messages: object[],
  model = "fake/say",
): Promise<{ said: Json; rhone: Rhone & { context: object } }> {
  const body = JSON.stringify({ model, messages });
  const response = await request("/v1/chat/completions", { method: "POST", key, body });
  const answer: Json = await response.json();
  expect(response.status, JSON.stringify(answer)).toBe(200);
  return { said: answer.choices[0].message, rhone: answer.rhone };
}

/** All turns, also those that are not on the path to the head. */
async function turnsOf(session: string): Promise<number> {
  const { data }: { data: { type: string }[] } = await (await request(`/v1/sessions/${session}/timeline`)).json();
  return data.filter(({ type }) => type === "turn").length;
}

const toBlock = ({ id, function: { name, arguments: args } }: Json): object => ({
  type: "tool_use",
  id,
  name,
  input: JSON.parse(args),
});

describe('a key with defaults.conversation: "transcript"', () => {
  let key: string;
  beforeAll(async () => {
    key = await makeKey({ conversation: "transcript" });
  });

  it("finds the conversation that a transcript continues, through tools and another surface", async () => {
    const question = user(`Look up ${crypto.randomUUID()}.`);
    const first = await say(key, [question], "fake/tools");
    expect(first.rhone.context).toMatchObject({ client: "other", recognized_by: "transcript", turns: 0 });
    const results = first.said.tool_calls.map(({ id }: Json) => ({ role: "tool", tool_call_id: id, content: "fine" }));
    const transcript = [question, first.said, ...results];
    const second = await say(key, transcript, "fake/tools");
    const third = await say(key, [...transcript, second.said, user("Again?")]);
    const inMessages = [
      question,
      {
        role: "assistant",
        content: [{ type: "text", text: first.said.content }, ...first.said.tool_calls.map(toBlock)],
      },
      {
        role: "user",
        content: results.map(({ tool_call_id }: Json) => ({
          type: "tool_result",
          tool_use_id: tool_call_id,
          content: "fine",
        })),
      },
      { role: "assistant", content: second.said.content },
      user("On Messages?"),
    ];
    const body = JSON.stringify({ model: "fakeanth/say", max_tokens: 9, messages: inMessages });
    const headers = { "anthropic-version": "2023-06-01" };
    const elsewhere: Json = await (await request("/v1/messages", { method: "POST", key, headers, body })).json();
    const sessions = [first.rhone, second.rhone, third.rhone, elsewhere.rhone].map(({ session_id }) => session_id);
    expect(new Set(sessions).size).toBe(1);
    expect(await turnsOf(sessions[0])).toBe(4);
  });

  it("an edited message is a branch, and other words are another conversation", async () => {
    const opening = user(`Begin ${crypto.randomUUID()}.`);
    const first = await say(key, [opening]);
    const second = await say(key, [opening, first.said, user("One way.")]);
    const edited = await say(key, [opening, first.said, user("Another way.")]);
    expect(new Set([first, second, edited].map(({ rhone }) => rhone.session_id)).size).toBe(1);
    const others = [
      await say(key, [opening]),
      await say(key, [opening, { role: "assistant", content: "Never said." }, user("One way.")]),
      await say(key, [user("Begin otherwise."), first.said, user("One way.")]),
    ];
    expect(new Set([first, ...others].map(({ rhone }) => rhone.session_id)).size).toBe(4);
  });

  it("is not found by another key, nor without the default", async () => {
    const opening = user(`Mine ${crypto.randomUUID()}.`);
    const first = await say(key, [opening]);
    const next = [opening, first.said, user("Go on.")];
    const other = await say(await makeKey({ conversation: "transcript" }), next);
    const plain = await say(await makeKey({}), next);
    expect(new Set([first, other, plain].map(({ rhone }) => rhone.session_id)).size).toBe(3);
    expect(plain.rhone.context).not.toHaveProperty("recognized_by");
  });

  it("is forgotten after a day", async () => {
    const opening = user(`Today ${crypto.randomUUID()}.`);
    const first = await say(key, [opening]);
    const next = [opening, first.said, user("Tomorrow.")];
    vi.spyOn(Date, "now").mockReturnValue(Date.now() + 25 * 3600 * 1000);
    try {
      expect((await say(await makeKey({ conversation: "transcript" }), next)).rhone.session_id).not.toBe(
        first.rhone.session_id,
      );
    } finally {
      vi.restoreAllMocks();
    }
  });

  it("a name, a session and a mode are stronger", async () => {
    const opening = user(`Named ${crypto.randomUUID()}.`);
    const first = await say(key, [opening]);
    const messages = [opening, first.said, user("Go on.")];
    for (const [headers, rhone] of [
      [{ "x-rhone-conversation-id": "c" }, {}],
      [{}, { context_mode: "stateless" }],
      [{}, { store: "none", context_mode: "stateless" }],
    ]) {
      const body = JSON.stringify({ model: "demo", messages, rhone });
      const answer: Json = await (
        await request("/v1/chat/completions", { method: "POST", key, headers: headers!, body })
      ).json();
      expect(answer.rhone.context).not.toMatchObject({ recognized_by: "transcript" });
      expect(answer.rhone.session_id).not.toBe(first.rhone.session_id);
    }
  });

  it("calls at the same time stand as siblings, and none waits", async () => {
    const opening = user(`Twice ${crypto.randomUUID()}.`);
    const first = await say(key, [opening]);
    const next = [opening, first.said];
    const answers = await Promise.all(["a", "b", "c", "d"].map((text) => say(key, [...next, user(text)])));
    expect(new Set(answers.map(({ rhone }) => rhone.session_id))).toEqual(new Set([first.rhone.session_id]));
    expect(await turnsOf(first.rhone.session_id)).toBe(5);
  });
});

it("a key's other value for the default is refused by name", async () => {
  const body = JSON.stringify({ name: "x", ttl_s: 60, defaults: { conversation: "words" } });
  const response = await request("/v1/keys", { method: "POST", headers: { "content-type": "application/json" }, body });
  expect([response.status, await response.text()]).toEqual([400, expect.stringContaining("defaults.conversation")]);
});
