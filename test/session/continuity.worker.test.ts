import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { chat, contents, errorOf, get, objectOf, post, request, sent, user } from "../support/worker/client.ts";
import { alice, whatName } from "../support/worker/session-client.ts";

describe("a session", () => {
  it("a session answers from its history, with only new messages sent", async () => {
    const { rhone } = await chat(alice);
    const second = await chat({ messages: whatName, rhone: { session_id: rhone.session_id } });
    expect(second.choices[0]!.message.content).toBe("Your name is Alice.");
    expect(second.rhone).toMatchObject({ session_id: rhone.session_id, context: { mode: "stateful", turns: 1 } });
  });

  it("a session is named by a header as well, and is returned in the headers", async () => {
    const first = await post({ model: "demo", ...alice }, { "x-rhone-annotate": "headers" });
    expect(await first.json()).not.toHaveProperty("rhone");
    const session = first.headers.get("x-rhone-session-id")!;
    const second = await chat({ messages: whatName }, { "x-rhone-session-id": session });
    expect(second.choices[0]!.message.content).toBe("Your name is Alice.");
  });

  it("a session can be continued the moment a stream has ended, a hundred times", async () => {
    for (let i = 0; i < 100; i++) {
      const response = await post({ model: "demo", stream: true, messages: [user(`My name is N${i}.`)] });
      const reader = response.body!.getReader();
      let text = "";
      while (!text.includes("[DONE]")) text += new TextDecoder().decode((await reader.read()).value);
      const session = response.headers.get("x-rhone-session-id")!;
      const second = await chat({ messages: whatName, rhone: { session_id: session } });
      expect(second.choices[0]!.message.content).toBe(`Your name is N${i}.`);
    }
  }, 30_000);

  it("a session survives the eviction of its object", async () => {
    const { rhone } = await chat(alice);
    await evictDurableObject(objectOf(rhone.call_id));
    const second = await chat({ messages: whatName, rhone: { session_id: rhone.session_id } });
    expect(second.choices[0]!.message.content).toBe("Your name is Alice.");
  });

  it("a session sends the provider the exact characters of its history", async () => {
    const odd = '{"role":"user","content":"caf\\u00e9 \\"model\\"","vendor":12345678901234567890}';
    const first = await post(`{"model":"fake/say","messages":[${odd}]}`);
    const session = first.headers.get("x-rhone-session-id")!;
    await first.text();
    const { raw } = await sent({ messages: [user("more")], rhone: { session_id: session } });
    const reply = '{"role":"assistant","content":"Said say.","refusal":null,"vendor":12345678901234567890}';
    expect(raw).toBe(`{"model":"mirror","messages":[${odd},${reply},{"role":"user","content":"more"}]}`);
  });

  it("a session restores tool calls and takes their results", async () => {
    const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }];
    const first = await chat({ messages: [user('call get_weather with {"city":"Paris"}')], tools });
    expect(first.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: { tool_calls: [{ function: { name: "get_weather", arguments: '{"city":"Paris"}' } }] },
    });
    const id = (first.choices[0]!.message.tool_calls![0] as { id: string }).id;
    const result = { role: "tool", tool_call_id: id, content: "Sunny" };
    const second = await chat({ messages: [result], tools, rhone: { session_id: first.rhone.session_id } });
    expect(second.choices[0]!.message.content).toBe("The tool says: Sunny");
  });

  it("a session recognises a resent transcript, also of a client that lost something, and never doubles it", async () => {
    const first = await chat({ model: "fake/say", messages: [user("one")] });
    const session = { session_id: first.rhone.session_id };
    const transcript = [user("one"), { role: "assistant", content: "Said say. " }, user("two")];
    const { body } = await sent({ messages: transcript, rhone: session });
    expect((body.messages as object[]).map((message) => (message as { content: string }).content)).toEqual([
      "one",
      "Said say.",
      "two",
    ]);
    expect((body.messages as object[])[1]).toHaveProperty("refusal");
  });

  it("a session forks where a transcript leaves its history, and keeps the other branch", async () => {
    const first = await chat({ model: "fake/say", messages: [user("one")] });
    const session = { session_id: first.rhone.session_id };
    await chat({ model: "fake/say", messages: [user("two")], rhone: session });
    const { body } = await sent({
      messages: [user("one"), { role: "assistant", content: "Said say." }, user("other")],
      rhone: session,
    });
    expect((body.messages as object[]).map((message) => (message as { content: string }).content)).toEqual([
      "one",
      "Said say.",
      "other",
    ]);
    expect((await get(`/v1/sessions/${session.session_id}`)).turns).toBe(2);
    expect(((await get(`/v1/sessions/${session.session_id}/timeline`)).data as object[]).length).toBe(3);
  });

  it("a session continues from any earlier turn that is named", async () => {
    const first = await chat({ model: "fake/say", messages: [user("one")] });
    const session_id = first.rhone.session_id;
    await chat({ model: "fake/say", messages: [user("two")], rhone: { session_id } });
    const { body } = await sent({ messages: [user("other")], rhone: { session_id, parent: first.rhone.turn_id } });
    expect(body.messages).toHaveLength(3);
    const wrong = await post({ model: "demo", messages: [user("x")], rhone: { session_id, parent: "turn_nope" } });
    expect([wrong.status, (await errorOf(wrong)).param]).toEqual([404, "rhone.parent"]);
  });

  it("a session stores its instructions until others are given", async () => {
    const system = { role: "system", content: "Be brief." };
    const first = await chat({ model: "fake/say", messages: [system, user("one")] });
    const rhone = { session_id: first.rhone.session_id };
    const second = await sent({ messages: [user("two")], rhone });
    expect((second.body.messages as object[])[0]).toEqual(system);
    const developer = { role: "developer", content: "Be long." };
    await chat({ model: "fake/say", messages: [developer, user("three")], rhone });
    const fourth = await sent({ messages: [user("four")], rhone });
    expect((fourth.body.messages as object[])[0]).toEqual(developer);
    expect(fourth.body.messages).not.toContainEqual(system);
  });

  it("a session stores messages that no row of a database could hold", async () => {
    const long = `${"x".repeat(249_950)}${"\u{1F600}".repeat(500_000)}${"y".repeat(1_000_000)}`;
    const first = await chat({ model: "fake/say", messages: [user(long)] });
    await evictDurableObject(objectOf(first.rhone.call_id));
    const { body } = await sent({ messages: [user("and?")], rhone: { session_id: first.rhone.session_id } });
    expect((body.messages as { content: string }[])[0]!.content).toBe(long);
  });

  it("a session that is busy refuses a call at once if `on_busy` is reject", async () => {
    const { rhone } = await chat({ model: "fake/say", messages: [user("start")] });
    const slow = await post({
      model: "fake/slow",
      stream: true,
      messages: [user("x")],
      rhone: { session_id: rhone.session_id },
    });
    const busy = await post({
      model: "demo",
      messages: [user("x")],
      rhone: { session_id: rhone.session_id, on_busy: "reject" },
    });
    expect([busy.status, busy.headers.get("retry-after"), (await errorOf(busy)).code]).toEqual([
      409,
      "1",
      "session.busy",
    ]);
    await slow.text();
  });

  it("a session is not found for another organisation, nor if it was never made", async () => {
    const { rhone } = await chat(alice);
    const stub = objectOf(rhone.call_id);
    const other = { org: "org_other", keyId: "key_x" };
    for (const command of [{ do: "show" }, { do: "blocks", format: "native" }, { do: "delete" }] as const) {
      expect([command.do, (await stub.perform(command, other)).status]).toEqual([command.do, 404]);
    }
    expect(await stub.findCall("org_other", rhone.call_id)).toBeUndefined();
    const caller = { org: "org_other", keyId: "key_x" };
    const { call_id: id, session_id: sessionId } = rhone;
    const envelope = {
      id,
      sessionId,
      caller,
      annotate: true,
      createdAt: 1,
      headers: [],
      surface: "chat" as const,
      outside: {},
      isNew: false,
    };
    const foreign = await stub.call({ ...envelope, text: JSON.stringify({ model: "demo", messages: whatName }) });
    expect(foreign.status).toBe(404);
    for (const unknown of [
      "sess_typo",
      `sess_${"0".repeat(52)}`,
      rhone.session_id.replace(/.$/, (last) => (last === "0" ? "1" : "0")),
    ]) {
      const response = await post({ model: "demo", messages: whatName, rhone: { session_id: unknown } });
      expect([unknown, response.status]).toEqual([unknown, 404]);
      expect((await request(`/v1/sessions/${unknown}`)).status).toBe(404);
    }
  });
});

describe("a busy session", () => {
  it("a busy session answers a hundred calls, in order", async () => {
    const { rhone } = await chat({ model: "fake/say", messages: [user("start")] });
    const session = { session_id: rhone.session_id };
    const all = await Promise.all(
      Array.from({ length: 100 }, (_, i) => chat({ model: "fake/say", messages: [user(`n${i}`)], rhone: session })),
    );
    const depths = all.map((answer) => (answer.rhone.context as { turns: number }).turns);
    expect(depths.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect((await get(`/v1/sessions/${session.session_id}`)).turns).toBe(101);
    const lineage = (await get(`/v1/sessions/${session.session_id}/lineage`)) as { turns?: { in_head: boolean }[] };
    expect(lineage.turns!.filter(({ in_head }) => in_head)).toHaveLength(101);
  }, 30_000);

  it("a busy session forks beside the head if `on_busy` is branch", async () => {
    const { rhone } = await chat({ model: "fake/say", messages: [user("start")] });
    const session = { session_id: rhone.session_id };
    const slow = await post({ model: "fake/slow", stream: true, messages: [user("long")], rhone: session });
    const branched = await sent({ messages: [user("quick")], rhone: { ...session, on_busy: "branch" } });
    expect(contents(branched.body)).toEqual(["start", "Said say.", "quick"]);
    await slow.text();
    const { body } = await sent({ messages: [user("and?")], rhone: session });
    expect(contents(body)).toEqual(["start", "Said say.", "long", "One two three.", "and?"]);
    const onwards = await sent({
      messages: [user("on")],
      rhone: { ...session, parent: branched.answer.rhone.turn_id },
    });
    expect(contents(onwards.body).slice(0, 3)).toEqual(["start", "Said say.", "quick"]);
    const free = await sent({ messages: [user("free")], rhone: { ...session, on_busy: "branch" } });
    expect((await get(`/v1/sessions/${session.session_id}`)).head).toBe(free.answer.rhone.turn_id);
  });
});
