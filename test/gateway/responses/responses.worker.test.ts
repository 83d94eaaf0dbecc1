import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import type { SessionObject } from "../../../src/objects/session.ts";
import { withPrefix } from "../../../src/wire/id.ts";
import { errorOf, eventsOf, get, objectOf, request } from "../../support/worker/client.ts";

type Said = Record<string, unknown>;
type Told = { id: string; status: string; output: object[]; rhone: { session_id: string } };

const call = (body: Said, headers: Record<string, string> = {}): Promise<Response> =>
  request("/v1/responses", { method: "POST", body: JSON.stringify({ model: "fake/say", ...body }), headers });

async function created(body: Said, headers: Record<string, string> = {}): Promise<Told> {
  const response = await call(body, headers);
  expect(response.status).toBe(200);
  return await response.json();
}

const objectOfResponse = (id: string): ReturnType<typeof objectOf> => objectOf(withPrefix(id, "call"));
const statusOf = async (id: string): Promise<string> => (await get(`/v1/responses/${id}`)).status as string;

describe("a response", () => {
  it("a response can be read at once after its answer, and is continued with the whole history", async () => {
    let previous: string | undefined;
    for (let i = 0; i < 25; i++) {
      const from = previous === undefined ? {} : { previous_response_id: previous };
      const streamed = i % 2 === 1;
      const response = await call({ input: `word ${i}.`, stream: streamed, ...from });
      const last = streamed
        ? (JSON.parse((await eventsOf(response)).at(-1)!) as { response: Told }).response
        : await response.json<Told>();
      previous = last.id;
      expect(await get(`/v1/responses/${previous}`)).toMatchObject({ id: previous, status: "completed" });
    }
    const { output } = await created({ model: "fake/mirror", input: "All?", previous_response_id: previous! });
    const seen = JSON.stringify(output);
    for (let i = 0; i < 25; i++) expect(seen).toContain(`word ${i}.`);
  });

  it.each(["fake/mirror", "fakeresp/mirror", "fakeanth/mirror", "fakegem/mirror"])(
    "system items stay where they stand in the input of a chain, on %s",
    async (model) => {
      const say = (role: string, content: string): object => ({ role, content });
      const first = await created({ model, input: [say("developer", "Rule one."), say("user", "Word one.")] });
      const from = { model, previous_response_id: first.id };
      const { id } = await created({ ...from, input: [say("developer", "Rule two."), say("user", "Word two.")] });
      const { output } = await created({ ...from, previous_response_id: id, input: "All?" });
      const order = ["Rule one.", "Word one.", "Rule two.", "Word two.", "All?"];
      const seen = JSON.stringify(output);
      for (const text of order) expect(seen).toContain(text);
    },
  );

  it("a response can be read and continued after its object was evicted", async () => {
    const { id, output } = await created({ input: "Hello" });
    await evictDurableObject(objectOfResponse(id));
    expect(await get(`/v1/responses/${id}`)).toMatchObject({ id, output });
    expect(await created({ input: "And?", previous_response_id: id })).toMatchObject({ previous_response_id: id });
  });

  it("a response belongs to its organisation only", async () => {
    const { id } = await created({ input: "Hello" });
    const stub = objectOfResponse(id);
    const asked = { id: id, call: withPrefix(id, "call") };
    const other = { org: "org_other", keyId: "key_other" };
    for (const what of ["show", "forget", "cancel"] as const)
      expect((await stub.recall({ ...asked, do: what }, other)).status).toBe(404);
    expect((await stub.converse({ do: "show" }, "conv_x", other)).status).toBe(404);
    expect(await statusOf(id)).toBe("completed");
  });

  it("a response with an unknown id is neither read nor continued", async () => {
    const { id } = await created({ input: "Hello" });
    const nowhere = `${id.slice(0, 40)}${"7".repeat(id.length - 40)}`;
    expect((await request(`/v1/responses/${nowhere}`)).status).toBe(404);
    const answer = await call({ input: "x", previous_response_id: nowhere });
    expect(await errorOf(answer)).toMatchObject({ code: "previous_response_not_found" });
  });

  it("a response of a stateless call is stored as well, soon", async () => {
    const { id } = await created({ input: "Hello" }, { "x-rhone-context-mode": "stateless" });
    await vi.waitFor(async () => expect(await statusOf(id)).toBe("completed"));
  });

  it("a response is deleted with its session", async () => {
    const { id, rhone } = await created({ input: "Hello" });
    await request(`/v1/sessions/${rhone.session_id}`, { method: "DELETE" });
    expect((await request(`/v1/responses/${id}`)).status).toBe(404);
  });

  it("a response that is longer than a row is returned whole", async () => {
    const input = "ab😀".repeat(200_000);
    const { id, output } = await created({ model: "fake/mirror", input });
    await evictDurableObject(objectOfResponse(id));
    expect((await get(`/v1/responses/${id}`)).output).toEqual(output);
  });
});

describe("a background response", () => {
  it("a background response that a crash cut off has failed, and reports this", async () => {
    const { id } = await created({ input: "Hello", background: true });
    await vi.waitFor(async () => expect(await statusOf(id)).toBe("completed"));
    const stub = objectOfResponse(id);
    // As a crash leaves it.
    await runInDurableObject(stub, (_: SessionObject, { storage }) => {
      storage.sql.exec("UPDATE responses SET status = 'in_progress'");
    });
    await evictDurableObject(stub);
    expect(await get(`/v1/responses/${id}`)).toMatchObject({
      status: "failed",
      error: { code: "server_error", message: expect.stringContaining("restarted") as string },
    });
  });

  it("a background response waits behind the call that runs, and may be cancelled there", async () => {
    const first = await created({ model: "fake/fault-stall", input: "One", background: true });
    const { session_id } = first.rhone;
    await vi.waitFor(async () => expect(await statusOf(first.id)).toBe("in_progress"));
    const second = await created({ input: "Two", background: true, rhone: { session_id } });
    expect(await statusOf(second.id)).toBe("queued");
    const cancel = (id: string): Promise<Response> => request(`/v1/responses/${id}/cancel`, { method: "POST" });
    expect(await (await cancel(second.id)).json()).toMatchObject({ status: "cancelled" });
    expect(await (await cancel(first.id)).json()).toMatchObject({ status: "cancelled" });
    const third = await created({ model: "fake/mirror", input: "Three", rhone: { session_id } });
    expect(JSON.stringify(third.output)).not.toContain("Two");
    expect(await statusOf(second.id)).toBe("cancelled");
  });
});
