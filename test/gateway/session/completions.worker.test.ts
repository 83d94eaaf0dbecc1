import { describe, expect, it, vi } from "vitest";
import { post } from "../../support/worker/client.ts";
import { api } from "../../support/worker/session-client.ts";

const PATH = "/v1/chat/completions";
const user = (content: unknown): object => ({ role: "user", content });

type Made = { id: string; choices: object[]; rhone: { session_id: string; call_id: string } };

async function complete(body: object): Promise<Made> {
  const { status, body: made } = await api("POST", PATH, body);
  expect([status, made.error]).toEqual([200, undefined]);
  return made as Made;
}

let names = 0;
/** Lists hold what other tests have stored, too. */
const own = (): Record<string, string> => ({ test: `t${++names}` });

const list = async (query: string): Promise<{ data: { id: string; metadata: object }[]; has_more: boolean }> => {
  const { status, body } = await api("GET", `${PATH}?${query}`);
  expect([status, body.error]).toEqual([200, undefined]);
  return body;
};
const byName = ({ test }: Record<string, string>): string => `metadata[test]=${test}`;

describe.each(["stateful", "stateless"])("a stored chat completion of a %s call", (context_mode) => {
  it.each(["demo", "fake/say", "fakeanth/think", "fakeresp/tools", "fakegem/say"])(
    "a completion is retrieved, listed, changed and deleted by the id of its answer: %s",
    async (model) => {
      const metadata = own();
      const made = await complete({ model, messages: [user("hello")], store: true, metadata, rhone: { context_mode } });
      const at = `${PATH}/${encodeURIComponent(made.id)}`;
      const { body: found } = await api("GET", at);
      expect(found).toMatchObject({ id: made.id, object: "chat.completion", metadata, choices: made.choices });
      expect(found).not.toHaveProperty("rhone");
      await vi.waitFor(async () => expect((await list(byName(metadata))).data).toEqual([found]), 5_000);

      const changed = own();
      const { body: updated } = await api("POST", at, { metadata: changed });
      expect(updated).toEqual({ ...found, metadata: changed });
      expect((await api("GET", at)).body).toEqual(updated);
      await vi.waitFor(async () => {
        expect((await list(byName(changed))).data).toEqual([updated]);
        expect((await list(byName(metadata))).data).toEqual([]);
      }, 5_000);

      const { body: deleted } = await api("DELETE", at);
      expect(deleted).toEqual({ object: "chat.completion.deleted", id: made.id, deleted: true });
      expect((await api("GET", at)).status).toBe(404);
      await vi.waitFor(async () => expect((await list(byName(changed))).data).toEqual([]), 5_000);
    },
  );

  it("the messages of a completion are those that the model received, in pages", async () => {
    const parts = [{ type: "text", text: "What is my name?" }];
    const messages = [{ role: "system", content: "Be brief." }, user("My name is Ada."), user(parts)];
    const made = await complete({ model: "demo", messages, store: true, rhone: { context_mode } });
    const at = `${PATH}/${made.id}/messages`;
    const { body } = await api("GET", at);
    expect(body.data).toEqual([
      { id: `${made.id}-0`, role: "system", content: "Be brief.", content_parts: null },
      { id: `${made.id}-1`, role: "user", content: "My name is Ada.", content_parts: null },
      { id: `${made.id}-2`, role: "user", content: "What is my name?", content_parts: parts },
    ]);
    const { body: page } = await api("GET", `${at}?order=desc&limit=1&after=${made.id}-2`);
    expect(page).toMatchObject({ data: [{ id: `${made.id}-1` }], has_more: true, first_id: `${made.id}-1` });
    expect((await api("GET", `${at}?after=x`)).body.error).toMatchObject({ param: "after" });
  });

  it("a streamed one is stored under the id of its chunks", async () => {
    const metadata = own();
    const response = await post({
      model: "demo",
      messages: [user(`hello from ${context_mode}`)],
      stream: true,
      store: true,
      metadata,
      rhone: { context_mode },
    });
    const { id } = JSON.parse(/^data: (\{.*)$/m.exec(await response.text())![1]!) as { id: string };
    expect((await api("GET", `${PATH}/${id}`)).body).toMatchObject({ id, choices: [{ finish_reason: "stop" }] });
  });
});

describe("the list of stored chat completions", () => {
  it("the list goes on behind an id, in either order, and finds a model", async () => {
    const metadata = own();
    const made: string[] = [];
    // Of the providers here, only the demo gives each answer an id of its own.
    for (const model of ["demo", "fake/say", "demo"])
      made.push((await complete({ model, messages: [user(`${made.length}`)], store: true, metadata })).id);
    const filter = byName(metadata);
    const ids = async (query: string): Promise<string[]> => (await list(`${filter}&${query}`)).data.map(({ id }) => id);
    await vi.waitFor(async () => expect(await ids("")).toEqual(made), 5_000);
    expect(await ids("order=desc")).toEqual(made.toReversed());
    expect(await ids(`after=${made[0]}&limit=1`)).toEqual([made[1]]);
    expect((await list(`${filter}&limit=2`)).has_more).toBe(true);
    expect(await ids(`order=desc&after=${made[1]}`)).toEqual([made[0]]);
    expect(await ids("model=demo")).toEqual([made[0], made[2]]);
  });

  it("the completions of a deleted session leave the list with it", async () => {
    const metadata = own();
    const make = (text: string): Promise<Made> =>
      complete({ model: "demo", messages: [user(text)], store: true, metadata });
    const [lost, kept] = [await make("to be deleted"), await make("to be kept")];
    const { status } = await api("DELETE", `/v1/sessions/${lost.rhone.session_id}`);
    expect(status).toBe(200);
    await vi.waitFor(
      async () =>
        expect(await list(`${byName(metadata)}&limit=1`)).toMatchObject({ data: [{ id: kept.id }], has_more: false }),
      5_000,
    );
  });

  it.each([
    ["after=chatcmpl-none", "after"],
    ["limit=0", "limit"],
    ["colour=red", "colour"],
  ])("a wrong query is refused by name: %s", async (query, param) => {
    const { status, body } = await api("GET", `${PATH}?${query}`);
    expect([status, body.error.param]).toEqual([400, param]);
  });
});

it("a completion without store: true, or of another surface, is not stored", async () => {
  for (const body of [{}, { store: false }, { store: null }]) {
    const { id } = await complete({ model: "demo", messages: [user(JSON.stringify(body))], ...body });
    const { status, body: refusal } = await api("GET", `${PATH}/${id}`);
    expect([status, refusal.error.message]).toEqual([404, `Chat completion with id '${id}' not found.`]);
  }
  const { id } = await complete({ model: "demo", messages: [user("of Chat")], store: true });
  expect((await api("GET", `/v1/responses/${id}`)).status).toBe(404);
});
