import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  json,
  listOf,
  send,
  toolLog,
  webhook,
  type Json,
  crash,
  ended,
  headOf,
  newKey,
  storeHarness,
} from "../../support/runs/client.ts";
import { answered, ask, call, plan, startCall } from "../../support/runs/tool-calls.ts";
import { request } from "../../support/worker/client.ts";
import { bound } from "../../support/worker/socket-client.ts";

const TIME = { tools: [{ type: "native", name: "time" }] };

describe("the tools of a call", () => {
  it("are those of a harness: with its instructions, policy and limits", async () => {
    await storeHarness("answers", {
      instructions: "Be brief.",
      tools: [
        { native: "time" },
        { http: "look", url: "https://tools.example.com/answers/look", effect: "read_only" },
        { http: "pay", url: "https://tools.example.com/answers/pay" },
        { http: "drop", url: "https://tools.example.com/answers/drop" },
      ],
      policy: [
        { tool: "drop", do: "deny" },
        { tool: "pay", do: "ask" },
      ],
      limits: { max_turns: 2 },
    });
    const asked = plan([call("look"), call("pay"), call("drop")], { thinking: "", text: "@request" });
    const answer = await answered("chat", asked, { rhone: { harness: "harness_answers" } });
    const executions = await listOf(answer.rhone.run_id, "tool-executions");
    expect(executions.map(({ name, status }) => [name, status])).toEqual([
      ["look", "succeeded"],
      ["pay", "denied"],
      ["drop", "denied"],
    ]);
    expect((await toolLog("answers")).map(({ path }) => path)).toEqual(["/answers/look"]);
    // The last step's request, which has to be answered without tools.
    const last = JSON.parse(answer.text.slice(answer.text.indexOf("{"))) as { messages: Json[]; tool_choice: string };
    expect(last.messages[0]).toEqual({ role: "system", content: "Be brief." });
    expect(last.tool_choice).toBe("none");
    expect(JSON.stringify(last)).toContain("a person would have to approve it");
    expect(await json("GET", `/v1/runs/${answer.rhone.run_id as string}`)).toMatchObject({
      harness: "harness_answers_v1",
      stop_reason: "max_turns",
    });
  });

  it("are those of the default harness of its key, which a request that names no tools has as well", async () => {
    await storeHarness("by-key", { tools: [{ native: "time" }] });
    const key = await newKey(["inference"], { defaults: { harness: "harness_by-key" } });
    const answer = await answered("messages", plan([call("time")], "Late."), { key });
    expect(answer.text).toBe("Let me look.\n\nLate.");
    const stateless = await ask("chat", "x", { key, rhone: { context_mode: "stateless" } });
    expect([stateless.status, stateless.raw]).toEqual([400, expect.stringContaining("rhone.context_mode")]);
  });

  it("are refused on /v1/completions, which has none: a call of it would pass without the harness", async () => {
    await storeHarness("guard", { instructions: "Be careful.", tools: [{ native: "time" }] });
    const guarded = await newKey(["inference"], { defaults: { harness: "harness_guard" } });
    const complete = async (more: Json, key?: string): Promise<[number, Json | undefined]> => {
      const response = await send("POST", "/v1/completions", { model: "fake/plan", prompt: "Hi.", ...more }, key);
      const { error } = (await response.json()) as { error?: Json };
      return [response.status, error];
    };
    const refusals: [string, Json, string?][] = [
      ["defaults.harness", {}, guarded],
      ["defaults.harness", { stream: true }, guarded],
      ["defaults.harness", { rhone: { context_mode: "stateless" } }, guarded],
      ["rhone.harness", { rhone: { harness: "harness_guard" } }],
      ["rhone.tools", { rhone: TIME }],
    ];
    for (const [param, more, key] of refusals) {
      const message = `${param}: expected none: /v1/completions has no tools; send the call to /v1/chat/completions`;
      const error = { message, type: "invalid_request_error", param };
      expect(await complete(more, key)).toMatchObject([400, error]);
    }
    expect((await complete({ model: "fake/say" }))[0]).not.toBe(400);
  });

  it("end a run whose model calls them where it may not, and what is said so far is the answer", async () => {
    await storeHarness("one-step", { tools: [{ native: "time" }], limits: { max_turns: 1 } });
    const rhone = { harness: "harness_one-step" };
    const first = { text: plan([call("time")], "Never.") };
    const answer = await answered("chat", [first], { rhone });
    expect([answer.text, answer.finish]).toEqual(["Let me look.", "stop"]);
    const { session_id, turn_id } = answer.rhone;
    expect(await headOf(session_id)).toBe(turn_id);
    const next = [first, { answered: answer }, { text: plan("Bye.") }];
    const more = await answered("chat", next, { rhone: { ...rhone, session_id } });
    expect(more.text).toBe("Bye.");
  });

  it.each([
    ["a function", { tools: [{ name: "own" }] }, {}, "rhone.tools[0].type"],
    ["an unknown tool", { tools: [{ type: "native", name: "nothing" }] }, {}, "rhone.tools[0].name"],
    ["a server that is not named", { tools: [{ type: "mcp", server: "crm" }] }, {}, "rhone.tools[0].server"],
    ["a harness that there is none of", { harness: "harness_nothing" }, {}, "rhone.harness"],
    ["another word for people who decide", { ...TIME, unattended: "perhaps" }, {}, "rhone.unattended"],
    ["several answers", TIME, { n: 2 }, "n"],
    ["no stored content", { ...TIME, store: "metadata" }, {}, "rhone.store"],
    ["no history", { ...TIME, context_mode: "stateless" }, {}, "rhone.context_mode"],
    [
      "a tool of its client's with the same name",
      TIME,
      { tools: [{ type: "function", function: { name: "time" } }] },
      "tools",
    ],
  ])("are refused with %s", async (_, rhone, more, param) => {
    const answer = await ask("chat", "x", { rhone, more });
    expect([answer.status, (answer.whole.error as Json).param]).toEqual([400, param]);
  });

  it("are refused of a key that may not start runs", async () => {
    expect((await ask("chat", "x", { rhone: TIME, key: await newKey(["inference"]) })).status).toBe(403);
  });
});

describe("a later step that fails", () => {
  beforeEach(() => {
    const { fetch: real } = globalThis;
    vi.stubGlobal("fetch", async (input: RequestInfo | URL, init?: RequestInit) => {
      const sent = new Request(input, init);
      const body = await sent.clone().text();
      return body.includes("BREAKS") && body.includes('"role":"tool"')
        ? Response.json({ error: { message: "No more." } }, { status: 400 })
        : await real(sent);
    });
  });
  afterEach(() => vi.unstubAllGlobals());

  it.each([
    ["read_only", false],
    ["non_idempotent", true],
  ])("leaves the session as it was, unless something may have changed: %s", async (effect, isMoved) => {
    const first = await answered("chat", plan("Hello."));
    const { session_id, turn_id } = first.rhone;
    const tool = webhook("do", `failing-${effect}/do`, { effect, policy: "allow" });
    const answer = await ask("chat", `BREAKS ${plan([call("do")], "Never.")}`, {
      rhone: { tools: [tool], session_id },
    });
    expect([answer.status, answer.raw]).toEqual([400, expect.stringContaining("No more.")]);
    expect((await headOf(session_id)) !== turn_id).toBe(isMoved);
    const run = answer.headers.get("x-rhone-run-id")!;
    expect(await json("GET", `/v1/runs/${run}`)).toMatchObject({ status: "failed", steps: 2 });
    vi.unstubAllGlobals();
    const next = await answered("chat", plan("Again."), { rhone: { session_id } });
    expect(next.text).toBe("Again.");
  });

  it("ends a stream with an event", async () => {
    const answer = await ask("responses", "x", { stream: true, rhone: TIME, model: "refuse" });
    expect(answer.status).toBe(400);
    const broken = await ask("chat", `BREAKS ${plan([call("time")], "Never.")}`, { stream: true, rhone: TIME });
    expect(broken.status).toBe(200);
    expect(broken.events.filter((event) => "error" in event)).toHaveLength(1);
    expect(broken.raw).toContain('" look."');
  });
});

describe("a call while it is answered", () => {
  const WAIT = plan([call("wait")], "Never.");
  const slow = (test: string): Json => webhook("wait", `${test}/never`, { effect: "read_only" });

  it("is cancelled with its run, and the session is free again", async () => {
    const { call: id, session, reading } = await startCall("call-cancelled", WAIT, { tools: [slow("call-cancelled")] });
    const busy = await ask("chat", "x", { rhone: { session_id: session, on_busy: "reject" } });
    expect(busy.status).toBe(409);
    await send("POST", `/v1/calls/${id}:cancel`);
    expect(await reading).toContain("error");
    const run = await json("GET", `/v1/runs/${id.replace("call", "run")}`);
    expect(run.status).toBe("cancelled");
    const next = await answered("chat", plan("Free."), { rhone: { session_id: session } });
    expect(next.text).toBe("Free.");
  });

  it("shares its session with no run, and its run cannot be interrupted", async () => {
    const { run, session: session_id, reading } = await startCall("shared", WAIT, { tools: [slow("shared")] });
    expect((await send("POST", `/v1/runs/${run}:interrupt`, {})).status).toBe(409);
    const other = await send("POST", "/v1/runs", {
      model: "demo",
      input: "x",
      rhone: { session_id, on_busy: "reject" },
    });
    expect(other.status).toBe(409);
    await json("POST", `/v1/runs/${run}:cancel`);
    expect(await reading).toContain("error");
  });

  it("is cancelled when its client leaves, if that is what it has asked for", async () => {
    const response = await request("/v1/messages", {
      method: "POST",
      headers: { "anthropic-version": "2023-06-01" },
      body: JSON.stringify({
        model: "fakeanth/plan",
        max_tokens: 99,
        stream: true,
        messages: [{ role: "user", content: WAIT }],
        rhone: { tools: [slow("left")], on_disconnect: "cancel" },
      }),
    });
    await expect.poll(async () => (await toolLog("left")).length).toBe(1);
    await response.body!.cancel();
    expect((await ended(response.headers.get("x-rhone-run-id"))).status).toBe("cancelled");
  });

  it("is cancelled after a crash of its object, if its client wants that when it has left", async () => {
    const rhone = { tools: [slow("crash-left")], on_disconnect: "cancel" };
    const { run, reading } = await startCall("crash-left", WAIT, rhone);
    await crash(run);
    await reading;
    expect((await ended(run)).status).toBe("cancelled");
  });

  it("goes on to its end after a crash of its object, and its client finds the answer in the session", async () => {
    const tool = webhook("look", "crashed/never-once", { effect: "read_only", timeout_ms: 60_000 });
    const text = plan([call("look")], "Over.");
    const { run, session: session_id, reading } = await startCall("crashed", text, { tools: [tool] });
    await crash(run);
    await reading;
    expect((await ended(run)).status).toBe("completed");
    expect(await headOf(session_id)).toBe(run.replace("run", "turn"));
    const shown = [
      { text },
      { answered: { whole: { choices: [{ message: { role: "assistant", content: "Let me look.\n\nOver." } }] } } },
      { text: plan("Bye.") },
    ];
    const next = await answered("chat", shown as never, { rhone: { session_id } });
    expect((await json("GET", `/v1/sessions/${session_id}`)).turns ?? 3).toBe(3);
    expect(next.text).toBe("Bye.");
  });
});

describe("what is stored of an answer", () => {
  it("is what the client has got: a response, whose items and id go on", async () => {
    const answer = await answered("responses", plan([call("time")], "Late."), { rhone: TIME });
    const id = answer.whole.id as string;
    const stored = await json("GET", `/v1/responses/${id}`);
    expect(stored.output).toEqual(answer.whole.output);
    expect(JSON.stringify(stored)).not.toContain('"time"');
    const next = await answered("responses", plan([call("time")], "Later."), {
      rhone: TIME,
      more: { previous_response_id: id },
    });
    expect(next.rhone.session_id).toBe(answer.rhone.session_id);
    const items = await json("GET", `/v1/responses/${next.whole.id as string}/input_items`);
    expect((items.data as Json[])[0]).toMatchObject({ role: "user" });
  });

  it("that of a response that a limit has ended as well", async () => {
    await storeHarness("stored-limit", { tools: [{ native: "time" }], limits: { max_turns: 1 } });
    const rhone = { harness: "harness_stored-limit" };
    for (const stream of [false, true]) {
      const answer = await answered("responses", plan([call("time")], "Never."), { rhone, stream });
      const stored = await json("GET", `/v1/responses/${answer.whole.id as string}`);
      expect(stored).toMatchObject({ status: "completed", output: answer.whole.output });
    }
  });

  it("a chat completion", async () => {
    const answer = await answered("chat", plan([call("time")], "Late."), { rhone: TIME, more: { store: true } });
    const stored = await json("GET", `/v1/chat/completions/${answer.whole.id as string}`);
    expect((stored.choices as { message: Json }[])[0]!.message.content).toBe("Let me look.\n\nLate.");
  });
});

it("Gemini's stream as one list is one answer as well", async () => {
  const response = await request("/v1beta/models/fakegem/plan:streamGenerateContent", {
    method: "POST",
    body: JSON.stringify({
      contents: [{ role: "user", parts: [{ text: plan([call("time")], "Late.") }] }],
      rhone: TIME,
    }),
  });
  const chunks = await response.json<{ candidates: { content: { parts: { text?: string; thought?: true }[] } }[] }[]>();
  const parts = chunks.flatMap(({ candidates }) => candidates.flatMap(({ content }) => content?.parts ?? []));
  expect(parts.map(({ text = "", thought }) => (thought ? "" : text)).join("")).toBe("Let me look.\n\nLate.");
});

it("a call over the socket of a session is answered by a run", async () => {
  const { rhone } = await answered("chat", plan("Hello."));
  const client = await bound(rhone.session_id as string);
  const body = { model: "fake/plan", input: plan([call("time")], "Late."), stream: true, rhone: TIME };
  client.say({ type: "call.create", id: "c", surface: "native", request: body });
  const completed = await client.type("call.completed");
  expect(completed).toMatchObject({ usage: { output: 10 }, finish_reason: "stop" });
  const turn = completed.turn_id as string;
  expect(turn).toBe((completed.call_id as string).replace("call", "turn"));
  expect(JSON.stringify(client.frames.filter(({ call_id }) => call_id === completed.call_id))).not.toContain('"time"');
});

it("the run of a call is listed once, with all of its steps", async () => {
  const { rhone } = await answered("chat", plan([call("time")], "Late."), { rhone: TIME });
  const listed = async (): Promise<Json[]> =>
    ((await json("GET", "/v1/runs?limit=100")).data as Json[]).filter(({ id }) => id === rhone.run_id);
  const isDone = { status: "completed", steps: 2, tool_calls: 1 };
  await expect.poll(listed, { timeout: 10_000 }).toMatchObject([isDone]);
});
