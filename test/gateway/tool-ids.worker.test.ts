import { evictAllDurableObjects } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { chat, contents, post, request, sent, user } from "../support/worker/client.ts";
import { type Body, call, CHAT_TOOLS, LOOPS, pairsIn, READERS } from "../support/worker/tool-pairs.ts";

const FORMS = [
  ["chat", false, "stateful"],
  ["chat", true, "stateless"],
  ["messages", false, "stateless"],
  ["messages", true, "stateful"],
  ["responses", false, "stateless"],
  ["responses", true, "stateful"],
] as const;

describe("a call of Gemini without an id", () => {
  it.each(FORMS)(
    "a call of Gemini without an id has one id in all turns: %s, streamed %s, %s",
    async (surface, stream, mode) => {
      const { ask, ids, send, textOf } = LOOPS[surface]!;
      for (const first of Object.keys(READERS)) {
        const asked = await ask("fakegem/tools", stream, { context_mode: mode });
        const session = { session_id: asked.headers.get("x-rhone-session-id")! };
        const [paris, rome] = [...new Set(Array.from((await asked.text()).matchAll(ids), ([, id]) => id!))];
        expect([typeof paris, typeof rome]).toEqual(["string", "string"]);
        const others = Object.keys(READERS).filter((provider) => provider !== first);
        for (const provider of [first, ...others]) {
          const isFirst = provider === first;
          // Turns that are read from storage have the ids as well.
          if (!isFirst) await evictAllDurableObjects();
          const response = await send(
            `${provider}/mirror`,
            isFirst
              ? [
                  [rome!, "rain"],
                  [paris!, "sun"],
                ]
              : "and?",
            session,
          );
          const body: never = await response.json();
          expect(response.status, JSON.stringify(body)).toBe(200);
          const shown = JSON.parse(textOf(body)) as Body;
          expect([provider, pairsIn(provider, shown)]).toEqual([provider, { Paris: "sun", Rome: "rain" }]);
        }
      }
    },
  );

  it.each(FORMS)(
    "a call of Gemini has an id of its own also in answers without one: %s, streamed %s, %s",
    async (surface, stream, mode) => {
      const { ask, ids, send, textOf } = LOOPS[surface]!;
      const model = "fakegem/tools-anonymous";
      const asked = await ask(model, stream, { context_mode: mode });
      const session = { session_id: asked.headers.get("x-rhone-session-id")! };
      const idsIn = async (answer: Response): Promise<string[]> => [
        ...new Set(Array.from((await answer.text()).matchAll(ids), ([, id]) => id!)),
      ];
      const first = await idsIn(asked);
      const pairsOf = ([paris, rome]: string[], texts: [string, string]): [string, string][] => [
        [rome!, texts[1]],
        [paris!, texts[0]],
      ];
      await (await send("fakegem/say", pairsOf(first, ["sun", "rain"]), session)).text();
      const second = await idsIn(await ask(model, stream, session));
      expect(new Set([...first, ...second]).size).toBe(4);
      await evictAllDurableObjects();
      for (const provider of Object.keys(READERS)) {
        const results = provider === Object.keys(READERS)[0] ? pairsOf(second, ["fog", "hail"]) : "and?";
        const body: never = await (await send(`${provider}/mirror`, results, session)).json();
        const { calls, results: sent } = READERS[provider]!(JSON.parse(textOf(body)) as Body);
        const paired = calls.map(([id, city]) => [city, sent.find(([other]) => other === id)?.[1]]);
        expect([provider, paired]).toEqual([
          provider,
          [
            ["Paris", "sun"],
            ["Rome", "rain"],
            ["Paris", "fog"],
            ["Rome", "hail"],
          ],
        ]);
      }
    },
  );

  it("a call of Gemini without an id has the same id where the session is listed", async () => {
    const asked = await chat({ model: "fakegem/tools", messages: [user("weather?")], tools: CHAT_TOOLS });
    const ids = asked.choices[0]!.message.tool_calls!.map(({ id }) => id);
    const id = asked.rhone.session_id;
    const listed = async (format: string): Promise<string> =>
      await (await request(`/v1/sessions/${id}/blocks?format=${format}`)).text();
    for (const format of ["native", "openai", "anthropic"])
      for (const one of ids) expect(await listed(format)).toContain(one);
  });

  it("a call of Gemini without an id is answered by name and order on Gemini's surface, also for another provider", async () => {
    const path = (model: string, method = "generateContent"): string => `/v1beta/models/${model}:${method}`;
    const question = { role: "user", parts: [{ text: "weather?" }] };
    const asked = await call(path("fakegem/tools"), { contents: [question], rhone: { context_mode: "stateful" } });
    const { rhone } = (await asked.json()) as { rhone: { session_id: string } };
    const results = ["sun", "rain"].map((result) => ({
      functionResponse: { name: "get_weather", response: { result } },
    }));
    for (const provider of Object.keys(READERS)) {
      const parts = provider === "fake" ? results : [{ text: "and?" }];
      const response = await call(path(`${provider}/mirror`), {
        contents: [{ role: "user", parts }],
        rhone: { session_id: rhone.session_id },
      });
      const body = (await response.json()) as { candidates: { content: { parts: { text: string }[] } }[] };
      const shown = JSON.parse(body.candidates[0]!.content.parts[0]!.text) as Body;
      expect([provider, pairsIn(provider, shown)]).toEqual([provider, { Paris: "sun", Rome: "rain" }]);
    }
  });
});

describe("a result on Gemini's surface", () => {
  const path = (model: string): string => `/v1beta/models/${model}:generateContent`;
  const part = (text: string, id?: string): object => ({
    functionResponse: { ...(id !== undefined && { id }), name: "get_weather", response: { result: text } },
  });
  const shownBy = async (provider: string, parts: object[], rhone: object): Promise<Body> => {
    const response = await call(path(`${provider}/mirror`), { contents: [{ role: "user", parts }], rhone });
    const body = (await response.json()) as { candidates: { content: { parts: { text: string }[] } }[] };
    expect(response.status, JSON.stringify(body)).toBe(200);
    return JSON.parse(body.candidates[0]!.content.parts[0]!.text) as Body;
  };
  const askOn = async (model: string): Promise<{ session: { session_id: string }; ids: [string, string] }> => {
    const asked = await chat({ model, messages: [user("weather?")], tools: CHAT_TOOLS });
    const ids = asked.choices[0]!.message.tool_calls!.map(({ id }) => id) as [string, string];
    return { session: { session_id: asked.rhone.session_id }, ids };
  };
  const expected = { Paris: "sun", Rome: "rain" };

  it.each([
    ["fakegem", "with the ids of the client, in any order", true],
    ["fakegem", "without ids", false],
    ["fake", "with the ids of the client, in any order", true],
    ["fake", "without ids", false],
    ["fakeanth", "without ids", false],
  ])("a result on Gemini's surface has the id of its call: calls of %s, results %s", async (caller, _, hasIds) => {
    for (const provider of Object.keys(READERS)) {
      const { session, ids } = await askOn(`${caller}/tools`);
      const results = hasIds ? [part("rain", ids[1]), part("sun", ids[0])] : [part("sun"), part("rain")];
      const answered = await shownBy(provider, results, session);
      expect([provider, pairsIn(provider, answered)]).toEqual([provider, expected]);
      await evictAllDurableObjects();
      for (const next of Object.keys(READERS)) {
        const shown = await shownBy(next, [{ text: "and?" }], session);
        expect([next, pairsIn(next, shown)]).toEqual([next, expected]);
      }
    }
  });

  it.each(["fakegem", "fake"])(
    "a result that is added for a call of %s without one has the id of its call",
    async (caller) => {
      for (const provider of Object.keys(READERS)) {
        const { session } = await askOn(`${caller}/tools`);
        const { calls, results } = READERS[provider]!(await shownBy(provider, [{ text: "never mind" }], session));
        expect([provider, results.map(([id]) => id)]).toEqual([provider, calls.map(([id]) => id)]);
      }
    },
  );
});

/** A question asked twice in one session; each time the model called the same tool with the same arguments. */
async function askTwice(): Promise<{
  session: { session_id: string };
  asked: object;
  replies: Body[];
  turns: string[];
}> {
  const asked = user("weather?");
  const question = { model: "fake/recall", messages: [asked], tools: CHAT_TOOLS };
  const first = await chat(question);
  const session = { session_id: first.rhone.session_id };
  // A retry from the beginning; its answer is the head.
  const second = await chat({ ...question, rhone: { ...session, parent: session.session_id } });
  const replies = [first, second].map(({ choices }) => choices[0]!.message as Body);
  const turns = [first, second].map(({ rhone }) => rhone.turn_id);
  return { session, asked, replies, turns };
}
const idOf = ({ tool_calls }: Body): string => (tool_calls as { id: string }[])[0]!.id;
const resultFor = (reply: Body): Body => ({ role: "tool", tool_call_id: idOf(reply), content: "Sunny" });

describe("a result of a question that was sent twice", () => {
  it("a result belongs to the call of its id: alone, with its call, and with the whole transcript", async () => {
    const { session, asked, replies, turns } = await askTwice();
    expect(idOf(replies[0]!)).not.toBe(idOf(replies[1]!));
    for (const [i, reply] of replies.entries()) {
      const result = resultFor(reply);
      for (const messages of [[result], [reply, result], [asked, reply, result]]) {
        const { body, answer } = await sent({ messages, tools: CHAT_TOOLS, rhone: session });
        expect(pairsIn("fake", body)).toEqual({ Paris: "Sunny" });
        expect(READERS.fake!(body).calls[0]![0]).toBe(idOf(reply));
        const lineage = (await (await request(`/v1/sessions/${session.session_id}/lineage`)).json()) as {
          turns: { id: string; parent_id: string }[];
        };
        expect(lineage.turns.find(({ id }) => id === answer.rhone.turn_id)!.parent_id).toBe(turns[i]);
      }
    }
  });

  it("a result continues its own branch also if the answers to both results are equal", async () => {
    const { session, asked, replies } = await askTwice();
    const ends: Body[][] = [];
    for (const reply of replies) {
      const messages = [asked, reply, resultFor(reply)];
      const { choices } = await chat({ model: "fake/say", messages, tools: CHAT_TOOLS, rhone: session });
      ends.push([...messages, choices[0]!.message] as Body[]);
    }
    for (const [i, end] of ends.entries()) {
      const { body } = await sent({ messages: [...end, user("and?")], tools: CHAT_TOOLS, rhone: session });
      expect(READERS.fake!(body).calls).toEqual([[idOf(replies[i]!), "Paris"]]);
      expect(pairsIn("fake", body)).toEqual({ Paris: "Sunny" });
    }
  });

  it("a result of an id that no turn has stays with the call that the client sends with it", async () => {
    const { session, asked, replies } = await askTwice();
    const [called] = replies[0]!.tool_calls as Body[];
    const own = { ...replies[0]!, tool_calls: [{ ...called, id: "call_of_the_client" }] };
    const { body } = await sent({ messages: [asked, own, resultFor(own)], tools: CHAT_TOOLS, rhone: session });
    expect(READERS.fake!(body).calls).toEqual([["call_of_the_client", "Paris"]]);
    expect(pairsIn("fake", body)).toEqual({ Paris: "Sunny" });
  });

  it("a result belongs to the parent that is named", async () => {
    const { session, replies, turns } = await askTwice();
    const rhone = { ...session, parent: turns[0]! };
    const response = await post({ model: "fake/mirror", messages: [resultFor(replies[0]!)], tools: CHAT_TOOLS, rhone });
    const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
    const body = JSON.parse(choices[0]!.message.content) as Body;
    expect(contents(body)).toHaveLength(3);
    expect(pairsIn("fake", body)).toEqual({ Paris: "Sunny" });
  });
});
