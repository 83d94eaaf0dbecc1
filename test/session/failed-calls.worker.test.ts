import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { SessionObject } from "../../src/worker.ts";
import { chat, errorOf, eventsOf, get, objectOf, post, request, sent, user } from "../support/worker/client.ts";
import { alice, whatName } from "../support/worker/session-client.ts";

describe("a failed call", () => {
  it("a failure after the end of a stream never undoes the finished answer", async () => {
    const { rhone } = await chat(alice);
    const session = { session_id: rhone.session_id };
    const reset = await post({ model: "fake/late", stream: true, messages: [user("x")], rhone: session });
    expect((await eventsOf(reset)).at(-1)).toBe("[DONE]");
    expect((await get(`/v1/sessions/${session.session_id}`)).turns).toBe(2);
  });

  it("a stateless call that names a session which was never made is refused", async () => {
    const typo = { session_id: "sess_typo", context_mode: "stateless" };
    expect((await post({ model: "fake/say", messages: [user("x")], rhone: typo })).status).toBe(404);
  });

  it("a stream that broke is in the timeline and never in the head", async () => {
    const { rhone } = await chat(alice);
    const session = { session_id: rhone.session_id };
    const cut = await post({ model: "fake/cut", stream: true, messages: [user("x")], rhone: session });
    expect((await eventsOf(cut)).at(-1)).toContain("stream.interrupted");
    const { data: timeline } = (await get(`/v1/sessions/${session.session_id}/timeline`)) as {
      data: Record<string, unknown>[];
    };
    expect(timeline.at(-1)).toMatchObject({
      type: "call",
      status: "incomplete",
      output: [{ role: "assistant", content: "Half a" }],
    });
    expect((await get(`/v1/sessions/${session.session_id}`)).turns).toBe(1);
    const again = await chat({ messages: whatName, rhone: session });
    expect(again.choices[0]!.message.content).toBe("Your name is Alice.");
  });

  it("a call that a crash left is found", async () => {
    const { rhone } = await chat(alice);
    const stub = objectOf(rhone.call_id);
    await runInDurableObject(stub, (_: SessionObject, { storage }) => {
      const [row] = storage.sql.exec<{ record: string }>("SELECT record FROM calls").toArray();
      const started = { ...(JSON.parse(row!.record) as object), id: "call_lost" };
      storage.sql.exec(
        "INSERT INTO calls (id, status, started, created_at) VALUES ('call_lost', 'running', ?, 1)",
        JSON.stringify(started),
      );
    });
    await evictDurableObject(stub);
    const { data } = (await get(`/v1/sessions/${rhone.session_id}/timeline`)) as {
      data: { call_id: string; status: string }[];
    };
    expect(data.find(({ call_id }) => call_id === "call_lost")?.status).toBe("interrupted");
  });

  it("a call goes on when its client has left, and is committed", async () => {
    const response = await post({ model: "fake/slow", stream: true, messages: [user("x")] });
    const session = response.headers.get("x-rhone-session-id")!;
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    const { body } = await sent({ messages: [user("and?")], rhone: { session_id: session } });
    expect((body.messages as { content: string }[])[1]!.content).toBe("One two three.");
  });

  it("a call stops when its client has left if `on_disconnect` is cancel", async () => {
    const response = await post({
      model: "fake/slow",
      stream: true,
      messages: [user("x")],
      rhone: { on_disconnect: "cancel" },
    });
    const session = response.headers.get("x-rhone-session-id")!;
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    const { body } = await sent({ messages: [user("and?")], rhone: { session_id: session } });
    expect(body.messages).toHaveLength(1);
  });
});

describe("a call that is refused", () => {
  it("a refused call is recorded under the ids that it was given", async () => {
    const refused = await post({ model: "nobody/nothing", messages: [user("x")] });
    const [id, session] = ["x-rhone-call-id", "x-rhone-session-id"].map((name) => refused.headers.get(name));
    expect([refused.status, id]).toEqual([404, expect.any(String)]);
    expect(await get(`/v1/calls/${id}`)).toMatchObject({ status: "failed", error: { code: "model.not_found" } });
    expect(await get(`/v1/sessions/${session}`)).toMatchObject({ turns: 0 });
  });

  it("a call is refused when its header and its body name two sessions, or the header none", async () => {
    const headers = { "x-rhone-session-id": "sess_a" };
    const two = await post({ model: "demo", messages: [user("x")], rhone: { session_id: "sess_b" } }, headers);
    expect([two.status, (await errorOf(two)).param]).toEqual([400, "x-rhone-session-id"]);
    const bad = await post({ model: "demo", messages: [user("x")] }, { "x-rhone-session-id": "nope" });
    expect([bad.status, (await errorOf(bad)).param]).toEqual([400, "x-rhone-session-id"]);
    const { rhone } = await chat(alice);
    const same = { "x-rhone-session-id": rhone.session_id };
    expect((await chat({ messages: whatName, rhone: { session_id: rhone.session_id } }, same)).rhone.session_id).toBe(
      rhone.session_id,
    );
  });
});

it("a request for an unknown session stores nothing in its object", async () => {
  const stub = env.SESSIONS.get(env.SESSIONS.idFromName("org_default/only-asked"));
  expect((await request("/v1/sessions/sess_only-asked")).status).toBe(404);
  await runInDurableObject(stub, (_: SessionObject, { storage }) => {
    const tables = storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '_cf_%'").toArray();
    expect(tables).toEqual([]);
  });
});

it("the refusal of a call says that its session is full", async () => {
  const { rhone } = await chat(alice);
  await runInDurableObject(objectOf(rhone.call_id), (_: SessionObject, { storage }) => {
    storage.sql.exec("UPDATE turns SET depth = 10000");
  });
  await evictDurableObject(objectOf(rhone.call_id));
  const full = await post({ model: "demo", messages: whatName, rhone: { session_id: rhone.session_id } });
  expect([full.status, (await errorOf(full)).message]).toMatchObject([
    400,
    expect.stringContaining("compact it or branch"),
  ]);
});
