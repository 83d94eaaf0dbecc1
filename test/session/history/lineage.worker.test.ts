import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { chat, get, objectOf, post, request, sent, user } from "../../support/worker/client.ts";
import { api, type Json, seen, sessionOf, verb } from "../../support/worker/session-client.ts";

describe("a branch", () => {
  it("a branch copies the history up to a turn, and does not need its parent", async () => {
    const { id, turns } = await sessionOf("one", "two", "three");
    const { status, body } = await verb(id, "branch", { from: turns[1], id: "sess_branch:1" });
    expect([status, body]).toMatchObject([
      201,
      { id: "sess_branch:1", turns: 2, branched_from: { session_id: id, turn_id: turns[1] } },
    ]);
    await seen(id);
    expect((await api("DELETE", `/v1/sessions/${id}`)).body).toEqual({ id, object: "session", deleted: true });
    expect((await request(`/v1/sessions/${id}`)).status).toBe(404);
    expect((await post({ model: "demo", messages: [user("x")], rhone: { session_id: id } })).status).toBe(404);
    expect(await seen("sess_branch:1")).toEqual(["one", "Said say.", "two", "Said say."]);
    const again = await verb("sess_branch:1", "branch", { id: "sess_branch:1" });
    expect([again.status, again.body.error.details]).toEqual([400, { param: "id" }]);
  });

  it("a branch is recognised by a client that resends the transcript of the parent", async () => {
    const { id } = await sessionOf("one");
    const { body } = await verb(id, "branch");
    const transcript = [user("one"), { role: "assistant", content: "Said say." }, user("two")];
    const { body: said } = await sent({ messages: transcript, rhone: { session_id: body.id } });
    expect(said.messages).toHaveLength(3);
  });

  it("a branch is in the lineage of both sessions", async () => {
    const { id, turns } = await sessionOf("one", "two");
    const { body: branch } = await verb(id, "branch", { from: turns[0] });
    const parent = await get(`/v1/sessions/${id}/lineage`);
    expect(parent).toMatchObject({ head: turns[1], branches: [{ session_id: branch.id, turn_id: turns[0] }] });
    expect(parent.turns).toMatchObject([
      { id: turns[0], parent_id: null, in_head: true },
      { id: turns[1], parent_id: turns[0], in_head: true },
    ]);
    const child = await get(`/v1/sessions/${branch.id}/lineage`);
    expect(child).toMatchObject({ branched_from: { session_id: id, turn_id: turns[0] } });
    expect(child.turns).toMatchObject([{ kind: "copy", copy_of: turns[0] }]);
  });

  it("a branch does not start at a turn of another session", async () => {
    const { id } = await sessionOf("one");
    const { turns } = await sessionOf("other");
    const { status, body } = await verb(id, "branch", { from: turns[0] });
    expect([status, body.error.details]).toEqual([404, { param: "from" }]);
  });

  it("a branch drops, redacts and goes on with another model as its transforms say", async () => {
    const { id } = await sessionOf("Mail bob@example.com, card 4111 1111 1111 1111.", "My code is swordfish.");
    const transforms = [
      "redact",
      { type: "redact", texts: ["swordfish"] },
      { type: "replace_model", model: "fake/mirror" },
    ];
    const { body } = await verb(id, "branch", { transforms });
    expect(body.defaults).toEqual({ model: "fake/mirror" });
    expect(await seen(body.id as string)).toEqual([
      "Mail [redacted], card [redacted].",
      "Said say.",
      "My code is [redacted].",
      "Said say.",
    ]);
    expect((await seen(id))[2]).toBe("My code is swordfish.");
    const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }];
    const called = await chat({ messages: [user('call get_weather with {"city":"Paris"}')], tools });
    const call = (called.choices[0]!.message.tool_calls as Json[])[0]!;
    const rhone = { session_id: called.rhone.session_id };
    await chat({ messages: [{ role: "tool", tool_call_id: call.id, content: "Sunny" }], tools, rhone });
    const dropped = await verb(rhone.session_id, "branch", { transforms: ["drop_tool_results"] });
    expect(await seen(dropped.body.id as string)).toContain("[result dropped]");
    const thought = await chat({ model: "fake/think", messages: [user("hm")] });
    const quiet = await verb(thought.rhone.session_id, "branch", { transforms: ["drop_thinking"] });
    const { data } = (await get(`/v1/sessions/${quiet.body.id}/blocks`)) as { data: Json[] };
    expect(data.map(({ type }) => type)).toEqual(["input", "response"]);
  });
});

describe("a snapshot", () => {
  it("a snapshot names a place from which one may branch, once", async () => {
    const { id, turns } = await sessionOf("one", "two");
    expect((await verb(id, "snapshot", { name: "before" })).body).toMatchObject({ name: "before", turn_id: turns[1] });
    await seen(id);
    expect((await get(`/v1/sessions/${id}/snapshots`)).data).toMatchObject([{ name: "before", turn_id: turns[1] }]);
    const { body } = await verb(id, "branch", { from: "before" });
    expect(body).toMatchObject({ turns: 2, branched_from: { turn_id: turns[1] } });
    const again = await verb(id, "snapshot", { name: "before" });
    expect([again.status, again.body.error.details]).toEqual([400, { param: "name" }]);
  });
});

describe("a compaction", () => {
  it("a compaction has a model write the summary, and keeps the last turns and the whole history", async () => {
    const { id, turns } = await sessionOf("one", "two", "three");
    const { status, body } = await verb(id, "compact", { model: "fake/say", keep_last: 1 });
    expect([status, body]).toMatchObject([200, { strategy: "summarize", replaced_turns: 2, kept_turns: 1 }]);
    expect(await seen(id)).toEqual(["What was said so far, in short:\n\nSaid say.", "three", "Said say."]);
    const { data } = (await get(`/v1/sessions/${id}/timeline`)) as { data: Json[] };
    expect(data.map(({ type }) => type)).toEqual(["turn", "turn", "turn", "call", "turn", "turn", "compacted", "turn"]);
    const lineage = await get(`/v1/sessions/${id}/lineage`);
    expect(lineage.compactions).toMatchObject([{ turn_id: body.turn_id, before: turns[2] }]);
    const undone = await verb(id, "branch", { from: turns[2] });
    expect(await seen(undone.body.id as string)).toEqual([
      "one",
      "Said say.",
      "two",
      "Said say.",
      "three",
      "Said say.",
    ]);
  });

  it("a compaction survives the eviction of its object, and a client that resends everything", async () => {
    const { id, calls } = await sessionOf("one", "two", "three");
    await verb(id, "compact", { strategy: "window", keep_last: 1 });
    await evictDurableObject(objectOf(calls[0]!));
    const transcript = ["one", "two", "three"].flatMap((text) => [
      user(text),
      { role: "assistant", content: "Said say." },
    ]);
    const { body } = await sent({ messages: [...transcript, user("four")], rhone: { session_id: id } });
    expect((body.messages as Json[]).map(({ content }) => content)).toEqual(["three", "Said say.", "four"]);
  });

  it("a compaction drops the oldest half, or the results of tools", async () => {
    const { id } = await sessionOf("one", "two", "three", "four");
    expect((await verb(id, "compact", { strategy: "drop_oldest" })).body).toMatchObject({ replaced_turns: 2 });
    expect(await seen(id)).toEqual(["three", "Said say.", "four", "Said say."]);
    const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }];
    const called = await chat({ messages: [user('call get_weather with {"city":"Paris"}')], tools });
    const call = (called.choices[0]!.message.tool_calls as Json[])[0]!;
    const rhone = { session_id: called.rhone.session_id };
    await chat({ messages: [{ role: "tool", tool_call_id: call.id, content: "Sunny" }], tools, rhone });
    await chat({ messages: [user("thanks")], rhone });
    await verb(rhone.session_id, "compact", { strategy: "drop_tool_results" });
    const left = await seen(rhone.session_id);
    expect(left).toContain("[result dropped]");
    expect(left).not.toContain("Sunny");
  });

  it("a compaction never separates a tool call from its results", async () => {
    const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }];
    const { rhone } = await chat({ messages: [user("hello")] });
    const session = { session_id: rhone.session_id };
    const called = await chat({ messages: [user('call get_weather with {"city":"Paris"}')], tools, rhone: session });
    const call = (called.choices[0]!.message.tool_calls as Json[])[0]!;
    await chat({ messages: [{ role: "tool", tool_call_id: call.id, content: "Sunny" }], tools, rhone: session });
    const { body } = await verb(session.session_id, "compact", { strategy: "window", keep_last: 1 });
    expect(body).toMatchObject({ replaced_turns: 1, kept_turns: 2 });
  });

  it("a compaction leaves the head as it was when its model fails, or when there is nothing to do", async () => {
    const { id, turns } = await sessionOf("one", "two", "three");
    const failed = await verb(id, "compact", { model: "fake/broken" });
    expect([failed.status, failed.body.error.message]).toMatchObject([500, "Internal trouble"]);
    const unknown = await verb(id, "compact", { model: "nobody/nothing" });
    expect([unknown.status, unknown.body.error.code]).toEqual([404, "model.not_found"]);
    expect((await get(`/v1/sessions/${id}`)).head).toBe(turns[2]);
    const { body } = await api("POST", "/v1/sessions", {});
    const empty = await verb(body.id as string, "compact");
    expect([empty.status, empty.body.error.code]).toEqual([422, "request.unprocessable"]);
  });

  it("a compaction starts by itself when the head takes too much of the model's context", async () => {
    const { id } = await sessionOf("one", "two");
    const at = { at: 0.5, context_window: 20, strategy: "window", keep_last: 1 };
    await api("PATCH", `/v1/sessions/${id}`, { defaults: { auto_compact: at } });
    await chat({ model: "fake/say", messages: [user("three")], rhone: { session_id: id } });
    await vi.waitFor(async () => expect((await get(`/v1/sessions/${id}`)).turns).toBe(1));
    expect(await seen(id)).toEqual(["three", "Said say."]);
  });
});

describe("a replay", () => {
  it("a replay sends turns again to another model, in a branch", async () => {
    const { id, turns } = await sessionOf("one", "two", "three");
    const dry = await verb(id, "replay", { from: turns[1], model: "fake/other", dry_run: true });
    expect(dry.body).toMatchObject({
      dry_run: true,
      session_id: null,
      turns: [{ replay_of: turns[1] }, { replay_of: turns[2] }],
    });
    const { body } = await verb(id, "replay", { from: turns[1], model: "fake/other" });
    expect(body.turns).toMatchObject([
      { replay_of: turns[1], status: "completed", output: [{ type: "response", text: "Said other." }] },
      { replay_of: turns[2], status: "completed" },
    ]);
    expect(await seen(body.session_id as string)).toEqual([
      "one",
      "Said say.",
      "two",
      "Said other.",
      "three",
      "Said other.",
    ]);
    expect((await get(`/v1/sessions/${id}`)).turns).toBe(3);
    const failing = await verb(id, "replay", { from: turns[0], model: "fake/refuse" });
    expect(failing.body.turns).toMatchObject([{ status: "failed", error: { message: "max_tokens is too large" } }]);
  });
});
