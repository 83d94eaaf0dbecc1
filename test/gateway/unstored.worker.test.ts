import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { stubFor } from "../../src/platform/session-stubs.ts";
import { objectIdIn } from "../../src/wire/id.ts";
import type { SessionObject } from "../../src/worker.ts";
import { chat, errorOf, get, post, request, user } from "../support/worker/client.ts";

const MARK = "quartz-marker";

/** Everything in the databases of a session's object, as text. */
async function textOf(call: string): Promise<string> {
  const stub = stubFor(env.SESSIONS, objectIdIn("call", call)!)!;
  return await runInDurableObject(stub, (_: SessionObject, { storage }) => {
    const tables = storage.sql.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'").toArray();
    const rows = tables
      .filter(({ name }) => !name.startsWith("_cf") && !name.startsWith("sqlite_"))
      .flatMap(({ name }) => storage.sql.exec(`SELECT * FROM ${name}`).toArray());
    return JSON.stringify(rows, (_key, value: unknown) =>
      value instanceof ArrayBuffer ? Buffer.from(value).toString() : value,
    );
  });
}

const ended = (call: string): Promise<{ status: string; turn_id?: string; usage?: object; error?: object }> =>
  vi.waitFor(async () => {
    const found = (await get(`/v1/calls/${call}`)) as { status: string };
    expect(["completed", "failed", "interrupted", "incomplete"]).toContain(found.status);
    return found;
  }, 5_000);

describe.each(["stateful", "stateless"])("a %s call with store: metadata", (context_mode) => {
  const rhone = { context_mode, store: "metadata" };

  it.each(["fake/say", "fakeanth/think", "demo"])("leaves its record and nothing of its content: %s", async (model) => {
    for (const stream of [false, true]) {
      const response = await post({ model, stream, store: true, messages: [user(MARK)], rhone });
      const text = await response.text();
      expect([response.status, text]).toEqual([200, expect.stringContaining("aid")]);
      expect(text).not.toContain("turn_id");
      const call = response.headers.get("x-rhone-call-id")!;
      const record = await ended(call);
      expect(record).toMatchObject({ status: "completed", usage: expect.anything() as unknown });
      expect(record).not.toHaveProperty("turn_id");
      const stored = await textOf(call);
      expect(stored).toContain(call);
      expect(stored).not.toMatch(/quartz|Said|You said/);
      const { id } = JSON.parse(stream ? /^data: (\{.*)$/m.exec(text)![1]! : text) as { id: string };
      expect((await request(`/v1/chat/completions/${id}`)).status).toBe(404);
    }
  });

  it("leaves no text of an error, which may quote it", async () => {
    const response = await post({ model: "fake/refuse", messages: [user(MARK)], rhone });
    expect(await errorOf(response)).toMatchObject({ message: "max_tokens is too large" });
    const call = response.headers.get("x-rhone-call-id")!;
    expect(await ended(call)).toMatchObject({ status: "failed", error: { message: "not stored" } });
    expect(await textOf(call)).not.toMatch(/quartz|too large/);
  });

  it("a stream that breaks leaves nothing that was received", async () => {
    const response = await post({ model: "fake/cut", stream: true, messages: [user(MARK)], rhone });
    await response.text();
    const call = response.headers.get("x-rhone-call-id")!;
    expect((await ended(call)).status).toBe("incomplete");
    expect(await textOf(call)).not.toMatch(/quartz|Said/);
  });

  it("a response of it is not stored", async () => {
    const body = JSON.stringify({ model: "fakeresp/say", input: MARK, rhone });
    const response = await request("/v1/responses", { method: "POST", body });
    const { id } = await response.json<{ id: string }>();
    await ended(response.headers.get("x-rhone-call-id")!);
    expect((await request(`/v1/responses/${id}`)).status).toBe(404);
  });
});

it("a call with store: metadata reads its session's history, and the session goes on without it", async () => {
  const { rhone } = await chat({ model: "demo", messages: [user("My name is Ada.")] });
  const { session_id } = rhone;
  const ask = (content: string, more: object = {}): ReturnType<typeof chat> =>
    chat({ model: "demo", messages: [user(content)], rhone: { session_id, ...more } });
  const unstored = await ask("What is my name?", { store: "metadata" });
  expect(unstored.choices[0]!.message.content).toBe("Your name is Ada.");
  expect(await get(`/v1/sessions/${session_id}`)).toMatchObject({ turns: 1, head: rhone.turn_id });
  expect((await ask("What did I say?")).choices[0]!.message.content).toBe("You said: My name is Ada.");
});

it("a stateless call with store: none leaves no record either", async () => {
  const none = { context_mode: "stateless", store: "none" };
  for (const stream of [false, true]) {
    const response = await post({ model: "fake/say", stream, messages: [user(MARK)], rhone: none });
    expect([response.status, (await response.text()).includes("Said say")]).toEqual([200, true]);
    expect((await request(`/v1/calls/${response.headers.get("x-rhone-call-id")}`)).status).toBe(404);
  }
});

describe("a call whose content has to be stored", () => {
  const send = (body: object, headers: Record<string, string> = {}, path = "/v1/chat/completions"): Promise<Response> =>
    request(path, { method: "POST", body: JSON.stringify(body), headers });
  const said = { model: "demo", messages: [user("x")] };

  it.each([
    ["a session", { ...said, rhone: { store: "none" } }],
    ["a session by its id", { ...said, rhone: { store: "none", context_mode: "stateless", session_id: "SESSION" } }],
  ])("store: none is refused in %s", async (_, body) => {
    const { rhone } = await chat(said);
    const response = await send(JSON.parse(JSON.stringify(body).replace("SESSION", rhone.session_id)) as object);
    expect([response.status, (await errorOf(response)).param]).toEqual([400, "rhone.store"]);
  });

  it("an idempotency key and a background response are refused without the content", async () => {
    const rhone = { store: "metadata" };
    const keyed = await send({ ...said, rhone }, { "idempotency-key": `k${Math.random()}` });
    expect([keyed.status, (await errorOf(keyed)).param]).toEqual([400, "rhone.store"]);
    const background = await send({ model: "demo", input: "x", background: true, rhone }, {}, "/v1/responses");
    expect([background.status, (await errorOf(background)).param]).toEqual([400, "rhone.store"]);
  });
});
