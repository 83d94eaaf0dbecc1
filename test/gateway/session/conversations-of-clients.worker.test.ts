import { runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { chat, objectOf, request, type Rhone, sent, user } from "../../support/worker/client.ts";
import { api } from "../../support/worker/session-client.ts";

/** Clients that send their whole transcript with each call, and name the conversation in their own way. */

const said = { role: "assistant", content: "Said say." };
const system = (content: string): object => ({ role: "system", content });

let names = 0;
const newConversation = (): Record<string, string> => ({ "x-rhone-conversation-id": `conversation ${++names}` });

type Entry = {
  type: string;
  turn_id?: string;
  parent_id?: string;
  agent?: string;
  input?: unknown[];
  data?: Record<string, unknown>;
};

async function timeline(session: string): Promise<Entry[]> {
  const { body } = await api("GET", `/v1/sessions/${session}/timeline`);
  return body.data as Entry[];
}

const headOf = async (session: string): Promise<unknown> => (await api("GET", `/v1/sessions/${session}`)).body.head;

describe("a conversation that its client names", () => {
  it("its calls stand in one session, each with what is new in it, and reach the provider as they are", async () => {
    const headers = newConversation();
    const transcript: object[] = [system("Be brief.")];
    const sessions = new Set<string>();
    for (let turn = 1; turn <= 4; turn++) {
      transcript.push(user(`question ${turn}`));
      const { raw, answer } = await sent({ messages: transcript, temperature: 0.5 }, headers);
      expect(raw).toBe(JSON.stringify({ model: "mirror", messages: transcript, temperature: 0.5 }));
      expect(answer.rhone.context).toEqual({
        mode: "stateful",
        turns: turn - 1,
        client: "other",
        recognized_by: "x-rhone-conversation-id",
      });
      sessions.add(answer.rhone.session_id);
      transcript.push({ role: "assistant", content: raw });
    }
    expect(sessions.size).toBe(1);
    const [session] = [...sessions];
    const entries = await timeline(session!);
    expect(entries.map(({ input }) => input!.length)).toEqual([1, 1, 1, 1]);
    expect(entries.map(({ parent_id }) => parent_id)).toEqual([
      undefined,
      ...entries.slice(0, 3).map((e) => e.turn_id),
    ]);
    expect(await headOf(session!)).toBe(entries.at(-1)!.turn_id);
  });

  it("a provider of another wire gets its own signed items back, which the client has lost", async () => {
    const real = globalThis.fetch;
    const bodies: { messages: { content: { type: string }[] }[] }[] = [];
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
      const asked = new Request(input, init);
      bodies.push(await asked.clone().json());
      return await real(asked);
    });
    const headers = newConversation();
    const transcript: object[] = [];
    for (const text of ["hm", "and?", "so?"]) {
      transcript.push(user(text));
      const { choices } = await chat({ model: "fakeanth/think", messages: transcript }, headers);
      transcript.push({ role: "assistant", content: choices[0]!.message.content });
    }
    vi.restoreAllMocks();
    const kinds = bodies.at(-1)!.messages.map(({ content }) => [content].flat().map((part) => part.type ?? "text"));
    const reply = ["thinking", "text"];
    expect(kinds).toEqual([["text"], reply, ["text"], reply, ["text"]]);
  });

  it("an edited message is a branch, which the head follows", async () => {
    const headers = newConversation();
    const call = async (...messages: object[]): Promise<Rhone> =>
      (await chat({ model: "fake/say", messages }, headers)).rhone;
    await call(user("one"));
    const second = await call(user("one"), said, user("two"));
    const edited = await call(user("one"), said, user("TWO"));
    const after = await call(user("one"), said, user("TWO"), said, user("three"));
    const entries = await timeline(second.session_id);
    const [first, , third, fourth] = entries;
    expect(third).toMatchObject({ turn_id: edited.turn_id, parent_id: first!.turn_id });
    expect(fourth).toMatchObject({ turn_id: after.turn_id, parent_id: edited.turn_id });
    expect(await headOf(second.session_id)).toBe(after.turn_id);
  });

  it("a sub-agent is a line of its own, with its instructions, and never moves the head", async () => {
    const headers = newConversation();
    const main = async (...messages: object[]): Promise<Rhone> =>
      (await chat({ model: "fake/say", messages: [system("main"), ...messages] }, headers)).rhone;
    const agent = async (id: string, ...messages: object[]): Promise<Rhone> =>
      (
        await chat(
          { model: "fake/say", messages: [system(`agent ${id}`), ...messages] },
          { ...headers, "x-rhone-agent-id": id },
        )
      ).rhone;
    const { session_id: session, turn_id: first } = await main(user("go"));
    const begun = await Promise.all(["a", "b"].map((id) => agent(id, user(`task of ${id}`))));
    const ended = await Promise.all(["a", "b"].map((id) => agent(id, user(`task of ${id}`), said, user("more"))));
    expect(await headOf(session)).toBe(first);
    const last = await main(user("go"), said, user("and?"));
    expect(await headOf(session)).toBe(last.turn_id);
    expect(new Set([...begun, ...ended, last].map(({ session_id }) => session_id))).toEqual(new Set([session]));
    expect(begun[0]!.context).toMatchObject({ turns: 0, agent: "a" });

    const entries = await timeline(session);
    const parentOf = (turn: string): string | undefined => entries.find(({ turn_id: id }) => id === turn)?.parent_id;
    expect(ended.map(({ turn_id }) => parentOf(turn_id))).toEqual(begun.map(({ turn_id }) => turn_id));
    expect(parentOf(last.turn_id)).toBe(first);
    const agentOf = (turn: string): string | undefined => entries.find(({ turn_id: id }) => id === turn)?.agent;
    expect([first, begun[0]!.turn_id, ended[1]!.turn_id].map(agentOf)).toEqual([undefined, "a", "b"]);
    const started = entries.filter(({ type }) => type === "agent_started").map(({ data }) => data);
    expect(started).toHaveLength(2);
    expect(started).toContainEqual({ turn_id: begun[0]!.turn_id, agent: "a", instructions: "agent a" });
    const { body } = await api("GET", `/v1/sessions/${session}/blocks`);
    expect(JSON.stringify(body)).not.toContain("agent a");
  });

  it("a side question under other instructions stands beside, and a client's own compaction is followed", async () => {
    const headers = newConversation();
    const call = async (...messages: object[]): Promise<Rhone> =>
      (await chat({ model: "fake/say", messages }, headers)).rhone;
    const rules = ["one", "two", "three", "four", "five"].map((rule) => `Rule ${rule}.`).join("\n");
    const main = system(`${rules}\nToday is Monday.`);
    const title = system("Give it a title.");
    // The title may be asked for first: the line that is continued is the main one.
    const { session_id: session } = await call(title, user("go"));
    const first = await call(main, user("go"));
    const second = await call(main, user("go"), said, user("and?"));
    expect(await headOf(session)).toBe(second.turn_id);
    await call(title, user("go"), said, user("shorter"));
    const followed = await call(title, user("go"), said, user("shorter"), said, user("yet shorter"));
    expect(followed.context).toMatchObject({ turns: 2 });
    expect(await headOf(session)).toBe(second.turn_id);
    const next = await call(main, user("go"), said, user("and?"), said, user("so?"));
    const entries = await timeline(session);
    const parentOf = (turn: string): string | undefined => entries.find(({ turn_id: id }) => id === turn)?.parent_id;
    // Both lines begin with an equal question and an equal reply.
    expect([next, second].map(({ turn_id: turn }) => parentOf(turn))).toEqual([second.turn_id, first.turn_id]);
    const compacted = await call(system(`${rules}\nToday is Tuesday.`), user("So far: a summary."));
    expect(compacted.context).toMatchObject({ turns: 0 });
    expect(await headOf(session)).toBe(compacted.turn_id);
  });

  it("a call that was abandoned for a later one does not take the head back", async () => {
    const headers = newConversation();
    const { session_id: session } = (await chat({ model: "fake/say", messages: [user("one")] }, headers)).rhone;
    const go = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const real = globalThis.fetch;
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
      const asked = new Request(input, init);
      if ((await asked.clone().text()).includes("abandoned")) {
        reached.resolve();
        await go.promise;
      }
      return await real(asked);
    });
    const begun = async (text: string): Promise<Rhone> =>
      (await chat({ model: "fake/say", messages: [user("one"), said, user(text)] }, headers)).rhone;
    const abandoned = begun("abandoned");
    await reached.promise;
    const edited = await begun("edited");
    go.resolve();
    await abandoned;
    vi.restoreAllMocks();
    expect(await headOf(session)).toBe(edited.turn_id);
  });

  it("what is stored of a call whose content is not stored is its record", async () => {
    const headers = newConversation();
    const { rhone } = await chat({ messages: [user("hi")], rhone: { store: "metadata" } }, headers);
    expect((await timeline(rhone.session_id)).map(({ type, input }) => [type, input])).toEqual([["call", undefined]]);
    const other = await chat({ messages: [user("hi")], rhone: { store: "none", context_mode: "stateless" } }, headers);
    expect(other.rhone.context).not.toHaveProperty("client");
  });

  it("a system message in the transcript, which no hash covers, reaches a provider of another wire", async () => {
    const headers = newConversation();
    const transcript: object[] = [system("main"), user("go")];
    await chat({ model: "fakeanth/say", messages: transcript }, headers);
    const real = globalThis.fetch;
    const bodies: string[] = [];
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
      const asked = new Request(input, init);
      bodies.push(await asked.clone().text());
      return await real(asked);
    });
    await chat({ model: "fakeanth/say", messages: [...transcript, system("NEW RULE"), said, user("more")] }, headers);
    vi.restoreAllMocks();
    expect(bodies.at(-1)).toContain("NEW RULE");
  });

  it("calls at the same time do not wait for each other and stand as siblings", async () => {
    const headers = newConversation();
    const calls = await Promise.all(
      ["a", "b", "c", "d"].map(
        async (text) => (await chat({ model: "fake/say", messages: [user(text)] }, headers)).rhone,
      ),
    );
    expect(new Set(calls.map(({ session_id }) => session_id)).size).toBe(1);
    const entries = await timeline(calls[0]!.session_id);
    expect(entries.filter(({ type }) => type === "turn").map(({ parent_id }) => parent_id)).toEqual(
      Array(4).fill(undefined),
    );
  });

  it("a conversation whose session was deleted begins anew", async () => {
    const headers = newConversation();
    const call = async (): Promise<Rhone> => (await chat({ model: "fake/say", messages: [user("hi")] }, headers)).rhone;
    const sessions: string[] = [];
    for (let generation = 0; generation < 3; generation++) {
      const { session_id: session, call_id: id } = await call();
      expect((await call()).session_id).toBe(session);
      sessions.push(session);
      expect((await api("DELETE", `/v1/sessions/${session}`)).status).toBe(200);
      expect((await api("GET", `/v1/sessions/${session}`)).status).toBe(404);
      // The alarm removes what a deleted session leaves behind.
      await runDurableObjectAlarm(objectOf(id));
      await runDurableObjectAlarm(objectOf(id));
    }
    expect(new Set(sessions).size).toBe(3);
  });

  it("a session id, a mode and store: none are stronger than the name", async () => {
    const headers = newConversation();
    const { session_id: named } = (await chat({ messages: [user("hi")] }, headers)).rhone;
    const { rhone: other } = await chat({ messages: [user("hi")] });
    for (const rhone of [
      { session_id: other.session_id },
      { context_mode: "stateful" },
      { context_mode: "stateless" },
    ]) {
      const answer = await chat({ messages: [user("hi")], rhone }, headers);
      expect(answer.rhone.context).not.toHaveProperty("client");
      expect(answer.rhone.session_id).not.toBe(named);
    }
  });
});

describe.each<[client: string, headers: Record<string, string>, body: object, by: string]>([
  [
    "claude-code",
    { "user-agent": "claude-cli/2.1.4 (external, cli)", "x-claude-code-session-id": "4f6c" },
    {},
    "x-claude-code-session-id",
  ],
  [
    "claude-code",
    { "user-agent": "claude-cli/2.1.4 (external, cli)" },
    { metadata: { user_id: JSON.stringify({ device_id: "d", account_uuid: "", session_id: "4f6c" }) } },
    "metadata.user_id",
  ],
  ["codex", { "user-agent": "codex_cli_rs/0.171.0 (Debian)", "session-id": "019f" }, {}, "session-id"],
  ["codex", { originator: "codex_vscode", "session-id": "019f", "thread-id": "019f" }, {}, "session-id"],
  ["opencode", { "user-agent": "opencode/1.18.2", "x-session-id": "ses_1" }, {}, "x-session-id"],
])("%s names its conversation", (client, headers, body, by) => {
  it(`by ${by}, for its own user agent only`, async () => {
    const call = async (given: Record<string, string>): Promise<Rhone> => {
      const response = await request("/v1/chat/completions", {
        method: "POST",
        headers: given,
        body: JSON.stringify({ model: "demo", messages: [user("hi")], ...body }),
      });
      const { rhone }: { rhone: Rhone } = await response.json();
      return rhone;
    };
    const [first, second] = [await call(headers), await call(headers)];
    expect(first.context).toMatchObject({ client, recognized_by: by });
    expect(first.context).not.toHaveProperty("agent");
    expect(second.session_id).toBe(first.session_id);
    const { "user-agent": _, originator: __, ...others } = headers;
    expect((await call({ ...others, "user-agent": "other/1.0" })).context).not.toHaveProperty("client");
  });
});

it.each<[client: string, main: Record<string, string>, sub: Record<string, string>]>([
  [
    "claude-code",
    { "user-agent": "claude-cli/2.1.4", "x-claude-code-session-id": "a1" },
    { "x-claude-code-agent-id": "sub" },
  ],
  ["codex", { "user-agent": "codex_exec/0.171.0", "session-id": "a1", "thread-id": "a1" }, { "thread-id": "sub" }],
  [
    "opencode",
    { "user-agent": "opencode/1.18.33", "x-session-id": "a1" },
    { "x-session-id": "sub", "x-parent-session-id": "a1" },
  ],
])("a sub-agent of %s stands in the session of its conversation", async (client, main, sub) => {
  const id = crypto.randomUUID();
  const call = async (headers: Record<string, string>): Promise<Rhone> => {
    const named = Object.entries(headers).map(([name, value]) => [name, value === "a1" ? id : value]);
    return (await chat({ messages: [user("hi")] }, Object.fromEntries(named))).rhone;
  };
  const [first, second] = [await call(main), await call({ ...main, ...sub })];
  expect(first.context).toMatchObject({ client });
  expect(first.context).not.toHaveProperty("agent");
  expect(second).toMatchObject({ session_id: first.session_id, context: { client, agent: "sub" } });
});
