import { describe, expect, it, vi } from "vitest";
import { deriveItemId, objectIdOfItem } from "../../../src/wire/id.ts";
import { errorOf, eventsOf, get, objectOf, request } from "../../support/worker/client.ts";

type Body = Record<string, unknown>;
type Item = { id: string; type: string; content?: { text: string }[]; call_id?: string };
type Answer = {
  id: string;
  status: string;
  output: Item[];
  rhone: { session_id: string; turn_id: string; call_id: string; losses: { at: string }[] };
};

const call = (body: Body, headers: Record<string, string> = {}): Promise<Response> =>
  request("/v1/responses", { method: "POST", body: JSON.stringify(body), headers });

async function answered(body: Body, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await call(body, headers);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  if (body.stream !== true) return JSON.parse(text) as Answer;
  const last = (await eventsOf(new Response(text))).at(-1)!;
  return (JSON.parse(last) as { response: Answer }).response;
}

const post = (path: string, body: Body): Promise<Response> =>
  request(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });

const PROVIDERS = ["fake", "fakeanth", "fakegem", "fakeresp"];
const user = (content: string): Body => ({ role: "user", content });
/** As the AI SDK sends it, and in the shorter form of the specification. */
const reference = (id: string): Body => ({ type: "item_reference", id });
const messageOf = ({ output }: Answer): Item => output.find(({ type }) => type === "message")!;
/** What the provider was sent: `mirror` answers with it. */
const sentOf = (answer: Answer): string => messageOf(answer).content![0]!.text;
const count = (text: string, part: string): number => text.split(part).length - 1;
/** In the place of the prefix: a session's id then has the form of a turn's. */
const STAMP = `turn_${"0".repeat(26)}`;
const inSession = (id: string): Body => ({ rhone: { session_id: id } });

/** Which of these texts the provider was sent, as often and in the order in which they were in its request; and any reference. */
function found(sent: string, texts: readonly string[]): string[] {
  const parts = [...texts, "item_reference"].map((text) => text.replaceAll(/[.?]/g, "\\$&"));
  return Array.from(sent.matchAll(new RegExp(parts.join("|"), "g")), ([text]) => text);
}

const SAID = ["First question", "Said say.", "Second question"];

describe.each(PROVIDERS)("a reference to an answer of %s", (from) => {
  it.each(PROVIDERS.flatMap((to) => [false, true].map((stream) => [to, stream] as const)))(
    "a reference to an answer is its item at %s, streamed: %s; with and without a session",
    async (to, stream) => {
      const first = await answered({ model: `${from}/say`, input: "First question", stream });
      const input = [user("First question"), reference(messageOf(first).id), user("Second question")];
      const alone = await answered({ model: `${to}/mirror`, input, stream });
      expect(found(sentOf(alone), SAID)).toEqual(SAID);
      const { session_id } = first.rhone;
      const inside = await answered({ model: `${to}/mirror`, input, stream, ...inSession(session_id) });
      expect(found(sentOf(inside), SAID)).toEqual(SAID);
      expect((await get(`/v1/sessions/${session_id}`)).turns).toBe(2);
    },
  );

  it("a reference to an answer is found after more turns, from a call that resends all of them", async () => {
    const first = await answered({ model: `${from}/say`, input: "First question" });
    const said = [user("First question"), reference(messageOf(first).id), user("Second question")];
    const second = await answered({ model: `${from}/json`, input: said });
    const third = await answered({
      model: "fake/mirror",
      input: [...said, { id: messageOf(second).id }, user("Third question")],
    });
    expect(found(sentOf(third), [...SAID, "degrees", "Third question"])).toEqual([
      ...SAID,
      "degrees",
      "Third question",
    ]);
  });

  it("a reference to an answer of a stateless call is found as well, soon", async () => {
    const headers = { "x-rhone-context-mode": "stateless" };
    const first = await answered({ model: `${from}/say`, input: "First question" }, headers);
    const input = [user("First question"), reference(messageOf(first).id), user("Second question")];
    const second = await answered({ model: `${from}/mirror`, input }, headers);
    expect(found(sentOf(second), SAID)).toEqual(SAID);
    await vi.waitFor(async () => expect((await get(`/v1/responses/${second.id}`)).status).toBe("completed"));
  });

  it("a reference to a tool call is paired with the call's result", async () => {
    const tools = [{ type: "function", name: "get_weather", parameters: { type: "object", properties: {} } }];
    const first = await answered({ model: `${from}/tools`, input: "First question", tools });
    const input = [
      user("First question"),
      ...first.output.map(({ id }) => reference(id)),
      ...first.output.flatMap(({ call_id }, i) =>
        call_id === undefined ? [] : [{ type: "function_call_output", call_id, output: `fine ${i}` }],
      ),
    ];
    for (const more of [{}, inSession(first.rhone.session_id), { previous_response_id: first.id }]) {
      const second = await answered({ model: `${from}/tools`, input, tools, ...more });
      expect(sentOf(second)).toMatch(/It is .*fine 1.* and .*fine 2/);
    }
  });

  it("a reference to reasoning is sent with its seal to its own provider, and to no other one", async () => {
    const first = await answered({ model: `${from}/think`, input: "First question" });
    const input = [user("First question"), ...first.output.map(({ id }) => reference(id)), user("Second question")];
    const back = await answered({ model: `${from}/think`, input });
    const sent = messageOf(back).content![0]!.text;
    expect(sent).not.toContain("item_reference");
    if (from !== "fake") expect(sent).toContain("Let me think.");
    if (from === "fakeanth") expect(sent).toContain("signature");
    if (from === "fakeresp") expect(sent).toContain("encrypted_content");
    for (const other of PROVIDERS.filter((one) => one !== from)) {
      const away = sentOf(await answered({ model: `${other}/mirror`, input }));
      expect(found(away, ["First question", "Said think.", "Second question"])).toEqual([
        "First question",
        "Said think.",
        "Second question",
      ]);
      expect(away).not.toMatch(/signature|encrypted_content|rs_/);
    }
  });
});

describe("a reference in a session", () => {
  const twoTurns = async (model: string): Promise<[Answer, Answer]> => {
    const first = await answered({ model, input: "First question" });
    const second = await answered({ model, input: "Second question", ...inSession(first.rhone.session_id) });
    return [first, second];
  };

  it.each(PROVIDERS)("an item of the history is never sent twice: %s", async (provider) => {
    const [first, second] = await twoTurns(`${provider}/say`);
    const { session_id } = first.rhone;
    const input = [reference(messageOf(first).id), reference(messageOf(second).id), user("Third question")];
    const third = await answered({ model: "fake/mirror", input, ...inSession(session_id) });
    expect(count(sentOf(third), "Said say.")).toBe(2);
    const next = await answered({ model: "fake/mirror", input, previous_response_id: second.id });
    expect(count(sentOf(next), "Said say.")).toBe(2);
  });

  it("an item of another session, and of a turn that is off the path, is added", async () => {
    const other = await answered({ model: "fakeanth/json", input: "Elsewhere" });
    const first = await answered({ model: "fake/say", input: "First question" });
    const input = [reference(messageOf(other).id), user("Third question")];
    const { session_id } = first.rhone;
    const third = await answered({ model: "fake/mirror", input, ...inSession(session_id) });
    const texts = ["First question", "Said say.", "degrees", "Third question"];
    expect(found(sentOf(third), texts)).toEqual(texts);
    const second = await answered({ model: "fakeanth/json", input: "Branch", previous_response_id: first.id });
    const fork = [reference(messageOf(second).id), user("Fork")];
    const forked = await answered({ model: "fake/mirror", input: fork, previous_response_id: first.id });
    expect(found(sentOf(forked), [...texts, "Branch", "Fork"])).toEqual([...texts.slice(0, 3), "Fork"]);
  });

  it("an item of a response that is not stored can be referenced in its session only", async () => {
    const first = await answered({ model: "fake/say", input: "First question", store: false });
    const input = [user("First question"), reference(messageOf(first).id), user("Second question")];
    const inside = await answered({ model: "fake/mirror", input, ...inSession(first.rhone.session_id) });
    expect(found(sentOf(inside), SAID)).toEqual(SAID);
    expect((await call({ model: "fake/mirror", input })).status).toBe(404);
  });

  it("an item of a conversation can be referenced", async () => {
    const create = await post("/v1/conversations", { items: [user("First question")] });
    const { id } = await create.json<{ id: string }>();
    const { data } = await (await request(`/v1/conversations/${id}/items`)).json<{ data: Item[] }>();
    const input = [reference(data[0]!.id), user("Second question")];
    const answer = await answered({ model: "fake/mirror", input, conversation: id });
    expect(found(sentOf(answer), ["First question", "Second question"])).toEqual(["First question", "Second question"]);
  });
});

describe("references to one of two equal replies", () => {
  const lineageOf = async (id: string): Promise<{ id: string; parent_id: string | null }[]> =>
    (await get(`/v1/sessions/${id}/lineage`)).turns as { id: string; parent_id: string | null }[];

  it.each(PROVIDERS)(
    "a reference means the reply with its id, not an equal one on another branch: %s",
    async (provider) => {
      const first = await answered({ model: `${provider}/say`, input: "First question" });
      const { session_id } = first.rhone;
      const twin = await answered({
        model: `${provider}/say`,
        input: "First question",
        rhone: { session_id, parent: session_id },
      });
      for (const one of [first, twin]) {
        const input = [user("First question"), reference(messageOf(one).id), user("Second question")];
        const answer = await answered({ model: "fake/mirror", input, ...inSession(session_id) });
        expect(found(sentOf(answer), SAID)).toEqual(SAID);
        const turns = await lineageOf(session_id);
        expect(turns.find(({ id }) => id === answer.rhone.turn_id)!.parent_id).toBe(one.rhone.turn_id);
      }
    },
  );

  it.each(PROVIDERS)(
    "a reference means the reply with its id, not an equal one in another session: %s",
    async (provider) => {
      const other = await answered({ model: `${provider}/say`, input: "Elsewhere" });
      const first = await answered({ model: `${provider}/say`, input: "First question" });
      const input = [reference(messageOf(other).id), user("Second question")];
      const answer = await answered({ model: "fake/mirror", input, ...inSession(first.rhone.session_id) });
      expect(found(sentOf(answer), SAID)).toEqual(["First question", "Said say.", "Said say.", "Second question"]);
    },
  );
});

describe("a referenced item", () => {
  it("an item that the input has as well, or references twice, is sent once", async () => {
    const first = await answered({ model: "fakeresp/say", input: "First question" });
    const item = messageOf(first);
    for (const items of [
      [item, reference(item.id)],
      [reference(item.id), reference(item.id)],
      [reference(item.id), item],
    ]) {
      const input = [user("First question"), ...items, user("Second question")];
      expect(found(sentOf(await answered({ model: "fakeresp/mirror", input })), SAID)).toEqual(SAID);
    }
  });

  it.each(["fake", "fakeresp"])("a reference to an unknown item is an error that names it: %s", async (provider) => {
    const { session_id } = (await answered({ model: `${provider}/say`, input: "Hello" })).rhone;
    for (const id of ["msg_unknown", "rs_0123456789", deriveItemId("msg", session_id.replace("sess_", STAMP), "0")])
      for (const stream of [false, true]) {
        const response = await call({ model: `${provider}/mirror`, input: [user("Hello"), reference(id)], stream });
        expect(response.status).toBe(404);
        expect(await errorOf(response)).toMatchObject({
          message: expect.stringContaining(`Item with id '${id}' not found.`) as string,
          type: "invalid_request_error",
          param: "input",
        });
      }
  });

  it("a reference without an id is an error that names the field", async () => {
    const response = await call({ model: "fake/mirror", input: [user("Hello"), { type: "item_reference" }] });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ param: "input[1].id" });
  });

  it("an item of a deleted response is not found, nor one of another organisation", async () => {
    const first = await answered({ model: "fakeresp/say", input: "First question" });
    const { id } = messageOf(first);
    const stub = objectOf(first.rhone.call_id);
    expect(await (await stub.findItems("org_other", [id])).json()).toEqual([]);
    await request(`/v1/responses/${first.id}`, { method: "DELETE" });
    expect((await call({ model: "fake/mirror", input: [reference(id), user("Hello")] })).status).toBe(404);
  });

  it("a referenced item is found by a background call", async () => {
    const first = await answered({ model: "fakeanth/say", input: "First question" });
    const input = [user("First question"), reference(messageOf(first).id), user("Second question")];
    const { id } = await answered({ model: "fake/mirror", input, background: true });
    await vi.waitFor(async () => {
      const done = (await get(`/v1/responses/${id}`)) as unknown as Answer;
      expect(done.status).toBe("completed");
      expect(found(sentOf(done), SAID)).toEqual(SAID);
    });
  });

  it.each(["fake", "fakeanth", "fakegem"].flatMap((from) => PROVIDERS.map((to) => [from, to] as const)))(
    "an item of a stream that broke at %s and went on at %s is found",
    async (from, to) => {
      const name = `item-${from}-${to}`;
      const routing = { fallbacks: [`${to}/fault-none.${name}`], midstream: "continue" };
      const first = await answered({
        model: `${from}/fault-cut.${name}`,
        input: "First question",
        stream: true,
        rhone: { routing },
      });
      const input = [user("First question"), ...first.output.map(({ id }) => reference(id)), user("Second question")];
      const said = ["First question", "Said fault.", "Second question"];
      for (const more of [{}, inSession(first.rhone.session_id)])
        expect(found(sentOf(await answered({ model: "fake/mirror", input, ...more })), said)).toEqual(said);
    },
  );

  it("an item has an id that OpenAI accepts, and only a provider's own id is indexed", async () => {
    for (const provider of PROVIDERS)
      for (const { id } of (await answered({ model: `${provider}/tools`, input: "Hello" })).output) {
        expect(id).toMatch(/^[a-zA-Z0-9_-]{1,64}$/);
        expect([id, objectIdOfItem(id) === undefined]).toEqual([id, provider === "fakeresp"]);
      }
  });

  it("an id that the items of two providers' answers share leads to neither", async () => {
    const fixture = "fakeresp/fixture-parallel-calls-xai";
    const first = await answered({ model: fixture, input: "One" });
    await answered({ model: fixture, input: "Two" });
    const [item] = first.output;
    const response = await call({ model: "fake/mirror", input: [reference(item!.id), user("Hello")] });
    expect(response.status).toBe(404);
    const input = [user("One"), ...first.output.map(({ id }) => reference(id)), user("Hello")];
    const inside = await answered({ model: "fake/mirror", input, ...inSession(first.rhone.session_id) });
    expect(sentOf(inside)).toContain("Hello");
  });

  it("a reference is resolved for token counts, for compactions and in conversations", async () => {
    const first = await answered({ model: "fakeresp/say", input: "First question" });
    const item = reference(messageOf(first).id);
    const input = [user("First question"), item, user("Second question")];
    const compacted = await post("/v1/responses/compact", { model: "fakeresp/sealed", input });
    const shown = await compacted.text();
    expect([compacted.status, shown]).toEqual([200, expect.stringContaining("Said say.")]);
    expect(shown).not.toContain("item_reference");
    const created = await post("/v1/conversations", { items: input });
    const { id } = await created.json<{ id: string }>();
    expect(JSON.stringify(await get(`/v1/conversations/${id}/items`))).toContain("Said say.");
    const unknown = [reference("msg_unknown")];
    const refused = await Promise.all([
      post("/v1/conversations", { items: unknown }),
      post(`/v1/conversations/${id}/items`, { items: unknown }),
      post("/v1/responses/input_tokens", { model: "fakeresp/say", input: unknown }),
      post("/v1/responses/compact", { model: "fakeresp/sealed", input: unknown }),
    ]);
    const message = expect.stringContaining("'msg_unknown' not found") as string;
    for (const response of refused) expect(await errorOf(response)).toMatchObject({ message });
  });
});
