import { describe, expect, it, vi } from "vitest";
import type { Json } from "../../src/wire/json.ts";
import { chat, contents, errorOf, get, post, request, sent, user } from "../support/worker/client.ts";

const said = { role: "assistant", content: "Said say." };
const weather = [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }];

describe("a transcript", () => {
  it("a transcript whose beginning was edited starts at the root, and sends nothing twice", async () => {
    const { rhone } = await chat({ model: "fake/say", messages: [user("one")] });
    const session = { session_id: rhone.session_id };
    await chat({ model: "fake/say", messages: [user("two")], rhone: session });
    const edited = [user("ONE, edited"), said, user("two"), said, user("three")];
    const { body, answer } = await sent({ messages: edited, rhone: session });
    expect(contents(body)).toEqual(["ONE, edited", "Said say.", "two", "Said say.", "three"]);
    expect(answer.rhone.context).toMatchObject({ turns: 0 });
    const next = await sent({ messages: [user("four")], rhone: session });
    expect(contents(next.body)).toHaveLength(7);
  });

  it("a transcript that grows with each call is sent whole and once, and is followed when its end changes", async () => {
    const lead = { role: "system", content: "Be brief." };
    const messages = [user("1")];
    const { rhone } = await chat({ model: "fake/say", messages: [lead, ...messages] });
    const session = { session_id: rhone.session_id };
    for (let turn = 2; turn <= 6; turn++) {
      messages.push(said, user(String(turn)));
      const answer = await chat({ model: "fake/say", messages: [lead, ...messages], rhone: session });
      expect(answer.rhone.context).toMatchObject({ turns: turn - 1 });
    }
    // The last answers are given anew, from further and further back, and the client goes on from the last of them.
    for (const end of [9, 5, 3]) {
      const { body, answer } = await sent({ messages: [lead, ...messages.slice(0, end)], rhone: session });
      expect(contents(body)).toEqual([lead, ...messages.slice(0, end)].map(({ content }) => content));
      expect(answer.rhone.context).toMatchObject({ turns: (end - 1) / 2 });
    }
    const { body } = await sent({ messages: [user("and?")], rhone: session });
    expect(contents(body).slice(0, 4)).toEqual(["Be brief.", "1", "Said say.", "2"]);
    expect(contents(body)).toHaveLength(6);
  });

  it("a transcript of a deleted session is new to the next session of the same id", async () => {
    const session = { session_id: `sess_again-${crypto.randomUUID()}` };
    const create = (): Promise<Response> =>
      request("/v1/sessions", {
        method: "POST",
        body: JSON.stringify({ id: session.session_id }),
        headers: { "content-type": "application/json" },
      });
    const transcript = [user("1"), said, user("2")];
    expect((await create()).status).toBe(201);
    await chat({ model: "fake/say", messages: [user("1")], rhone: session });
    await chat({ model: "fake/say", messages: transcript, rhone: session });
    await request(`/v1/sessions/${session.session_id}`, { method: "DELETE" });
    expect((await create()).status).toBe(201);
    const { body, answer } = await sent({ messages: [...transcript.slice(0, 2), user("other")], rhone: session });
    expect(contents(body)).toEqual(["1", "Said say.", "other"]);
    expect(answer.rhone.context).toMatchObject({ turns: 0 });
  });

  it("a background call that sends a transcript again continues the turn that it names", async () => {
    const items = [user("1"), said, user("2"), said];
    const ask = async (input: object[], more: object): Promise<{ id: string; status: string; rhone: Json }> => {
      const response = await request("/v1/responses", {
        method: "POST",
        body: JSON.stringify({ model: "fakeresp/say", input, ...more }),
        headers: { "content-type": "application/json" },
      });
      expect(response.status).toBe(200);
      return (await response.json()) as { id: string; status: string; rhone: Json };
    };
    const { rhone } = await ask([user("1")], {});
    const session = { rhone: { session_id: (rhone as { session_id: string }).session_id } };
    await ask(items.slice(0, 3), session);
    const queued = await ask([user("1"), said, user("other")], { ...session, background: true });
    await vi.waitFor(async () =>
      expect(await get(`/v1/responses/${queued.id}`)).toMatchObject({ status: "completed" }),
    );
    const { data } = (await get(`/v1/sessions/${session.rhone.session_id}/blocks?format=openai`)) as {
      data: { content: unknown }[];
    };
    expect(data.map(({ content }) => content)).toEqual(["1", "Said say.", "other", "Said say."]);
  });

  it("transcripts that wait for each other in one session continue what is there when their turn comes", async () => {
    const { rhone } = await chat({ model: "fake/say", messages: [user("1")] });
    const session = { session_id: rhone.session_id };
    const before = [user("1"), said, user("2"), said];
    await chat({ model: "fake/say", messages: before.slice(0, 3), rhone: session });
    await chat({ model: "fake/say", messages: [...before, user("3")], rhone: session });
    const again = [...before, user("3"), said];
    const both = await Promise.all(
      ["a", "b"].map((text) => sent({ messages: [...again, user(text)], rhone: session })),
    );
    for (const [i, { body, answer }] of both.entries()) {
      expect(contents(body)).toEqual(["1", "Said say.", "2", "Said say.", "3", "Said say.", ["a", "b"][i]]);
      expect(answer.rhone.context).toMatchObject({ turns: 3 });
    }
  });

  it("a transcript with replies that no model gave is new as a whole: examples, a handover", async () => {
    const { rhone } = await chat({ model: "fake/say", messages: [user("one")] });
    const example = [user("Translate: oui"), { role: "assistant", content: "yes" }, user("Translate: non")];
    const { body } = await sent({ messages: example, rhone: { session_id: rhone.session_id } });
    expect(contents(body)).toEqual(["one", "Said say.", "Translate: oui", "yes", "Translate: non"]);
  });

  it("a transcript whose last answer is to be given anew forks there", async () => {
    const { rhone } = await chat({ model: "fake/say", messages: [user("one")] });
    const session = { session_id: rhone.session_id };
    await chat({ model: "fake/say", messages: [user("two")], rhone: session });
    const { body } = await sent({ messages: [user("one"), said, user("two")], rhone: session });
    expect(contents(body)).toEqual(["one", "Said say.", "two"]);
    const lineage = (await get(`/v1/sessions/${session.session_id}/lineage`)) as { turns?: { in_head: boolean }[] };
    expect(lineage.turns!.map(({ in_head }) => in_head)).toEqual([true, false, true]);
  });

  it("a transcript of the last exchange alone, as of a client's own tool loop, goes on from the head", async () => {
    const { rhone } = await chat({ messages: [user("My name is Alice.")] });
    const session = { session_id: rhone.session_id };
    const asked = user('call get_weather with {"city":"Paris"}');
    const called = await chat({ messages: [asked], tools: weather, rhone: session });
    const reply = called.choices[0]!.message;
    const result = { role: "tool", tool_call_id: reply.tool_calls![0]!.id, content: "Sunny" };
    const { body } = await sent({ messages: [asked, reply, result], tools: weather, rhone: session });
    expect((body.messages as { role: string }[]).map(({ role }) => role)).toEqual([
      "user",
      "assistant",
      "user",
      "assistant",
      "tool",
    ]);
  });

  it("a transcript that starts with the call that it answers goes on from the head", async () => {
    const asked = user('call get_weather with {"city":"Paris"}');
    const called = await chat({ messages: [asked], tools: weather });
    const reply = called.choices[0]!.message;
    const result = { role: "tool", tool_call_id: reply.tool_calls![0]!.id, content: "Sunny" };
    const rhone = { session_id: called.rhone.session_id };
    const { body } = await sent({ messages: [reply, result], tools: weather, rhone });
    expect((body.messages as { role: string }[]).map(({ role }) => role)).toEqual(["user", "assistant", "tool"]);
  });

  it("a transcript is recognised from the turn that it names, too, and the session's own id is the root", async () => {
    const first = await chat({ model: "fake/say", messages: [user("one")] });
    const session = { session_id: first.rhone.session_id };
    await chat({ model: "fake/say", messages: [user("two")], rhone: session });
    const from = { ...session, parent: first.rhone.call_id };
    const { body } = await sent({ messages: [user("one"), said, user("other")], rhone: from });
    expect(contents(body)).toEqual(["one", "Said say.", "other"]);
    const anew = await sent({ messages: [user("zero")], rhone: { ...session, parent: session.session_id } });
    expect(contents(anew.body)).toEqual(["zero"]);
    const { rhone: elsewhere } = await chat({ messages: [user("x")] });
    const wrong = await post({
      model: "demo",
      messages: [user("x")],
      rhone: { ...session, parent: elsewhere.turn_id },
    });
    expect([wrong.status, (await errorOf(wrong)).param]).toEqual([404, "rhone.parent"]);
  });
});

describe("the head", () => {
  it("the head never holds a tool call without a result", async () => {
    const called = await chat({ messages: [user('call get_weather with {"city":"Paris"}')], tools: weather });
    const rhone = { session_id: called.rhone.session_id };
    const id = called.choices[0]!.message.tool_calls![0]!.id;
    const { body, answer } = await sent({ messages: [user("never mind")], rhone });
    expect((body.messages as object[]).slice(2)).toEqual([
      { role: "tool", tool_call_id: id, content: "The tool was not run: no result was given." },
      user("never mind"),
    ]);
    expect(answer.rhone.losses).toMatchObject([{ at: "messages", what: "approximated" }]);
    const { body: later } = await sent({ messages: [user("and?")], rhone });
    expect((later.messages as { role: string }[]).map(({ role }) => role).slice(0, 4)).toEqual([
      "user",
      "assistant",
      "tool",
      "user",
    ]);
  });

  it("the head has sealed items for their issuer alone, and only behind the words that they followed", async () => {
    const first = await request("/v1/messages", {
      method: "POST",
      headers: { "anthropic-version": "2023-06-01" },
      body: JSON.stringify({ model: "fakeanth/think", max_tokens: 9, messages: [user("hm")] }),
    });
    const { rhone, content } = (await first.json()) as { rhone: { session_id: string }; content: { type: string }[] };
    expect(content[0]).toMatchObject({ type: "thinking", signature: expect.any(String) as string });
    const session = { session_id: rhone.session_id };
    const history = async (model: string, parent: object): Promise<string> => {
      const { body } = await sent({ model, messages: [user("and?")], rhone: parent });
      return JSON.stringify(body.messages);
    };
    const seal = (content[0] as unknown as { signature: string }).signature;
    expect(await history("fakeanth/mirror", session)).not.toContain(seal);
    expect(await history("fake/mirror", session)).not.toContain(seal);
    const own = await request("/v1/messages", {
      method: "POST",
      headers: { "anthropic-version": "2023-06-01" },
      body: JSON.stringify({ model: "fakeanth/think", max_tokens: 9, messages: [user("more")], rhone: session }),
    });
    // Said for the second time, the script answers with what it was sent.
    expect(await own.text()).toContain(seal);
    await request(`/v1/sessions/${session.session_id}:compact`, {
      method: "POST",
      body: JSON.stringify({ strategy: "window", keep_last: 1 }),
    });
    const compacted = await request("/v1/messages", {
      method: "POST",
      headers: { "anthropic-version": "2023-06-01" },
      body: JSON.stringify({ model: "fakeanth/think", max_tokens: 9, messages: [user("more")], rhone: session }),
    });
    const sealsSent = JSON.parse(await compacted.text()) as { content: { type: string; text?: string }[] };
    expect(sealsSent.content.find(({ type }) => type === "text")!.text).not.toContain('"signature"');
  });
});
