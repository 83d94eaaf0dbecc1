import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { chat, get, objectOf, post, request, sent, user } from "../../support/worker/client.ts";
import { api, type Json, seen, sessionOf, verb } from "../../support/worker/session-client.ts";

describe("the list of sessions", () => {
  it("sessions are listed at once after their creation, page by page", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      const { body } = await api("POST", "/v1/sessions", { metadata: { list: "pages", n: String(i) } });
      ids.unshift(body.id as string);
    }
    const first = (await get("/v1/sessions?metadata.list=pages&limit=2")) as Json;
    const second = (await get(`/v1/sessions?metadata.list=pages&limit=2&after=${first.last_id}`)) as Json;
    const third = (await get(`/v1/sessions?metadata.list=pages&limit=2&after=${second.last_id}`)) as Json;
    const listed = [first, second, third].flatMap(({ data }) => (data as Json[]).map(({ id }) => id as string));
    expect(listed.toSorted()).toEqual(ids.toSorted());
    expect([first, second, third].map(({ has_more }) => has_more)).toEqual([true, true, false]);
    expect(first.data[0]).toMatchObject({ object: "session", status: "active", turns: 0, metadata: { list: "pages" } });
  });

  it("sessions are listed by metadata, status and time", async () => {
    const { body: red } = await api("POST", "/v1/sessions", { metadata: { "co.lor": 'r"ed', list: "filters" } });
    const { body: blue } = await api("POST", "/v1/sessions", { metadata: { "co.lor": "blue", list: "filters" } });
    await verb(blue.id as string, "pause");
    const ids = async (query: string): Promise<string[]> =>
      ((await get(`/v1/sessions?metadata.list=filters&${query}`)) as Json).data.map(({ id }: Json) => id);
    expect(await ids(`metadata.co.lor=${encodeURIComponent('r"ed')}`)).toEqual([red.id]);
    expect(await ids("status=paused")).toEqual([blue.id]);
    expect(await ids("status=active")).toEqual([red.id]);
    expect(await ids("created_after=2020-01-01T00:00:00Z")).toHaveLength(2);
    expect(await ids("created_before=2020-01-01T00:00:00Z")).toEqual([]);
    expect(await ids("metadata.nope=1")).toEqual([]);
  });

  it("sessions are listed with the number of their turns, soon", { timeout: 30_000 }, async () => {
    const { id } = await sessionOf("one", "two");
    await vi.waitFor(
      async () => {
        const { data } = (await get("/v1/sessions?limit=100")) as { data: Json[] };
        expect(data.find((one) => one.id === id)).toMatchObject({ turns: 2 });
      },
      { timeout: 20_000 },
    );
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=x", "limit"],
    ["status=gone", "status"],
    ["after=sess_x", "after"],
    ["created_after=yesterday", "created_after"],
    ["metdata.x=1", "metdata.x"],
  ])("a wrong filter of the list is refused by name: %s", async (query, param) => {
    const { status, body } = await api("GET", `/v1/sessions?${query}`);
    expect([status, body.error]).toMatchObject([400, { code: "request.invalid", details: { param } }]);
  });
});

describe("a session's settings", () => {
  it("a session's settings are changed member by member", async () => {
    const { body } = await api("POST", "/v1/sessions", {
      metadata: { a: "1", b: "2" },
      defaults: { model: "fake/mirror", temperature: 0.5 },
      phase: "intake",
    });
    const path = `/v1/sessions/${body.id}`;
    expect(body).toMatchObject({ phase: "intake", status: "active", instructions: null, branched_from: null });
    const changed = await api("PATCH", path, {
      metadata: { b: null, c: "3" },
      defaults: { temperature: null, seed: 7 },
    });
    expect(changed.body).toMatchObject({ metadata: { a: "1", c: "3" }, defaults: { model: "fake/mirror", seed: 7 } });
    expect(changed.body.metadata).not.toHaveProperty("b");
    expect((await get(path)).defaults).toEqual({ model: "fake/mirror", seed: 7 });
  });

  it("a session's settings fill in what a call leaves out, in the words of its surface", async () => {
    const tool = { type: "function", name: "look", parameters: { type: "object", properties: {} } };
    const { body } = await api("POST", "/v1/sessions", {
      defaults: { model: "fake/mirror", temperature: 0.5, max_output_tokens: 99, tools: [tool], on_busy: "reject" },
    });
    const rhone = { session_id: body.id };
    const first = await post({ messages: [user("x")], rhone });
    const said = JSON.parse(((await first.json()) as Json).choices[0].message.content as string);
    expect(said).toMatchObject({ model: "mirror", temperature: 0.5, max_completion_tokens: 99 });
    expect(said.tools[0].function.name).toBe("look");
    const { body: own } = await sent({ messages: [user("x")], temperature: 1, rhone });
    expect(own).toMatchObject({ temperature: 1, max_completion_tokens: 99 });
    const anthropic = await request("/v1/messages", {
      method: "POST",
      headers: { "anthropic-version": "2023-06-01" },
      body: JSON.stringify({ max_tokens: 5, messages: [user("y")], rhone }),
    });
    const translated = JSON.parse(((await anthropic.json()) as Json).content[0].text as string);
    expect(translated).toMatchObject({ model: "mirror", temperature: 0.5, max_completion_tokens: 5 });
    const gemini = await request("/v1beta/models/fake/mirror:generateContent", {
      method: "POST",
      body: JSON.stringify({
        contents: [{ role: "user", parts: [{ text: "z" }] }],
        generationConfig: { topP: 0.1 },
        rhone,
      }),
    });
    const third = JSON.parse(((await gemini.json()) as Json).candidates[0].content.parts[0].text as string);
    expect(third).toMatchObject({ temperature: 0.5, top_p: 0.1, max_completion_tokens: 99 });
  });

  it("a session stores instructions until others are given, or none", async () => {
    const { id } = await sessionOf("one");
    expect((await verb(id, "set-instructions", { instructions: "Be brief." })).body.instructions).toBe("Be brief.");
    expect((await seen(id))[0]).toBe("Be brief.");
    expect((await verb(id, "set-instructions", { instructions: null })).body.instructions).toBeNull();
    expect((await seen(id))[0]).toBe("one");
    expect((await verb(id, "set-phase", { phase: "closing" })).body.phase).toBe("closing");
  });

  it("a session stores instructions of any length", async () => {
    const long = "é".repeat(3_000_000);
    const { body } = await api("POST", "/v1/sessions", { instructions: long });
    await chat({ model: "fake/say", messages: [user("x")], rhone: { session_id: body.id } });
    const { rhone } = await chat({ model: "fake/say", messages: [user("x")], rhone: { session_id: body.id } });
    await evictDurableObject(objectOf(rhone.call_id));
    expect((await get(`/v1/sessions/${body.id}`)).instructions).toBe(long);
    await verb(body.id as string, "set-instructions", { instructions: "short" });
    await evictDurableObject(objectOf(rhone.call_id));
    expect((await get(`/v1/sessions/${body.id}`)).instructions).toBe("short");
  });

  it("a session refuses calls while it is paused", async () => {
    const { id } = await sessionOf("one");
    expect((await verb(id, "pause")).body.status).toBe("paused");
    const refused = await post({ model: "demo", messages: [user("x")], rhone: { session_id: id } });
    expect([refused.status, await refused.json()]).toMatchObject([409, { error: { code: "session.paused" } }]);
    expect((await verb(id, "resume")).body.status).toBe("active");
    expect((await get(`/v1/sessions/${id}`)).turns).toBe(1);
    expect(await seen(id)).toEqual(["one", "Said say."]);
  });

  it.each([
    ["PATCH", "", { metadata: { a: 5 } }, "metadata.a"],
    ["PATCH", "", { defaults: { temprature: 1 } }, "defaults.temprature"],
    ["PATCH", "", { defaults: { auto_compact: { at: 2 } } }, "defaults.auto_compact.at"],
    ["PATCH", "", { id: "sess_other" }, "id"],
    ["POST", ":set-instructions", {}, "instructions"],
    ["POST", ":set-phase", { phase: "" }, "phase"],
    ["POST", ":pause", { now: true }, "now"],
    ["POST", ":branch", { transforms: ["drop_everything"] }, "transforms[0]"],
    ["POST", ":branch", { id: "mine" }, "id"],
    ["POST", ":compact", { strategy: "magic" }, "strategy"],
    ["POST", ":compact", { strategy: "window" }, "keep_last"],
    ["POST", ":snapshot", {}, "name"],
    ["POST", ":replay", { dry_run: "yes" }, "dry_run"],
  ])("a wrong setting is refused by name: %s %s %j", async (method, suffix, body, param) => {
    const { id } = await sessionOf("one");
    const refused = await api(method, `/v1/sessions/${id}${suffix}`, body);
    expect([refused.status, refused.body.error]).toMatchObject([400, { code: "request.invalid", details: { param } }]);
  });

  it("a session that was never made is not found by any route", async () => {
    for (const [method, path] of [
      ["GET", ""],
      ["PATCH", ""],
      ["DELETE", ""],
      ["POST", ":pause"],
      ["POST", ":compact"],
      ["POST", ":branch"],
      ["POST", ":replay"],
      ["GET", "/blocks"],
      ["GET", "/timeline"],
      ["GET", "/lineage"],
      ["GET", "/snapshots"],
      ["GET", "/calls"],
      ["GET", "/runs"],
    ] as const) {
      const { status, body } = await api(method, `/v1/sessions/sess_nobody${path}`, method === "GET" ? undefined : {});
      expect([path, status, body.error.code]).toEqual([path, 404, "session.not_found"]);
    }
    const stub = env.SESSIONS.get(env.SESSIONS.idFromName("org_default/nobody"));
    expect(await stub.perform({ do: "show" }, { org: "org_default", keyId: "key_x" })).toHaveProperty("status", 404);
    expect((await verb("sess_x", "explode")).status).toBe(404);
  });
});

describe("the content of a session", () => {
  it("the content of a session is read in the format of each wire", async () => {
    const { id } = await sessionOf("one");
    await verb(id, "set-instructions", { instructions: "Be brief." });
    const head = async (format: string): Promise<Json> => get(`/v1/sessions/${id}/blocks?format=${format}`);
    const blocks = async (format: string): Promise<Json[]> => (await head(format)).data;
    expect((await blocks("native")).map(({ type, text }) => [type, text])).toEqual([
      ["system", "Be brief."],
      ["input", "one"],
      ["response", "Said say."],
    ]);
    expect((await blocks("openai")).map(({ role }) => role)).toEqual(["system", "user", "assistant"]);
    expect((await blocks("anthropic")).map(({ role }) => role)).toEqual(["user", "assistant"]);
    expect((await blocks("gemini")).map(({ role }) => role)).toEqual(["user", "model"]);
    // Where the system text stands beside the list it does so here.
    expect(await head("anthropic")).toMatchObject({ system: "Be brief." });
    expect(await head("gemini")).toMatchObject({ systemInstruction: { parts: [{ text: "Be brief." }] } });
    expect(Object.keys(await head("openai"))).toEqual(["object", "data"]);
    const wrong = await api("GET", `/v1/sessions/${id}/blocks?format=xml`);
    expect([wrong.status, wrong.body.error.details]).toEqual([400, { param: "format" }]);
  });

  it("the timeline, the calls and the runs of a session are paged", async () => {
    const { id, calls } = await sessionOf("one", "two", "three");
    const first = (await get(`/v1/sessions/${id}/timeline?limit=2`)) as Json;
    expect([first.data.map((entry: Json) => entry.id), first.has_more]).toEqual([calls.slice(0, 2), true]);
    const rest = (await get(`/v1/sessions/${id}/timeline?after=${calls[1]}`)) as Json;
    expect([rest.data.map((entry: Json) => entry.id), rest.has_more]).toEqual([calls.slice(2), false]);
    const page = (await get(`/v1/sessions/${id}/calls?limit=2`)) as Json;
    expect([page.data.map((call: Json) => call.id), page.has_more]).toEqual([calls.slice(0, 2), true]);
    const runs = (await get(`/v1/sessions/${id}/runs?limit=2`)) as Json;
    const last = (await get(`/v1/sessions/${id}/runs?after=${runs.last_id}`)) as Json;
    expect(last.data).toMatchObject([{ object: "run", status: "completed", calls: [{ id: calls[2] }] }]);
  });
});

describe("a deleted session", () => {
  it("a deleted session is gone except for the records of its calls, and its name is free", async () => {
    await api("POST", "/v1/sessions", { id: "sess_gone", metadata: { list: "gone" } });
    const rhone = { session_id: "sess_gone" };
    const { rhone: told } = await chat({ model: "fake/say", messages: [user("secret")], rhone });
    await vi.waitFor(
      async () =>
        expect(
          (await env.DB.prepare("SELECT 1 FROM call_records WHERE id = ?").bind(told.call_id).all()).results,
        ).toHaveLength(1),
      { timeout: 5000 },
    );
    expect((await api("DELETE", "/v1/sessions/sess_gone")).status).toBe(200);
    expect((await api("DELETE", "/v1/sessions/sess_gone")).status).toBe(404);
    expect(((await get("/v1/sessions?metadata.list=gone")) as Json).data).toEqual([]);
    expect(await get(`/v1/calls/${told.call_id}`)).toMatchObject({ id: told.call_id, status: "completed" });
    await api("POST", "/v1/sessions", { id: "sess_gone" });
    expect(await seen("sess_gone")).toEqual([]);
  });

  it("deleting a session stops the calls that still run", async () => {
    const { id } = await sessionOf("one");
    const slow = await post({ model: "fake/slow", stream: true, messages: [user("x")], rhone: { session_id: id } });
    await api("DELETE", `/v1/sessions/${id}`);
    expect(await slow.text()).toContain("stream.interrupted");
    expect((await request(`/v1/sessions/${id}`)).status).toBe(404);
    const call = slow.headers.get("x-rhone-call-id")!;
    await vi.waitFor(async () => expect(await get(`/v1/calls/${call}`)).toMatchObject({ status: "interrupted" }), {
      timeout: 5000,
    });
  });
});

it("large media are stored outside of the session, byte for byte", async () => {
  const url = `data:image/png;base64,${"A".repeat(400_000)}`;
  const image = {
    role: "user",
    content: [
      { type: "image_url", image_url: { url, detail: "low" } },
      { type: "text", text: "look" },
    ],
  };
  const first = await chat({ model: "fake/say", messages: [image] });
  const id = first.rhone.session_id;
  const { objects } = await env.BLOBS.list({ prefix: "media/" });
  const blobs = objects.filter(({ size }) => size > 400_000 && size < 401_000);
  expect(blobs).toHaveLength(1);
  await evictDurableObject(objectOf(first.rhone.call_id));
  const { body } = await sent({ messages: [user("and?")], rhone: { session_id: id } });
  expect((body.messages as Json[])[0]).toEqual(image);
  const { body: branch } = await verb(id, "branch");
  await api("DELETE", `/v1/sessions/${id}`);
  expect(await env.BLOBS.head(blobs[0]!.key)).toBeNull();
  const { body: again } = await sent({ messages: [user("and?")], rhone: { session_id: branch.id } });
  expect((again.messages as Json[])[0]).toEqual(image);
  const { objects: left } = await env.BLOBS.list({ prefix: "media/" });
  for (const { key, size } of left) if (size > 400_000 && size < 401_000) await env.BLOBS.delete(key);
  const lost = await post({ model: "fake/say", messages: [user("x")], rhone: { session_id: branch.id } });
  expect([lost.status, await lost.json()]).toMatchObject([422, { error: { code: "request.unprocessable" } }]);
});

it("a body whose characters need more than the limit of what crosses to an object is accepted", async () => {
  const long = `${"a".repeat(17_000_000)}☃`;
  const first = await chat({ model: "fake/say", messages: [user(long)] });
  const { data } = (await get(`/v1/sessions/${first.rhone.session_id}/blocks`)) as { data: Json[] };
  expect(data[0]!.text === long).toBe(true);
}, 30_000);
