import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { json, send, type Json } from "../../support/runs/client.ts";
import { namedServer } from "../../support/runs/mcp.ts";
import { type Answered, answered, call, plan, SURFACE_NAMES } from "../../support/runs/tool-calls.ts";
import { objectOf } from "../../support/worker/client.ts";

const TIME = { tools: [{ type: "native", name: "time" }] };
/** What the lists must not have: the gateway's calls, and their results. */
const HIDDEN = /"function_call|call_plan|"name":"time"|time_zone|"tool_calls"/;
const REQUEST = { thinking: "", text: "@request" };

type Item = Json & { id: string; type: string; role?: string; content?: { text: string }[] };

const listOf = async (path: string): Promise<Item[]> =>
  (await json("GET", `${path}?order=asc&limit=100`)).data as Item[];
const conversationOf = ({ rhone }: Answered): string =>
  `/v1/conversations/${(rhone.session_id as string).replace("sess", "conv")}`;
const shown = ({ content, type }: Item): string => (content ?? []).map(({ text }) => text).join("") || type;
const outputOf = ({ whole }: Answered): Item[] => whole.output as Item[];
const sessionOf = ({ rhone }: Answered): Json => ({ session_id: rhone.session_id });

it.each(SURFACE_NAMES)(
  "%s: a conversation has what its client has got, without the gateway's calls",
  async (surface) => {
    const question = plan([call("time")], [call("time")], "Late.");
    const answer = await answered(surface, question, { rhone: TIME });
    const items = await listOf(`${conversationOf(answer)}/items`);
    expect(JSON.stringify(items)).not.toMatch(HIDDEN);
    const texts = items.filter(({ type }) => type === "message").map(shown);
    expect(texts).toEqual([question, "Let me look.", "Let me look.", "Late."]);
    expect(new Set(items.map(({ id }) => id)).size).toBe(items.length);
    for (const item of items) expect(await json("GET", `${conversationOf(answer)}/items/${item.id}`)).toEqual(item);
  },
);

it.each(["fakeresp/plan", "fake/plan", "fakeanth/plan", "fakegem/plan"])(
  "a later response of %s has the items of an earlier one as its input, under the ids that the client has got",
  async (model) => {
    for (const stream of [false, true]) {
      const first = await answered("responses", plan([call("time")], "Late."), {
        rhone: TIME,
        stream,
        more: { model },
      });
      const more = { model, previous_response_id: first.whole.id };
      const later = await answered("responses", plan([call("time")], "Later."), { rhone: TIME, stream, more });
      const items = await listOf(`/v1/responses/${later.whole.id as string}/input_items`);
      expect(JSON.stringify(items)).not.toMatch(HIDDEN);
      expect(items.slice(1, -1).map(({ id, type }) => [id, type])).toEqual(
        outputOf(first).map(({ id, type }) => [id, type]),
      );
      const all = await listOf(`${conversationOf(later)}/items`);
      expect(all.slice(0, items.length)).toEqual(items);
      expect(all.slice(items.length).map(({ id }) => id)).toEqual(outputOf(later).map(({ id }) => id));
    }
  },
);

it.each(SURFACE_NAMES)(
  "%s: a reply that calls tools of the client as well is listed without the gateway's call, before and after that is made",
  async (surface) => {
    const asked = { text: plan([call("weather", { city: "Lyon" }), call("time")], "Sun.") };
    const options = { tools: ["weather"], rhone: TIME as Json };
    const answer = await answered(surface, [asked], options);
    const at = `${conversationOf(answer)}/items`;
    const callsIn = async (): Promise<string[]> =>
      (await listOf(at)).flatMap(({ type }) => (type.startsWith("function_call") ? [type] : []));
    expect(await callsIn()).toEqual(["function_call"]);
    const rhone = { ...TIME, ...sessionOf(answer) };
    const result = { result: "22 degrees", of: answer.calls[0]! };
    const spoken = [asked, { answered: answer }, result, { text: "Quick." }];
    const done = await answered(surface, spoken, { ...options, rhone });
    expect(done.text).toContain("Sun.");
    const items = await listOf(at);
    expect(JSON.stringify(items)).not.toMatch(/"name":"time"|time_zone/);
    expect(await callsIn()).toEqual(["function_call", "function_call_output"]);
    // What the client has sent beside its result can be deleted; the gateway's result stays with its call.
    const { id } = items.find((item) => shown(item) === "Quick.")!;
    expect((await send("DELETE", `${at}/${id}`)).status).toBe(200);
    expect((await listOf(at)).map((item) => item.id)).toEqual(
      items.flatMap((item) => (item.id === id ? [] : [item.id])),
    );
    const last = await answered(surface, [{ text: plan(REQUEST) }], { ...options, rhone });
    expect(last.text).not.toContain("Quick.");
    expect(last.text).toContain("22 degrees");
    expect(last.text.match(/Tuesday|Monday|Wednesday|Thursday|Friday|Saturday|Sunday/g)).toHaveLength(1);
  },
);

it("the calls of a server that the client has named are listed as it has got them, and cannot be deleted", async () => {
  const model = "fakeanth/plan";
  const question = plan([call("crm__refund", { n: 1 })], "Done.");
  const tools = [namedServer("listed", { require_approval: "never" })];
  const made = await answered("responses", question, { more: { model, tools } });
  const at = `${conversationOf(made)}/items`;
  const items = await listOf(at);
  expect(items.slice(1)).toMatchObject(outputOf(made).map(({ id, type }) => ({ id, type })));
  const { id } = items.find(({ type }) => type === "mcp_call")!;
  const refused = await send("DELETE", `${at}/${id}`);
  expect([refused.status, await refused.json()]).toMatchObject([400, { error: { param: "item_id" } }]);
  expect(await listOf(at)).toEqual(items);

  const waiting = await answered("responses", question, { more: { model, tools: [namedServer("listed-waits")] } });
  const listed = await listOf(`${conversationOf(waiting)}/items`);
  expect(listed.slice(1).map((item) => item.id)).toEqual(outputOf(waiting).map((item) => item.id));
  expect(listed.at(-1)).toEqual(outputOf(waiting).at(-1));
});

it.each(["responses", "messages", "gemini", "chat"] as const)(
  "%s: each item around a deleted one stays, under its id, and so do the gateway's calls for the model",
  async (surface) => {
    const first = plan([call("time")], [call("time")], "Late.");
    const answer = await answered(surface, [{ text: first }], { rhone: TIME });
    const second = { text: plan("Bye.") };
    await answered(surface, [second], { rhone: sessionOf(answer) });
    const at = `${conversationOf(answer)}/items`;
    const messages = (await listOf(at)).filter(({ type }) => type === "message");
    const alone = await send("DELETE", `${at}/${messages[0]!.id}`);
    expect([alone.status, await alone.json()]).toMatchObject([400, { error: { param: "item_id" } }]);
    for (const { id } of [messages[2]!, messages[3]!, messages[1]!]) {
      const before = await listOf(at);
      expect((await send("DELETE", `${at}/${id}`)).status).toBe(200);
      expect((await send("GET", `${at}/${id}`)).status).toBe(404);
      const after = await listOf(at);
      expect(JSON.stringify(after)).not.toMatch(HIDDEN);
      const left = before.filter((item) => item.id !== id && item.type !== "reasoning");
      expect(after.filter(({ type }) => type !== "reasoning")).toEqual(left);
    }
    const { text } = await answered(surface, [{ text: plan(REQUEST) }], { rhone: sessionOf(answer) });
    expect(text).not.toContain("Let me look.");
    expect(text.match(surface === "gemini" ? /functionResponse/g : /call_plan_\d+/g)).toHaveLength(
      surface === "gemini" ? 2 : 4,
    );
    expect(text.match(/time_zone/g)).toHaveLength(2);
  },
);

it("an item of the gateway's call cannot be read, referenced or deleted, also by the id that its provider has given it", async () => {
  const answer = await answered("responses", plan([call("time")], "Late."), { rhone: TIME });
  const stored = await runInDurableObject(objectOf(answer.rhone.call_id as string), (_, { storage }) =>
    storage.sql.exec<{ output: string }>("SELECT output FROM turns WHERE kind = 'step'").one(),
  );
  const items = JSON.parse(`[${stored.output}]`) as Item[];
  const { id } = items.find(({ type }) => type === "function_call")!;
  const at = `${conversationOf(answer)}/items`;
  const before = await listOf(at);
  expect((await send("GET", `${at}/${id}`)).status).toBe(404);
  expect((await send("DELETE", `${at}/${id}`)).status).toBe(404);
  const input = [{ type: "item_reference", id }];
  const referenced = await send("POST", "/v1/responses", { model: "fakeresp/plan", input, rhone: sessionOf(answer) });
  expect(referenced.status).toBe(404);
  expect(await listOf(at)).toEqual(before);
});

it("the history that a summary or a branch goes on with hides them as well", async () => {
  const answer = await answered("responses", plan([call("time")], "Late."), { rhone: TIME });
  const { session_id } = answer.rhone;
  await answered("responses", plan("Bye."), { rhone: { session_id } });
  const branch = await send("POST", `/v1/sessions/${session_id as string}:branch`, {});
  const { id } = await branch.json<{ id: string }>();
  expect(branch.status).toBe(201);
  const branched = await listOf(`/v1/conversations/${id.replace("sess", "conv")}/items`);
  const whole = await listOf(`${conversationOf(answer)}/items`);
  expect(JSON.stringify(branched)).not.toMatch(HIDDEN);
  expect(branched.map(shown)).toEqual(whole.map(shown));
  await json("POST", `/v1/sessions/${session_id as string}:compact`, { strategy: "drop_tool_results" });
  const compacted = await listOf(`${conversationOf(answer)}/items`);
  expect(JSON.stringify(compacted)).not.toMatch(HIDDEN);
  expect(compacted.map(shown).slice(-1)).toEqual(["Bye."]);
});

it("each item of an answer can be referenced by its id, in its session and elsewhere", async () => {
  const answer = await answered("responses", plan([call("time")], "Late."), { rhone: TIME });
  const { id } = outputOf(answer).find((item) => shown(item) === "Let me look.")!;
  const input = [
    { type: "item_reference", id },
    { role: "user", content: plan(REQUEST) },
  ];
  const elsewhere = await answered("responses", "-", { more: { input } });
  expect(elsewhere.rhone.session_id).not.toBe(answer.rhone.session_id);
  expect(elsewhere.text).toContain("Let me look.");
  expect(elsewhere.text).not.toContain("call_plan");
  const inside = await answered("responses", "-", { more: { input }, rhone: sessionOf(answer) });
  expect(inside.text.match(/Let me look/g)).toHaveLength(1);
});

it("the messages of a stored chat completion are those that its client has sent and got", async () => {
  const first = { text: plan([call("time")], "Late.") };
  const one = await answered("chat", [first], { rhone: TIME });
  const second = { text: plan([call("time")], "Later.") };
  const two = await answered("chat", [first, { answered: one }, second], {
    rhone: { ...TIME, ...sessionOf(one) },
    more: { store: true },
  });
  const messages = await listOf(`/v1/chat/completions/${two.whole.id as string}/messages`);
  expect(messages.map(({ role, content }) => [role, content])).toEqual([
    ["user", first.text],
    ["assistant", "Let me look.\n\nLate."],
    ["user", second.text],
  ]);
  expect(JSON.stringify(messages)).not.toMatch(HIDDEN);
});

it("the calls of a run that its client has started are listed: they are its history", async () => {
  const run = await json("POST", "/v1/runs", { model: "fake/plan", input: plan([call("time")], "Late."), ...TIME });
  const at = `/v1/conversations/${(run.session_id as string).replace("sess", "conv")}/items`;
  expect((await listOf(at)).map(shown)).toEqual([
    expect.anything(),
    "reasoning",
    "Let me look.",
    "function_call",
    "function_call_output",
    "Late.",
  ]);
});
