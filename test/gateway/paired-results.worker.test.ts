import { evictAllDurableObjects } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { chat, request, user } from "../support/worker/client.ts";
import { type Body, CHAT_TOOLS, LOOPS, pairsIn, READERS } from "../support/worker/tool-pairs.ts";

type Session = { session_id: string };
type Content = { role: string; parts: Record<string, unknown>[] };
const FAILED = "The tool was not run: no result was given.";

/** The question that is answered with two calls of one tool, for Paris and for Rome. */
async function askFor(model: string): Promise<{ session: Session; ids: [string, string]; message: Body }> {
  const asked = await chat({ model, messages: [user("weather?")], tools: CHAT_TOOLS });
  const { message } = asked.choices[0]!;
  const ids = message.tool_calls!.map(({ id }) => id) as [string, string];
  return { session: { session_id: asked.rhone.session_id }, ids, message };
}

const part = (text: string, id?: string): Content["parts"][0] => ({
  functionResponse: { ...(id !== undefined && { id }), name: "get_weather", response: { result: text } },
});

/** What the provider received for these contents of the user, sent on Gemini's surface. */
async function shownBy(provider: string, contents: Content["parts"][], rhone: object): Promise<Body> {
  const response = await request(`/v1beta/models/${provider}/mirror:generateContent`, {
    method: "POST",
    body: JSON.stringify({ contents: contents.map((parts) => ({ role: "user", parts })), rhone }),
  });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  const body = JSON.parse(text) as { candidates: { content: { parts: { text: string }[] } }[] };
  return JSON.parse(body.candidates[0]!.content.parts[0]!.text) as Body;
}

/** Fails unless each turn of calls is followed by one content with as many results. */
function expectWholeTurns({ contents }: Body): void {
  const countOf = (content: Content | undefined, member: string): number =>
    content?.parts.filter((one) => one[member] !== undefined).length ?? 0;
  (contents as Content[]).forEach((content, i) => {
    expect(countOf((contents as Content[])[i + 1], "functionResponse")).toBe(countOf(content, "functionCall"));
  });
}

/** Their calls have no ids on the wire, and ids. */
const CALLERS = ["fakegem", "fake"];

describe("results on Gemini's surface", () => {
  const cases: [name: string, (ids: [string, string]) => Content["parts"][], Record<string, string>][] = [
    ["of the first call only, by id", ([paris]) => [[part("sun", paris)]], { Paris: "sun", Rome: FAILED }],
    ["of the second call only, by id", ([, rome]) => [[part("rain", rome)]], { Paris: FAILED, Rome: "rain" }],
    ["of one call, without an id", () => [[part("sun")]], { Paris: "sun", Rome: FAILED }],
    ["of one call, before a text", () => [[part("sun")], [{ text: "Go on." }]], { Paris: "sun", Rome: FAILED }],
    ["of no call", () => [[{ text: "never mind" }]], { Paris: FAILED, Rome: FAILED }],
    [
      "in two contents, reversed",
      ([paris, rome]) => [[part("rain", rome)], [part("sun", paris)]],
      { Paris: "sun", Rome: "rain" },
    ],
    [
      "in two contents with a text between, reversed",
      ([paris, rome]) => [[part("rain", rome)], [{ text: "Wait." }], [part("sun", paris)]],
      { Paris: "sun", Rome: "rain" },
    ],
    ["in two contents, without ids", () => [[part("sun")], [part("rain")]], { Paris: "sun", Rome: "rain" }],
    [
      "of which only the last has an id",
      ([paris]) => [[part("rain"), part("sun", paris)]],
      { Paris: "sun", Rome: "rain" },
    ],
  ];
  it.each(CALLERS.flatMap((caller) => cases.map(([name, ...rest]) => [name, caller, ...rest] as const)))(
    "results (%s) pair with the calls of %s at every provider, also in later turns",
    async (_, caller, results, expected) => {
      for (const provider of Object.keys(READERS)) {
        const { session, ids } = await askFor(`${caller}/tools`);
        const answered = await shownBy(provider, results(ids), session);
        expect([provider, pairsIn(provider, answered)]).toEqual([provider, expected]);
        if (provider === "fakegem") expectWholeTurns(answered);
        await evictAllDurableObjects();
        for (const next of Object.keys(READERS)) {
          const shown = await shownBy(next, [[{ text: "and?" }]], session);
          expect([next, pairsIn(next, shown)]).toEqual([next, expected]);
          if (next === "fakegem") expectWholeTurns(shown);
        }
      }
    },
  );

  it.each(CALLERS)(
    "results in any order leave the turn with the hash of what the client sent: calls of %s",
    async (caller) => {
      const { session, ids, message } = await askFor(`${caller}/tools`);
      const [paris, rome] = ids;
      const answered = await request("/v1beta/models/fakegem/say:generateContent", {
        method: "POST",
        body: JSON.stringify({
          contents: [
            { role: "user", parts: [part("rain", rome)] },
            { role: "user", parts: [part("sun", paris)] },
          ],
          rhone: session,
        }),
      });
      // An object with an answer that is not read cannot be evicted by the tests that follow.
      await answered.text();
      // The transcript in the client's order: the session has it already.
      const tool = (id: string, content: string): Body => ({ role: "tool", tool_call_id: id, content });
      const before = [user("weather?"), message, tool(rome, "rain"), tool(paris, "sun")];
      const listed = (await (await request(`/v1/sessions/${session.session_id}/blocks?format=openai`)).json()) as {
        data: Body[];
      };
      const lineage = async (): Promise<{ head: string; turns: { id: string; parent_id: string | null }[] }> =>
        (await request(`/v1/sessions/${session.session_id}/lineage`)).json();
      const { head } = await lineage();
      const next = await chat({
        model: "fake/say",
        messages: [...before, listed.data.at(-1)!, user("and?")],
        tools: CHAT_TOOLS,
        rhone: session,
      });
      const { turns } = await lineage();
      expect(turns.find(({ id }) => id === next.rhone.turn_id)?.parent_id).toBe(head);
      expect(turns).toHaveLength(3);
    },
  );
});

const PROVIDERS = Object.keys(READERS);

/** What the provider "mirror" shows of its request in an answer on this surface. */
async function readShown(surface: string, response: Response): Promise<Body> {
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(LOOPS[surface]!.textOf(JSON.parse(text) as never)) as Body;
}

describe.each(Object.keys(LOOPS))("results on the surface %s", (surface) => {
  const { send } = LOOPS[surface]!;
  const cases: [name: string, (ids: [string, string]) => [string, string][], Record<string, string>][] = [
    ["of one call only", ([, rome]) => [[rome, "rain"]], { Paris: FAILED, Rome: "rain" }],
    [
      "given twice",
      ([paris, rome]) => [
        [rome, "rain"],
        [paris, "sun"],
        [rome, "rain"],
      ],
      { Paris: "sun", Rome: "rain" },
    ],
  ];

  const rows = CALLERS.flatMap((caller) =>
    PROVIDERS.flatMap((provider) => cases.map(([name, ...rest]) => [name, caller, provider, ...rest] as const)),
  );
  it.each(rows)(
    "results (%s) become one for each call of %s at %s, also in later turns",
    async (_, caller, provider, results, expected) => {
      const { session, ids } = await askFor(`${caller}/tools`);
      const shown = await readShown(surface, await send(`${provider}/mirror`, results(ids), session));
      expect(pairsIn(provider, shown)).toEqual(expected);
      await evictAllDurableObjects();
      for (const next of PROVIDERS) {
        const later = await readShown(surface, await send(`${next}/mirror`, "and?", session));
        expect([next, pairsIn(next, later)]).toEqual([next, expected]);
      }
    },
  );

  it.each(CALLERS.flatMap((caller) => [false, true].map((isNamed) => [caller, isNamed] as const)))(
    "results belong to the branch of their calls of %s, the parent named: %s",
    async (caller, isNamed) => {
      for (const provider of PROVIDERS) {
        const question = { model: `${caller}/recall`, messages: [user("weather?")], tools: CHAT_TOOLS };
        const first = await chat(question);
        const session = { session_id: first.rhone.session_id };
        // A retry from the beginning, whose answer is the head.
        const second = await chat({ ...question, rhone: { ...session, parent: session.session_id } });
        for (const [i, { choices, rhone }] of [first, second, first].entries()) {
          const id = choices[0]!.message.tool_calls![0]!.id as string;
          const named = isNamed ? { ...session, parent: rhone.turn_id } : session;
          const response = await send(`${provider}/mirror`, [[id, `sun ${i}`]], named);
          const shown = await readShown(surface, response);
          expect([provider, pairsIn(provider, shown)]).toEqual([provider, { Paris: `sun ${i}` }]);
          const { turns } = (await (await request(`/v1/sessions/${session.session_id}/lineage`)).json()) as {
            turns: { parent_id: string | null }[];
          };
          expect(turns.at(-1)!.parent_id).toBe(rhone.turn_id);
        }
      }
    },
  );
});
