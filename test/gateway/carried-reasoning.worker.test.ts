import { describe, expect, it } from "vitest";
import { CARRIED } from "../../src/canonical/carried.ts";
import { SIGNATURE } from "../fake/anthropic.ts";
import { ENCRYPTED } from "../fake/responses.ts";
import { request, user } from "../support/worker/client.ts";

type Json = ReturnType<typeof JSON.parse>;

/** The whole answer of a stateless call, also of a streamed one. The scripted models refuse what the real ones refuse. */
async function ask(path: string, body: object, headers: Record<string, string> = {}): Promise<Json> {
  const response = await request(path, {
    method: "POST",
    headers: { "anthropic-version": "2023-06-01", ...headers },
    body: JSON.stringify({ rhone: { context_mode: "stateless" }, ...body }),
  });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  if (text.startsWith("{")) return JSON.parse(text);
  const events: Json[] = [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data]) => JSON.parse(data!));
  const completed = events.findLast(({ type }) => type === "response.completed");
  if (completed !== undefined) return completed.response;
  const content: Json[] = [];
  for (const { type, index, content_block, delta } of events) {
    if (type === "content_block_start") content[index] = { ...content_block };
    if (type === "content_block_delta")
      for (const member of ["text", "thinking", "signature"])
        if (delta[member] !== undefined) content[index][member] = (content[index][member] ?? "") + delta[member];
  }
  return { ...events[0].message, content };
}

/** Two questions to a model that thinks: what the client got first, and what the provider of the second got. */
const CLIENTS = {
  messages: async (models: [string, string], options: Json = {}, edit = (items: Json): Json => items) => {
    const { headers: [first = {}, second = first] = [], ...body } = options;
    const given = { max_tokens: 100, ...body };
    const start = [user("Think.")];
    const { content } = await ask("/v1/messages", { ...given, model: models[0], messages: start }, first);
    const messages = [...start, { role: "assistant", content: edit(content) }, user("Again.")];
    const answer = await ask("/v1/messages", { ...given, model: models[1], messages }, second);
    return { got: content, seen: JSON.parse(answer.content.at(-1).text), answer };
  },
  responses: async (models: [string, string], options: Json = {}, edit = (items: Json): Json => items) => {
    const { headers: [first = {}, second = first] = [], ...body } = options;
    const given = { store: false, include: ["reasoning.encrypted_content"], ...body };
    const start = [user("Think.")];
    const { output } = await ask("/v1/responses", { ...given, model: models[0], input: start }, first);
    const answer = await ask(
      "/v1/responses",
      { ...given, model: models[1], input: [...start, ...edit(output), user("Again.")] },
      second,
    );
    return { got: output, seen: JSON.parse(answer.output.at(-1).content[0].text), answer };
  },
};

const ANTHROPIC = { type: "thinking", thinking: "Let me think.", signature: SIGNATURE };
const OPENAI = {
  type: "reasoning",
  id: expect.stringMatching(/^rs_fake/) as string,
  summary: [{ type: "summary_text", text: "Let me think." }],
  encrypted_content: ENCRYPTED,
};

describe.each([false, true])("reasoning that a client carries outside a session, streamed: %s", (stream) => {
  it("a Responses client carries that of Claude, which gets it back with its signature", async () => {
    const { got, seen } = await CLIENTS.responses(["fakeanth/think", "fakeanth/think"], { stream });
    expect(got[0]).toMatchObject({ type: "reasoning", summary: OPENAI.summary });
    expect(got[0].id).toMatch(/^rs_/);
    expect(got[0].encrypted_content.startsWith(CARRIED)).toBe(true);
    expect(JSON.stringify(got)).not.toContain(SIGNATURE);
    expect(seen.messages[1]).toEqual({
      role: "assistant",
      content: [ANTHROPIC, { type: "text", text: "Said think." }],
    });
  });

  it("a Messages client carries that of OpenAI, which gets it back encrypted, under its id", async () => {
    const { got, seen } = await CLIENTS.messages(["fakeresp/think", "fakeresp/think"], { stream });
    expect(got[0]).toMatchObject({ type: "thinking", thinking: "Let me think." });
    expect(got[0].signature.startsWith(CARRIED)).toBe(true);
    expect(seen.input[1]).toEqual(OPENAI);
  });

  it.each(["fakeresp", "fakegem", "fake"])("Claude never gets what a Messages client carries of %s", async (row) => {
    const { got, seen, answer } = await CLIENTS.messages([`${row}/think`, "fakeanth/think"], { stream });
    expect(got[0].signature.startsWith(CARRIED)).toBe(true);
    expect(seen.messages).toEqual([
      user("Think."),
      { role: "assistant", content: [{ type: "text", text: "Said think." }] },
      user("Again."),
    ]);
    expect(JSON.stringify(answer.rhone ?? "")).not.toContain(CARRIED);
  });

  it.each(["fakeanth", "fakegem", "fake"])("OpenAI never gets what a Responses client carries of %s", async (row) => {
    const { seen } = await CLIENTS.responses([`${row}/think`, "fakeresp/think"], { stream });
    expect(seen.input.map(({ type = "message" }) => type)).toEqual(["message", "message", "message"]);
    expect(JSON.stringify(seen)).not.toContain(CARRIED);
  });
});

it("a Responses client that does not ask for encrypted reasoning gets none", async () => {
  const { got } = await CLIENTS.responses(["fakeanth/think", "fakeanth/think"], { include: [] });
  expect(got[0]).not.toHaveProperty("encrypted_content");
});

it("a request to its own dialect keeps all other bytes beside what its client carries", async () => {
  const text = { type: "text", text: "So.", not_known_yet: 1.5 };
  const edit = ([thinking]: Json[]): Json[] => [thinking, text];
  const { seen } = await CLIENTS.messages(["fakeresp/think", "fakeanth/think"], {}, edit);
  expect(seen.messages[1].content).toEqual([text]);
});

describe("what a client carries is of no use", () => {
  const tamper =
    (change: (carried: string) => string) =>
    (items: Json[]): Json[] =>
      items.map((item) => ({
        ...item,
        ...(item.signature && { signature: change(item.signature) }),
        ...(item.encrypted_content && { encrypted_content: change(item.encrypted_content) }),
      }));
  const MODELS = {
    messages: ["fakeresp/think", "fakeresp/think"],
    responses: ["fakeanth/think", "fakeanth/think"],
  } as const;
  const sealed = /rhone-sealed|"reasoning","id"|"type":"thinking","thinking"|"type":"reasoning"/;

  it.each(["messages", "responses"] as const)("in another organisation: %s", async (surface) => {
    const created = await request("/v1/organizations", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name: "Elsewhere" }),
    });
    const { id }: { id: string } = await created.json();
    const headers = [{}, { "x-rhone-organization": id }];
    const { seen } = await CLIENTS[surface]([...MODELS[surface]], { headers });
    expect(JSON.stringify(seen)).not.toMatch(sealed);
  });

  it.each<[string, (carried: string) => string]>([
    ["changed", (carried) => carried.slice(0, -8) + carried.slice(-16, -8)],
    ["cut", (carried) => carried.slice(0, 60)],
    ["empty", () => CARRIED],
    ["of another key", (carried) => carried.replace(/\.[^.]*\./, ".00000000.")],
    ["no ciphertext", () => `${CARRIED}é\u{1f600}.{}.[]`],
  ])("%s", async (_, change) => {
    for (const surface of ["messages", "responses"] as const) {
      const { seen } = await CLIENTS[surface]([...MODELS[surface]], {}, tamper(change));
      expect(JSON.stringify(seen)).not.toMatch(sealed);
    }
  });
});

it("the same words in a text of the client stay as they are", async () => {
  const content = `Is ${CARRIED}abc a prefix?`;
  const { content: answered } = await ask("/v1/messages", {
    model: "fakeanth/mirror",
    max_tokens: 9,
    messages: [user(content)],
  });
  expect(JSON.parse(answered[0].text).messages).toEqual([user(content)]);
});

it("in a session, the stored item and the carried one are the same item", async () => {
  const start = [user("Think.")];
  const sent = { model: "fakeresp/think", max_tokens: 100, rhone: {} };
  const first = await ask("/v1/messages", { ...sent, messages: start });
  const messages = [...start, { role: "assistant", content: first.content }, user("Again.")];
  const rhone = { session_id: first.rhone.session_id };
  const second = await ask("/v1/messages", { ...sent, messages, rhone });
  expect(second.rhone.context).toMatchObject({ mode: "stateful", turns: 1 });
  expect(JSON.parse(second.content.at(-1).text).input[1]).toEqual(OPENAI);
  const { turns } = await (await request(`/v1/sessions/${rhone.session_id}`)).json<{ turns: number }>();
  expect(turns).toBe(2);
});

it("a tool loop that another model began goes on at Claude, without thinking where it asks for a budget", async () => {
  const question = user("Look.");
  const tools = [{ name: "get_weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }];
  const given = { max_tokens: 5000, thinking: { type: "enabled", budget_tokens: 1024 }, tools };
  const { content } = await ask("/v1/messages", { ...given, model: "fakeresp/loop", messages: [question] });
  expect(content.map(({ type }: Json) => type)).toEqual(["thinking", "text", "tool_use", "tool_use", "tool_use"]);
  const results = content
    .filter(({ type }: Json) => type === "tool_use")
    .map(({ id, input }: Json) => ({ type: "tool_result", tool_use_id: id, content: `fine in ${input.city}` }));
  const messages = [question, { role: "assistant", content }, { role: "user", content: results }];
  for (const model of ["fakeanth/loop", "fakeresp/loop"]) {
    const next = await ask("/v1/messages", { ...given, model, messages });
    expect(next.content.at(-1)).toMatchObject({ type: "tool_use" });
  }
});

it("reasoning that has no words and no sealed content makes no block", async () => {
  const { content } = await ask("/v1/messages", { model: "fakeresp/bare", max_tokens: 9, messages: [user("x")] });
  expect(content).toEqual([{ type: "text", text: "Said bare." }]);
});

describe("a stored response", () => {
  const include = ["reasoning.encrypted_content"];
  const read = async (id: string): Promise<Json> => await (await request(`/v1/responses/${id}`)).json();

  it.each([true, false])("has the text that its client carries, in the background: %s", async (background) => {
    const body = { model: "fakeanth/think", input: [user("Think.")], include, background, rhone: {} };
    const { id } = await ask("/v1/responses", body);
    await expect.poll(async () => (await read(id)).status).toBe("completed");
    const { output } = await read(id);
    expect(output[0].encrypted_content.startsWith(CARRIED)).toBe(true);
  });

  it("lists an input with carried items as the client sent it", async () => {
    const first = await ask("/v1/responses", { model: "fakeanth/think", input: [user("Think.")], include, rhone: {} });
    const input = [{ type: "message", ...user("Think.") }, ...first.output, { type: "message", ...user("Again.") }];
    const second = await ask("/v1/responses", { model: "fakeanth/think", input, include, rhone: {} });
    const { data }: Json = await (await request(`/v1/responses/${second.id}/input_items?order=asc`)).json();
    expect(data.map(({ type, id }: Json) => [type, id]).slice(1, 3)).toEqual(
      first.output.map(({ type, id }: Json) => [type, id]),
    );
    expect(data[1].encrypted_content).toBe(first.output[0].encrypted_content);
  });
});
