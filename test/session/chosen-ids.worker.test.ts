import { describe, expect, it, vi } from "vitest";
import { chat, get, post, request, sent, user } from "../support/worker/client.ts";

describe("a session with a chosen id", () => {
  const create = (body: unknown): Promise<Response> =>
    request("/v1/sessions", {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      headers: { "content-type": "application/json" },
    });

  it("a session with a chosen id is made before its use, once, and has its instructions", async () => {
    const made = await create({ id: "sess_support:42.a", instructions: "Be brief." });
    expect([made.status, await made.json()]).toMatchObject([201, { id: "sess_support:42.a", head: null, turns: 0 }]);
    const rhone = { session_id: "sess_support:42.a" };
    const { body } = await sent({ messages: [user("one")], rhone });
    expect(body.messages).toEqual([{ role: "system", content: "Be brief." }, user("one")]);
    const again = await create({ id: "sess_support:42.a", instructions: "Other." });
    expect([again.status, await again.json()]).toMatchObject([200, { turns: 1 }]);
    expect((await create({})).status).toBe(201);
  });

  it.each(["stateful", "stateless"])(
    "a call creates the session that it names only if it says so: %s",
    async (context_mode) => {
      const session_id = `sess_made-by-a-call.${context_mode}`;
      const call = (create: Record<string, string>, id = session_id): Promise<Response> =>
        post({ model: "fake/say", messages: [user("one")], rhone: { session_id: id, context_mode } }, create);
      expect((await call({})).status).toBe(404);
      expect((await call({ "x-rhone-session-create": "false" })).status).toBe(404);
      const { error } = (await (await call({ "x-rhone-session-create": "yes" })).json()) as { error: object };
      expect(error).toMatchObject({ param: "x-rhone-session-create" });
      const all = await Promise.all([1, 2].map(() => call({ "x-rhone-session-create": "true" })));
      expect(all.map(({ status }) => status)).toEqual([200, 200]);
      await vi.waitFor(async () => expect((await get(`/v1/sessions/${session_id}`)).id).toBe(session_id));
      expect((await call({})).status).toBe(200);
    },
  );

  it("a deleted session of the gateway's own id is not created again", async () => {
    const { session_id } = (await chat({ messages: [user("x")] })).rhone;
    await request(`/v1/sessions/${session_id}`, { method: "DELETE" });
    const again = await post(
      { messages: [user("x")], model: "demo", rhone: { session_id } },
      { "x-rhone-session-create": "true" },
    );
    expect(again.status).toBe(404);
  });

  it.each([
    ["{nope", "body"],
    ["[]", "body"],
    [{ id: "support" }, "id"],
    [{ id: `sess_${"0".repeat(52)}` }, "id"],
    [{ instructions: 5 }, "instructions"],
    [{ name: "x" }, "name"],
  ])("a wrong creation of a session is refused by name: %j", async (body, param) => {
    const response = await create(body);
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { error: { code: "request.invalid", details: { param } } },
    ]);
  });
});
