import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { describe, expect, it } from "vitest";
import { writePlan } from "../fake/plan.ts";
import { baseUrl, key } from "./gateway.ts";
import { PROVIDERS } from "./matrix.ts";
import { Connection, type Event, expectEvent, expectSchema } from "./open-responses.ts";

const create = { type: "response.create", model: "fakechat/mirror" };
const textOf = (events: readonly Event[]): string => JSON.stringify(events.at(-1)!.response?.output);

it("OpenAI's own client goes on over one connection", async () => {
  const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, logLevel: "off" });
  const connection = new ResponsesWS(client);
  const answer = (event: object) =>
    new Promise<{ id: string; output: object[] }>((resolve, reject) => {
      connection.once("response.completed", ({ response }) => resolve(response));
      connection.once("error", reject);
      connection.send({ type: "response.create", model: "fakeanth/mirror", ...event } as never);
    });
  const first = await answer({ input: "The code word is cobalt." });
  const second = await answer({ input: "And?", previous_response_id: first.id });
  expect(JSON.stringify(second.output)).toContain("cobalt");
  connection.close();
});

describe("the WebSocket mode", () => {
  it("a connection with a wrong key is refused", async () => {
    await expect(Connection.open({ authorization: "Bearer rhone_sk_wrong" })).rejects.toThrow("refused");
  });

  it("stored responses are available to every connection and over HTTP", async () => {
    const before = await Connection.open();
    const { id } = (await before.turn({ ...create, input: "The code word is copper." })).at(-1)!.response!;
    before.close();
    const connection = await Connection.open();
    expect(textOf(await connection.turn({ ...create, input: "And?", previous_response_id: id }))).toContain("copper");
    const headers = { authorization: `Bearer ${key}` };
    expect((await fetch(`${baseUrl}/v1/responses/${id}`, { headers })).status).toBe(200);
    connection.close();
  });

  it.each(PROVIDERS)("an answer of %s is found by a reference to its item", async (provider) => {
    const connection = await Connection.open();
    const input = (id: unknown) => [
      { role: "user", content: "The code word is tin." },
      { type: "item_reference", id },
      { role: "user", content: "And?" },
    ];
    for (const store of [true, false]) {
      const say = { ...create, model: `${provider}/say`, store, input: "The code word is tin." };
      const { response } = (await connection.turn(say)).at(-1)!;
      const [item] = response!.output as unknown as { id: string }[];
      const ways = [{}, { previous_response_id: response!.id }].filter((_, i) => store || i > 0);
      for (const way of ways) {
        const text = textOf(await connection.turn({ ...create, ...way, input: input(item!.id) }));
        expect(text.match(/code word|Said say|And\?|item_reference/g)).toEqual(["code word", "Said say", "And?"]);
      }
    }
    connection.send({ ...create, input: input("msg_unknown") });
    expect(await connection.next()).toMatchObject({ type: "error", status: 404 });
    connection.close();
  });

  it("answers of one lane come in the order of its requests, and each event names its lane", async () => {
    const connection = await Connection.open();
    connection.send({ ...create, model: "fakechat/fault-pauses", input: "slow", stream_id: "a" });
    connection.send({ ...create, input: "second in its lane", stream_id: "a" });
    connection.send({ ...create, input: "in a lane of its own", stream_id: "b" });
    const ends: Event[] = [];
    while (ends.length < 3) {
      const event = await connection.next();
      if (event.type === "response.completed") ends.push(event);
    }
    expect(ends.map(({ stream_id }) => stream_id)).toEqual(["b", "a", "a"]);
    expect(JSON.stringify(ends[2]!.response!.output)).toContain("second in its lane");
    connection.close();
  });

  it("a request that only prepares the next one gets an empty response", async () => {
    const connection = await Connection.open();
    const warm = await connection.turn({ ...create, store: false, generate: false, input: "The code word is zinc." });
    const { response } = warm.at(-1)!;
    expectSchema("ResponseResource", response);
    expect(response).toMatchObject({ status: "completed", output: [] });
    const next = await connection.turn({ ...create, store: false, previous_response_id: response!.id, input: "And?" });
    expect(textOf(next)).toContain("zinc");
    connection.close();
  });

  it("and the next one is answered by a run if the gateway executes tools for it", async () => {
    const connection = await Connection.open();
    const rhone = { tools: [{ type: "native", name: "time" }] };
    const frame = { ...create, model: "fake/plan", store: false, rhone };
    const input = [{ role: "developer", content: "Look at the clock." }];
    const warm = await connection.turn({ ...frame, generate: false, input });
    const plan = writePlan([[{ name: "time", args: {} }], "Late."]);
    const next = await connection.turn({ ...frame, previous_response_id: warm.at(-1)!.response!.id, input: plan });
    expect(textOf(next)).toContain("Late.");
    connection.close();
  });

  it("a connection goes on with a session of any surface", async () => {
    const connection = await Connection.open();
    const [{ response }] = (await connection.turn({ ...create, model: "demo", input: "My name is Alice." })) as [Event];
    const { session_id } = response!.rhone as { session_id: string };
    const next = { ...create, model: "demo", input: "What's my name?", rhone: { session_id } };
    expect(textOf(await connection.turn(next))).toContain("Your name is Alice.");
    connection.close();
  });

  it.each([
    ["no JSON", "{", "frame", 400],
    ["no object", "[]", "frame", 400],
    ["an unknown type", { type: "response.steer" }, "type", 400],
    ["no type", { model: "demo", input: "hi" }, "type", 400],
    ["bytes", new TextEncoder().encode("{}"), "frame", 400],
    ["a background response", { ...create, input: "hi", background: true }, "background", 400],
    ["a whole response", { ...create, input: "hi", stream: false }, "stream", 400],
    ["a lane without a name", { ...create, input: "hi", stream_id: "" }, "stream_id", 400],
    ["no input", { ...create }, "input", 400],
    ["a model that nobody has", { ...create, model: "no-such-model", input: "hi" }, "model", 404],
    ["an unknown conversation", { ...create, input: "hi", conversation: "conv_nope" }, "conversation", 404],
    ["a frame of more than 1 MiB", { ...create, input: "x".repeat(1024 * 1024) }, null, 413],
  ])("a wrong frame is refused, and the connection stays: %s", async (_, frame, param, status) => {
    const connection = await Connection.open();
    const [refusal] = await connection.turn(frame);
    expectSchema("WebSocketErrorEvent", refusal);
    expect(refusal).toMatchObject({ type: "error", status, error: { param } });
    expect((await connection.turn({ ...create, input: "still there?" })).at(-1)!.type).toBe("response.completed");
    connection.close();
  });

  it.each(PROVIDERS)("the events of a connection report when %s refuses, fails or breaks off", async (provider) => {
    const connection = await Connection.open();
    const [refusal, ...more] = await connection.turn({ ...create, model: `${provider}/limited`, input: "hi" });
    expectSchema("WebSocketErrorEvent", refusal);
    expect(refusal).toMatchObject({ type: "error", status: 429, error: { message: "Slow down" } });
    expect(more).toEqual([]);
    for (const script of ["cut", "failing"]) {
      const events = await connection.turn({ ...create, model: `${provider}/${script}`, input: "hi", stream_id: "a" });
      // A response that has begun ends as failed, and keeps what was said; the events go on counting.
      for (const event of events) expectEvent(event);
      expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, i) => i));
      const { type, stream_id, response } = events.at(-1)!;
      expect([type, stream_id, response!.status]).toEqual(["response.failed", "a", "failed"]);
      expect(response!.id).toBe(events[0]!.response!.id);
      expect(response!.error).toMatchObject({ message: expect.stringMatching(/\w/) as string });
    }
    // Nothing more of those comes.
    expect((await connection.turn({ ...create, input: "still there?" }))[0]!.type).toBe("response.created");
    connection.close();
  });
});

describe("a client that names its conversation", () => {
  const codex = (id: string, thread = id) => ({
    "user-agent": "codex_exec/0.171.0",
    "session-id": id,
    "thread-id": thread,
  });
  const say = (role: string, content: string) => ({ type: "message", role, content });
  const sessionOf = (events: readonly Event[]): unknown =>
    (events.at(-1)!.response!.rhone as { session_id: string }).session_id;
  const idOf = (events: readonly Event[]): string => events.at(-1)!.response!.id;
  const frame = { ...create, model: "fakeresp/mirror", store: false };

  it("sends what is new over its connections, and all of it stands in one session", async () => {
    const id = crypto.randomUUID();
    const [main, agent] = [await Connection.open(codex(id)), await Connection.open(codex(id, "agent"))];
    const input = [say("developer", "You code.")];
    const [warm, warmAgent] = [
      await main.turn({ ...frame, generate: false, input }),
      await agent.turn({ ...frame, generate: false, input: [say("developer", "You search.")] }),
    ];
    expectSchema("ResponseResource", warm.at(-1)!.response);
    expect(warm.at(-1)!.response).toMatchObject({ status: "completed", output: [] });
    const next = [say("developer", "Be short."), say("user", "The code word is zinc.")];
    const first = await main.turn({ ...frame, previous_response_id: idOf(warm), input: next });
    expect(textOf(first)).toMatch(/You code\..*Be short\..*zinc/s);
    const search = await agent.turn({ ...frame, previous_response_id: idOf(warmAgent), input: "Where is tin?" });
    expect(textOf(search)).toMatch(/You search\..*tin/s);
    expect(textOf(search)).not.toMatch(/zinc|You code/);
    const second = await main.turn({ ...frame, previous_response_id: idOf(first), input: "And?" });
    expect(textOf(second)).toMatch(/You code\..*Be short\..*zinc.*And\?/s);
    expect(new Set([first, search, second].map(sessionOf)).size).toBe(1);
    const resumed = await Connection.open(codex(id));
    const again = await resumed.turn({ ...frame, generate: false, input });
    const { output } = first.at(-1)!.response!;
    const whole = [...next, ...output, say("user", "Once more?")];
    const third = await resumed.turn({ ...frame, previous_response_id: idOf(again), input: whole });
    expect(sessionOf(third)).toBe(sessionOf(first));
    const headers = { authorization: `Bearer ${key}` };
    const timeline = (await (
      await fetch(`${baseUrl}/v1/sessions/${String(sessionOf(first))}/timeline`, { headers })
    ).json()) as { data: { type: string; turn_id: string; parent_id?: string; agent?: string }[] };
    const turns = timeline.data.filter(({ type }) => type === "turn");
    const [root, sub, ...rest] = turns;
    expect([root!.parent_id, sub!.parent_id, sub!.agent]).toEqual([undefined, undefined, "agent"]);
    expect(rest.map(({ parent_id }) => parent_id)).toEqual([root!.turn_id, root!.turn_id]);
    for (const connection of [main, agent, resumed]) connection.close();
  });

  it("continues the last response of a lane, and otherwise has to send all of it again", async () => {
    const connection = await Connection.open(codex(crypto.randomUUID()));
    const first = await connection.turn({ ...frame, input: "The code word is iron." });
    const other = await connection.turn({ ...frame, input: "The code word is lead.", stream_id: "other" });
    expect(textOf(await connection.turn({ ...frame, previous_response_id: idOf(first), input: "And?" }))).toContain(
      "iron",
    );
    const continued = { ...frame, previous_response_id: idOf(first), input: "And?" };
    const refused = { type: "error", status: 400, error: { code: "previous_response_not_found" } };
    expect(await connection.turn(continued)).toMatchObject([refused]);
    const failing = { ...frame, model: "fakeresp/limited", previous_response_id: idOf(other), input: "And?" };
    expect(await connection.turn(failing)).toMatchObject([{ type: "error", status: 429 }]);
    expect(await connection.turn({ ...continued, previous_response_id: idOf(other) })).toMatchObject([refused]);
    const stored = await connection.turn({ ...frame, store: true, input: "The code word is gold." });
    await connection.turn({ ...frame, input: "Something else." });
    expect(textOf(await connection.turn({ ...frame, previous_response_id: idOf(stored), input: "And?" }))).toContain(
      "gold",
    );
    const wrong = { ...frame, input: [], conversation: "conv_nope" };
    expect(await connection.turn(wrong)).toMatchObject([{ type: "error", status: 404 }]);
    connection.close();
  });
});
