import { describe, expect, it } from "vitest";
import {
  crash,
  ended,
  headOf,
  json,
  type Json,
  newKey,
  send,
  storeHarness,
  toolLog,
  webhook,
} from "../../support/runs/client.ts";
import { callsOf, crm } from "../../support/runs/mcp.ts";
import { type Answered, answered, ask, call, plan, type Spoken, SURFACE_NAMES } from "../../support/runs/tool-calls.ts";

const TIME = { tools: [{ type: "native", name: "time" }] };
const REQUEST = { thinking: "", text: "@request" };
const TOOLS = ["weather"];
const weather = call("weather", { city: "Lyon" });

let names = 0;
const newConversation = (): Record<string, string> => ({ "x-rhone-conversation-id": `answered ${++names}` });

type Entry = { type: string; turn_id: string; parent_id?: string; agent?: string; data?: Json };
async function timelineOf({ rhone }: Answered): Promise<Entry[]> {
  const { data } = await json("GET", `/v1/sessions/${rhone.session_id as string}/timeline`);
  return data as Entry[];
}

const turnsOf = async (answer: Answered): Promise<Entry[]> =>
  (await timelineOf(answer)).filter(({ type }) => type === "turn");

/** What the model was asked whose answer repeats its request. */
const askedIn = ({ text }: Answered): string => text.slice(text.indexOf("{"));
const countIn = (text: string, pattern: RegExp): number => (text.match(pattern) ?? []).length;

/** A conversation so far: a reply with a call of the client's, behind one of the gateway's, and what the client goes on with. */
async function begin(surface: (typeof SURFACE_NAMES)[number], options: Parameters<typeof ask>[2]) {
  const asked = { text: plan([call("time")], [weather], [call("time")], REQUEST) };
  const answer = await answered(surface, [asked], options);
  expect(answer.calls.map(({ name }) => name)).toEqual(["weather"]);
  const next: Spoken[] = [asked, { answered: answer }, { result: "22 degrees", of: answer.calls[0]! }];
  return { answer, next };
}

/** A streamed call that has called the tool which logs to `test`: its run. `reading`: when its answer has ended, in any way. */
async function startLook(
  test: string,
  said: readonly Spoken[],
  rhone: Json,
  headers: Record<string, string>,
): Promise<{ run: string; reading: Promise<unknown> }> {
  const reading = ask("chat", said, { rhone, headers, stream: true }).catch(() => {});
  await expect.poll(async () => (await toolLog(test)).length).toBe(1);
  const [sent] = await toolLog(test);
  const { data } = JSON.parse(sent!.body) as { data: { run_id: string } };
  return { run: data.run_id, reading };
}

describe("a conversation that its client names", () => {
  it.each(SURFACE_NAMES.flatMap((surface) => [false, true].map((stream) => [surface, stream] as const)))(
    "goes on in its session, and the model sees the gateway's calls (%s, stream: %s)",
    async (surface, stream) => {
      const options = { rhone: TIME, tools: TOOLS, headers: newConversation(), stream };
      const { answer, next } = await begin(surface, options);
      const second = await answered(surface, next, options);
      const asked = askedIn(second);
      expect([/PLAN/g, /22 degrees/g, /local/g].map((pattern) => countIn(asked, pattern))).toEqual([1, 1, 2]);
      const third = await answered(surface, [...next, { answered: second }, { text: plan("Bye.") }], options);
      expect(third.text).toBe("Bye.");
      expect(third.rhone.context).toMatchObject({ client: "other", recognized_by: "x-rhone-conversation-id" });
      const sessions = [answer, second, third].map(({ rhone }) => rhone.session_id);
      expect(new Set(sessions).size).toBe(1);
      // Two steps, two steps, and an answer without any: one line, with nothing twice.
      const turns = await turnsOf(third);
      expect(turns).toHaveLength(5);
      expect(new Set(turns.map(({ parent_id: parent }) => parent)).size).toBe(5);
      expect(await headOf(sessions[0])).toBe(third.rhone.turn_id);
    },
  );

  it("has two calls at once as siblings, each with its own steps", async () => {
    const options = { rhone: TIME, tools: TOOLS, headers: newConversation() };
    const { answer, next } = await begin("chat", options);
    const both = await Promise.all([0, 1].map(() => answered("chat", next, options)));
    for (const one of both) expect(countIn(askedIn(one), /local/g)).toBe(2);
    const turns = await turnsOf(answer);
    expect(turns).toHaveLength(6);
    expect(turns.filter(({ parent_id: parent }) => parent === answer.rhone.turn_id)).toHaveLength(2);
    for (const one of both) {
      const bye = await answered("chat", [...next, { answered: one }, { text: plan("Bye.") }], options);
      expect(bye.rhone.session_id).toBe(answer.rhone.session_id);
      expect(await turnsOf(bye)).toContainEqual(expect.objectContaining({ turn_id: bye.rhone.turn_id }));
    }
  });

  it("begins with two calls at once", async () => {
    const options = { rhone: TIME, headers: newConversation() };
    const text = (name: string): string => `${name} ${plan([call("time")], "Late.")}`;
    const both = await Promise.all(["a", "b"].map((name) => answered("messages", text(name), options)));
    expect(new Set(both.map(({ rhone }) => rhone.session_id)).size).toBe(1);
    expect(await turnsOf(both[0]!)).toHaveLength(4);
  });

  it("has the calls made once that a reply has left, though two calls go on from it at once", async () => {
    const test = "conversation-held";
    const rhone = { tools: [webhook("pay", `${test}/pay`, { policy: "allow" })] };
    const options = { rhone, tools: TOOLS, headers: newConversation() };
    const asked = { text: plan([weather, call("pay")], REQUEST) };
    const first = await answered("chat", [asked], options);
    const next: Spoken[] = [asked, { answered: first }, { result: "22 degrees", of: first.calls[0]! }];
    const both = await Promise.all([0, 1].map(() => ask("chat", next, options)));
    expect(await toolLog(test)).toHaveLength(1);
    const winner = both.find(({ text }) => text.includes("Done: pay."))!;
    // The other one came before the result was there, or at the very same time.
    for (const { status } of both) expect([200, 409]).toContain(status);
    const again = await answered("chat", next, options);
    expect(askedIn(again)).toContain("Done: pay.");
    // Its result is in the history from now on, which the transcript of the client lacks.
    const later = await answered("chat", [...next, { answered: winner }, { text: plan(REQUEST) }], options);
    expect(countIn(askedIn(later), /"content":"Done: pay/g)).toBe(1);
    expect(await toolLog(test)).toHaveLength(1);
  });

  it.each(["fake", "fakeanth", "fakegem", "fakeresp"])(
    "goes on where a call that a reply has left is never made, as tools are gone (%s)",
    async (provider) => {
      const rhone = { tools: [webhook("pay", "conversation-gone/pay", { policy: "allow" })] };
      const more = { model: `${provider}/plan` };
      const options = { tools: TOOLS, headers: newConversation(), more };
      const asked = { text: plan([weather, call("pay")], [call("weather", { city: "Rome" })], "Sun.") };
      const first = await answered("chat", [asked], { ...options, rhone });
      const next: Spoken[] = [asked, { answered: first }, { result: "22 degrees", of: first.calls[0]! }];
      const second = await answered("chat", next, options);
      const later: Spoken[] = [...next, { answered: second }, { result: "23 degrees", of: second.calls[0]! }];
      expect((await answered("chat", later, options)).text).toBe("Sun.");
      expect((await answered("chat", later, { ...options, rhone })).text).toBe("Sun.");
      expect(await toolLog("conversation-gone")).toEqual([]);
    },
  );

  it("has the calls of a server in it that its client has approved", async () => {
    const test = "conversation-approved";
    const { url } = crm(test, "modern").crm as { url: string };
    const tools = [{ type: "mcp", server_label: "crm", server_url: url }];
    const headers = newConversation();
    const options = (input: Json[]) => ({ headers, more: { model: "fakeanth/plan", tools, input } });
    const asked = [{ role: "user", content: plan([call("crm__refund", { n: 1 })], REQUEST) }];
    const first = await answered("responses", "-", options(asked));
    const output = first.whole.output as Json[];
    const { id } = output.find(({ type }) => type === "mcp_approval_request")!;
    const decision = { type: "mcp_approval_response", approval_request_id: id, approve: true };
    const approved = [...asked, ...output, decision];
    const done = await answered("responses", "-", options(approved));
    expect(await callsOf(test)).toHaveLength(1);
    const bye = { role: "user", content: plan(REQUEST) };
    const last = await answered("responses", "-", options([...approved, ...(done.whole.output as Json[]), bye]));
    expect(countIn(askedIn(last), /"tool_result"/g)).toBe(1);
    for (const { rhone } of [done, last])
      expect(rhone).toMatchObject({ session_id: first.rhone.session_id, context: { client: "other" } });
    expect(await headOf(first.rhone.session_id)).toBe(last.rhone.turn_id);
  });

  it("has sub-agents beside it, whose later steps have their own instructions", async () => {
    const headers = newConversation();
    const main = { rhone: TIME, headers, more: { system: "MAIN" } };
    const first = await answered("messages", plan([call("time")], "Late."), main);
    const agent = { rhone: TIME, headers: { ...headers, "x-rhone-agent-id": "a" } };
    const asked = { text: plan([call("time")], REQUEST) };
    const side = await answered("messages", [asked], agent);
    expect(askedIn(side)).not.toContain("MAIN");
    const more = await answered(
      "messages",
      [asked, { answered: side }, { text: plan([call("time")], "Done.") }],
      agent,
    );
    expect([side, more].map(({ rhone }) => rhone.session_id)).toEqual([0, 1].map(() => first.rhone.session_id));
    expect(await headOf(first.rhone.session_id)).toBe(first.rhone.turn_id);
    const entries = await timelineOf(first);
    const lines = entries.filter(({ type }) => type === "turn").map(({ agent: line }) => line ?? "main");
    expect(lines.toSorted()).toEqual(["a", "a", "a", "a", "main", "main"]);
    expect(entries.filter(({ type }) => type === "agent_started").map(({ data }) => data)).toEqual([
      { turn_id: side.rhone.turn_id, agent: "a" },
    ]);
  });

  it("is not taken back by a call that was abandoned for a later one", async () => {
    const headers = newConversation();
    const options = { rhone: TIME, headers };
    const first = { text: plan([call("time")], "One.") };
    const one = await answered("chat", [first], options);
    const tool = webhook("look", "conversation-abandoned/never-once", { effect: "read_only", timeout_ms: 60_000 });
    const next = (text: string): Spoken[] => [first, { answered: one }, { text }];
    const left = next(plan([call("look")], "Abandoned."));
    const { run, reading } = await startLook("conversation-abandoned", left, { tools: [tool] }, headers);
    const edited = await answered("chat", next(plan([call("time")], "Edited.")), options);
    await crash(run);
    await reading;
    expect((await ended(run)).status).toBe("completed");
    expect(await headOf(one.rhone.session_id)).toBe(edited.rhone.turn_id);
  });

  it("goes on to its end after a crash, and its client finds the answer", async () => {
    const headers = newConversation();
    const tool = webhook("look", "conversation-crash/never-once", { effect: "read_only", timeout_ms: 60_000 });
    const text = plan([call("look")], "Over.");
    const { run, reading } = await startLook("conversation-crash", [{ text }], { tools: [tool] }, headers);
    await crash(run);
    await reading;
    expect((await ended(run)).status).toBe("completed");
    const message = { role: "assistant", content: "Let me look.\n\nOver." };
    const shown = [{ text }, { answered: { whole: { choices: [{ message }] } } }, { text: plan(REQUEST) }];
    const next = await answered("chat", shown as never, { rhone: TIME, headers });
    expect(askedIn(next)).toContain("At last.");
    const turn = run.replace("run", "turn");
    expect(await turnsOf(next)).toContainEqual(
      expect.objectContaining({ turn_id: next.rhone.turn_id, parent_id: turn }),
    );
  });

  it("goes on behind an answer that a limit has ended", async () => {
    await storeHarness("conversation-limit", { tools: [{ native: "time" }], limits: { max_turns: 1 } });
    const options = { rhone: { harness: "harness_conversation-limit" }, headers: newConversation() };
    const first = { text: plan([call("time")], "Never.") };
    const limited = await answered("chat", [first], options);
    expect(limited.text).toBe("Let me look.");
    expect(await headOf(limited.rhone.session_id)).toBe(limited.rhone.turn_id);
    const next = await answered("chat", [first, { answered: limited }, { text: plan(REQUEST) }], options);
    expect(countIn(askedIn(next), /"role":"tool"/g)).toBe(1);
  });

  it("says what its client says, where the transcript has another instruction in its middle", async () => {
    const headers = newConversation();
    const first = { text: plan([call("time")], "One.") };
    const one = await answered("chat", [first], { rhone: TIME, headers });
    const user = (content: string): Json => ({ role: "user", content });
    const { message } = (one.whole.choices as Json[])[0]!;
    const messages = [
      user(first.text),
      { role: "system", content: "NEW RULE" },
      message,
      user(plan([call("time")], REQUEST)),
    ];
    const next = await answered("chat", "", { rhone: TIME, headers, more: { messages } });
    expect(next.rhone.session_id).toBe(one.rhone.session_id);
    const asked = askedIn(next);
    expect([/NEW RULE/g, /One\./g, /local/g].map((pattern) => countIn(asked, pattern))).toEqual([1, 1, 1]);
  });

  it("starts anew if its session was deleted", async () => {
    const options = { rhone: TIME, headers: newConversation() };
    const first = { text: plan([call("time")], "One.") };
    const one = await answered("chat", [first], options);
    expect((await send("DELETE", `/v1/sessions/${one.rhone.session_id as string}`)).ok).toBe(true);
    const next = await answered("chat", [first, { answered: one }, { text: plan([call("time")], "Two.") }], options);
    expect([next.text, next.rhone.session_id === one.rhone.session_id]).toEqual(["Let me look.\n\nTwo.", false]);
  });
});

describe("a conversation that is recognised by its transcript", () => {
  it("goes on in its session, also behind an answer that a limit has ended", async () => {
    await storeHarness("transcripts", { tools: [{ native: "time" }] });
    const defaults = { harness: "harness_transcripts", conversation: "transcript" };
    const key = await newKey(["inference"], { defaults });
    const { answer, next } = await begin("messages", { key, tools: TOOLS });
    const second = await answered("messages", next, { key, tools: TOOLS });
    expect(second.rhone.context).toMatchObject({ recognized_by: "transcript" });
    expect(countIn(askedIn(second), /local/g)).toBe(2);
    const third = await answered("messages", [...next, { answered: second }, { text: plan("Bye.") }], { key });
    const sessions = [answer, second, third].map(({ rhone }) => rhone.session_id);
    expect(new Set(sessions).size).toBe(1);
    expect(await turnsOf(third)).toHaveLength(5);

    await storeHarness("transcripts-limit", { tools: [{ native: "time" }], limits: { max_turns: 1 } });
    const limits = { defaults: { ...defaults, harness: "harness_transcripts-limit" } };
    const limitedKey = await newKey(["inference"], limits);
    const first = { text: plan([call("time")], "Never.") };
    const limited = await answered("chat", [first], { key: limitedKey });
    const said = [first, { answered: limited }, { text: plan("Bye.") }];
    const bye = await answered("chat", said, { key: limitedKey });
    expect(bye.rhone.session_id).toBe(limited.rhone.session_id);
  });
});
