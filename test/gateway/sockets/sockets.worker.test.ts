import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { type SocketServices, SessionSockets } from "../../../src/gateway/sockets/session-sockets.ts";
import { invalidKey } from "../../../src/keys/key.ts";
import type { SessionObject } from "../../../src/worker.ts";
import { chat, get, objectOf, post, request, user } from "../../support/worker/client.ts";
import { bound, Client, connect, type Frame, upgrade } from "../../support/worker/socket-client.ts";

const create = (model: string, content = "Hello.", id = "c1"): object => ({
  type: "call.create",
  id,
  surface: "chat",
  request: { model, messages: [user(content)] },
});

/** What the session says, whoever made the call: without what tells the two apart. */
const said = (frames: Frame[]): unknown[] =>
  frames
    .filter(({ type }) => type === "session.event" || type.startsWith("call."))
    .map(({ type, id: _, event_id, event, ...rest }) =>
      type === "session.event" ? [event_id, event] : [event_id, { type, ...rest, ...(event && { event }) }],
    );

describe("connections of one session", () => {
  it("connections of one session get the same events, of another connection and of HTTP", async () => {
    const maker = await bound();
    const { session_id } = await maker.type("session.bound");
    const other = await bound(session_id as string);
    maker.say(create("fake/say"));
    const done = await maker.type("call.completed");
    expect(done).toMatchObject({ id: "c1", finish_reason: "stop", model: "fake-model-1", provider: "fake" });
    const events = maker.frames.filter(({ type }) => type === "call.event");
    const text = events.map(
      ({ event }) =>
        (event as unknown as { choices: { delta: { content?: string } }[] }).choices[0]?.delta.content ?? "",
    );
    expect([events[0]!.id, text.join("")]).toEqual(["c1", "Said say."]);
    await other.hears(({ event }) => event?.type === "call.completed");
    expect(said(other.frames)).toEqual(said(maker.frames));
    await chat({ model: "fake/say", messages: [user("Over HTTP.")], rhone: { session_id } });
    await post({ model: "fake/say", stream: true, messages: [user("As a stream.")], rhone: { session_id } }).then((r) =>
      r.text(),
    );
    for (const client of [maker, other]) {
      await vi.waitFor(
        () => expect(client.frames.filter(({ event }) => event?.type === "call.completed").length).toBeGreaterThan(1),
        5_000,
      );
    }
    expect(said(other.frames)).toEqual(said(maker.frames));
    const ids = maker.frames.flatMap(({ event_id, type }) => (type === "session.bound" ? [] : (event_id ?? [])));
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    expect(new Set(ids).size).toBe(ids.length);
    expect((await get(`/v1/sessions/${session_id as string}`)).turns).toBe(3);
  });

  it("connections outlive the object's memory, and a rebind sends what was missed", async () => {
    const client = await bound();
    const { session_id } = (await client.type("session.bound")) as unknown as { session_id: string };
    client.say(create("fake/say"));
    const { call_id } = await client.type("call.completed");
    const seen = client.frames.find(({ type }) => type === "call.event")!.event_id!;
    await evictDurableObject(objectOf(call_id as string), { webSockets: "hibernate" });
    client.say(create("fake/say", "Again.", "c2"));
    await client.hears(({ type, id }) => type === "call.completed" && id === "c2");
    const late = await bound(session_id, seen);
    expect(late.frames.find(({ type }) => type === "session.bound")).toMatchObject({ replay: "full" });
    await vi.waitFor(() =>
      expect(said(late.frames)).toEqual(said(client.frames).filter((one) => (one as [number])[0] > seen)),
    );
    await evictDurableObject(objectOf(call_id as string), { webSockets: "close" });
    await vi.waitFor(() => expect(client.closed).toBeDefined());
    const after = await bound(session_id, late.frames.at(-1)!.event_id);
    expect(after.frames.find(({ type }) => type === "session.bound")).toMatchObject({ replay: "full" });
    expect(said(after.frames)).toEqual([]);
  });

  it("a rebind reports when what was missed is no longer stored", async () => {
    const client = await bound();
    const { session_id } = (await client.type("session.bound")) as unknown as { session_id: string };
    client.say(create("fake/say"));
    const { call_id } = await client.type("call.completed");
    const stub = objectOf(call_id as string);
    await runInDurableObject(stub, async (object: SessionObject, { storage }) => {
      storage.sql.exec("UPDATE streams SET ended_at = 0");
      storage.sql.exec("UPDATE events SET written_at = 0");
      await object.alarm();
    });
    const first = client.frames.find(({ type }) => type === "call.started")!.event_id!;
    expect((await bound(session_id, first)).frames[0]).toMatchObject({ replay: "none" });
    client.say(create("fake/say", "More.", "c2"));
    await client.hears(({ type, id }) => type === "call.completed" && id === "c2");
    expect((await bound(session_id, first)).frames[0]).toMatchObject({ replay: "partial" });
  });

  it("a connection can be bound to another session, if none was named at first", async () => {
    const { rhone } = await chat({ messages: [user("My name is Alice.")] });
    const client = await connect();
    client.say({ type: "session.bind", id: "b1", session_id: rhone.session_id });
    expect(await client.type("session.bound")).toMatchObject({ id: "b1", session_id: rhone.session_id });
    client.say({
      type: "call.create",
      id: "c",
      surface: "messages",
      request: { model: "demo", max_tokens: 99, messages: [user("What's my name?")] },
    });
    await client.type("call.completed");
    expect(JSON.stringify(client.frames)).toContain("Alice");
    const { rhone: other } = await chat({ messages: [user("My name is Bob.")] });
    client.say({ type: "session.bind", id: "b2", session_id: other.session_id });
    expect(await client.hears(({ id }) => id === "b2")).toMatchObject({ session_id: other.session_id });
    client.say({ type: "session.bind", id: "b3", session_id: "sess_nope" });
    expect(await client.hears(({ id }) => id === "b3")).toMatchObject({
      type: "error",
      http_status: 404,
      error: { code: "session.not_found" },
    });
    client.say({ type: "ping", id: "p" });
    expect(await client.hears(({ id }) => id === "p")).toMatchObject({ type: "pong" });
    client.leave();
  });

  it.each([
    ["chat", { messages: [user("Hi")] }],
    ["responses", { input: "Hi" }],
    ["messages", { max_tokens: 100, messages: [user("Hi")] }],
    ["gemini", { contents: [{ role: "user", parts: [{ text: "Hi" }] }] }],
    ["native", { input: "Hi" }],
  ])("the events of a connection have the shape of the call's surface: %s", async (surface, body) => {
    const client = await bound();
    client.say({ type: "call.create", id: "c", surface, request: { model: "fake/say", ...body } });
    const { call_id } = await client.type("call.completed");
    const streamed = await request(`/v1/calls/${call_id as string}:stream`).then((response) => response.text());
    const events = client.frames.flatMap(({ type, event }) => (type === "call.event" ? [event] : []));
    const lines = streamed.split("\n").filter((line) => line.startsWith("data: {"));
    expect(events).toEqual(lines.map((line) => JSON.parse(line.slice(6)) as Frame));
    expect(events.length).toBeGreaterThan(1);
    client.leave();
  });

  it("a connection gets the end of a call whose provider answers whole instead of with a stream", async () => {
    const client = await bound();
    client.say(create("fake/unstreamed"));
    expect(await client.type("call.completed")).toMatchObject({ id: "c1", finish_reason: "stop" });
    expect(client.frames.filter(({ type }) => type === "call.event").length).toBeGreaterThan(1);
    client.leave();
  });

  it("the connection that made a call gets its failure, before or after its start", async () => {
    const client = await bound();
    client.say(create("nobody/knows", "x", "c1"));
    expect(await client.hears(({ id, type }) => id === "c1" && type === "call.failed")).toMatchObject({
      http_status: 404,
      error: { message: expect.any(String) },
    });
    client.say(create("fake/refuse", "x", "c2"));
    const refused = await client.hears(({ id, type }) => id === "c2" && type === "call.failed");
    expect(refused).toMatchObject({ http_status: 400, error: { message: "max_tokens is too large" } });
    client.say(create("fake/cut", "x", "c3"));
    expect(await client.hears(({ id, type }) => id === "c3" && type === "call.failed")).toMatchObject({
      http_status: 502,
    });
    client.say(create("fake/fault-429-always.socket", "x", "c4"));
    expect(await client.hears(({ id, type }) => id === "c4" && type === "call.failed")).toMatchObject({
      http_status: 429,
      retry_after_s: 3600,
    });
    const told = client.frames.filter(({ id, type }) => type === "call.failed" && id !== undefined).map(({ id }) => id);
    expect(told).toEqual(["c1", "c2", "c3", "c4"]);
    client.leave();
  });

  it("a call stops when its connection closes, if `on_disconnect` is cancel", async () => {
    const client = await bound();
    const { session_id } = (await client.type("session.bound")) as unknown as { session_id: string };
    client.say({
      type: "call.create",
      id: "c",
      surface: "chat",
      request: { model: "fake/slow", messages: [user("x")], rhone: { on_disconnect: "cancel" } },
    });
    const { call_id } = await client.type("call.event");
    client.leave();
    await vi.waitFor(
      async () => expect((await get(`/v1/calls/${call_id as string}`)).status).toBe("interrupted"),
      5_000,
    );
    expect(await get(`/v1/sessions/${session_id}`)).toMatchObject({ turns: 0 });
  });
});

describe("a frame that is wrong", () => {
  it.each<[string, object | string | ArrayBuffer, string, string]>([
    ["no JSON", "{nope", "request.invalid", "frame"],
    ["no object", "[]", "request.invalid", "frame"],
    ["binary", new Uint8Array([1, 2, 3]).buffer, "request.invalid", "frame"],
    ["over 1 MiB", JSON.stringify({ type: "ping", id: "x".repeat(1024 * 1024) }), "request.too_large", "frame"],
    ["of no type", {}, "request.invalid", "type"],
    ["of an unknown type", { type: "run.dance" }, "request.invalid", "type"],
    ["a call without a request", { type: "call.create", surface: "chat" }, "request.invalid", "request"],
    ["a call of no surface", { type: "call.create", surface: "soap", request: {} }, "request.invalid", "surface"],
    ["a member of no frame", { type: "session.bind", sesion_id: "x" }, "request.invalid", "sesion_id"],
    ["a session id that is none", { type: "session.bind", session_id: "x" }, "request.invalid", "session_id"],
    ["another session's bind", { type: "session.bind", session_id: "sess_other" }, "request.invalid", "session_id"],
    [
      "a request that names another session",
      { ...create("demo"), request: { model: "demo", messages: [user("x")], rhone: { session_id: "sess_other" } } },
      "request.invalid",
      "request.rhone.session_id",
    ],
    [
      "a stateless request",
      { ...create("demo"), request: { model: "demo", messages: [user("x")], rhone: { context_mode: "stateless" } } },
      "request.invalid",
      "request.rhone.context_mode",
    ],
  ])("a wrong frame is answered, and the connection stays: %s", async (_, frame, code, param) => {
    const { rhone } = await chat({ messages: [user("Hello.")] });
    const client = await bound(rhone.session_id);
    client.say(frame);
    expect((await client.type("error")).error).toMatchObject({ code, details: { param } });
    client.say('{"type":"ping"}');
    await client.type("pong");
    client.leave();
  });

  it("a frame that comes before a session is bound is answered with an error", async () => {
    const client = await connect();
    client.say(create("demo"));
    expect(await client.type("error")).toMatchObject({
      id: "c1",
      error: { code: "request.invalid", message: expect.stringContaining("session.bind") },
    });
    client.leave();
  });
});

describe("a connection that cannot be opened", () => {
  it("a connection that cannot be opened is refused over HTTP", async () => {
    const refused = async (response: Response): Promise<unknown[]> => [
      response.status,
      (await response.json<{ error: { code: string } }>()).error.code,
    ];
    expect(await refused(await request("/v1/ws"))).toEqual([400, "request.invalid"]);
    expect(await refused(await upgrade("", { "sec-websocket-protocol": "soap" }))).toEqual([400, "request.invalid"]);
    expect(await refused(await upgrade("?session_id=x"))).toEqual([400, "request.invalid"]);
    expect(await refused(await upgrade("?session_id=sess_nope"))).toEqual([404, "session.not_found"]);
    expect(await refused(await upgrade("", {}, null))).toEqual([401, "auth.missing"]);
    expect(await refused(await upgrade("", {}, "rhone_sk_wrong"))).toEqual([401, "auth.invalid"]);
  });
});

describe("a connection that may not go on", () => {
  it("a connection is closed, with the reason, when its session is deleted", async () => {
    const { rhone } = await chat({ messages: [user("Hello.")] });
    const clients = [await bound(rhone.session_id), await connect()];
    clients[1]!.say({ type: "session.bind", session_id: rhone.session_id });
    await clients[1]!.type("session.bound");
    expect((await request(`/v1/sessions/${rhone.session_id}`, { method: "DELETE" })).status).toBe(200);
    const closed = { code: 4004, reason: "the session was deleted" };
    await vi.waitFor(() => expect(clients.map((client) => client.closed)).toEqual([closed, closed]), 5_000);
  });

  it("a connection is refused at its next frame, and closed, when its key is no longer valid", async () => {
    const { 0: near, 1: far } = new WebSocketPair();
    far.accept();
    // The clock of the key cache cannot be moved here, so the services reject the key themselves.
    const services = { now: Date.now, authenticate: () => Promise.reject(invalidKey()) } as unknown as SocketServices;
    const sockets = new SessionSockets(services, []);
    sockets.accept(far, { org: "org_default", keyId: "key_x", sessionId: "sess_x", isNew: false, isBound: true });
    const client = new Client(near);
    await sockets.onMessage(far, JSON.stringify(create("demo")));
    expect(await client.type("error")).toMatchObject({ id: "c1", error: { code: "auth.invalid" } });
    await vi.waitFor(() => expect(client.closed).toMatchObject({ code: 4001 }));
  });
});

describe("a client that reads too slowly", () => {
  it("a client that reads too slowly gets a ping, is closed, and misses nothing when it binds again", async () => {
    const slow = await bound();
    const { session_id } = (await slow.type("session.bound")) as unknown as { session_id: string };
    await post({ model: "fake/long-20000", stream: true, messages: [user("x")], rhone: { session_id } }).then(
      (response) => response.text(),
    );
    await vi.waitFor(() => expect(slow.closed).toMatchObject({ code: 4008 }), 10_000);
    expect(slow.frames.some(({ type }) => type === "ping")).toBe(true);
    const last = slow.frames.findLast(({ event_id }) => event_id !== undefined)!.event_id!;
    const again = await connect(`?session_id=${session_id}`);
    again.say({ type: "session.bind", session_id, after_event_id: last });
    await again.type("session.bound");
    await vi.waitFor(() => expect(again.frames.length).toBeGreaterThan(2), 5_000);
    expect(again.frames[1]!.event_id).toBeGreaterThan(last);
    again.leave();
  }, 20_000);
});
