import { describe, expect, it } from "vitest";
import { request, sent, user } from "../support/worker/client.ts";

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
