import { runInDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import type { McpMessage } from "../fake/mcp.ts";
import { writePlan } from "../fake/plan.ts";
import { eventsOf, json, listOf, objectOfRun, run, send, textOf, type Json } from "../support/runs/client.ts";

const HOST = "https://mcp.example.com";
const KINDS = ["modern", "legacy"] as const;

/** A server of one test, as a run names it. */
const crm = (test: string, kind: string, more: Json = {}): Json => ({
  crm: { url: `${HOST}/${test}/${kind}`, ...more },
});
const logOf = async (test: string): Promise<McpMessage[]> => (await fetch(`${HOST}/${test}/log`)).json();
const callsOf = async (test: string): Promise<Json[]> =>
  (await logOf(test)).filter(({ method }) => method === "tools/call").map(({ params }) => params);
const tell = (test: string, what: string): Promise<Response> => fetch(`${HOST}/${test}/${what}`, { method: "POST" });

/** A run that calls one tool of a server, and then answers. */
const callOf = (test: string, kind: string, name: string, more: Json = {}): Json => ({
  input: writePlan([[{ name: `crm__${name}`, args: (more.args as Json | undefined) ?? {} }], "Done."]),
  servers: crm(test, kind, more.server as Json | undefined),
  tools: [{ type: "mcp", server: "crm", policy: "allow", timeout_ms: 20_000 }],
});

const ended = async (id: unknown): Promise<Json> =>
  await expect
    .poll(async () => (await json("GET", `/v1/runs/${id as string}`)).status, { timeout: 20_000 })
    .toMatch(/completed|failed|cancelled/)
    .then(() => json("GET", `/v1/runs/${id as string}`));

const resolve = (id: unknown, body: Json): Promise<Response> =>
  send("POST", `/v1/checkpoints/${id as string}:resolve`, body);

/** The open question of a run. */
const questionOf = async (id: unknown): Promise<Json> =>
  await expect
    .poll(async () => (await listOf(id, "checkpoints")).find(({ status }) => status === "open"))
    .toMatchObject({ kind: "input" })
    .then(async () => (await listOf(id, "checkpoints")).find(({ status }) => status === "open")!);

describe.each(KINDS)("a server of the %s protocol", (kind) => {
  it("executes its tools, each with the model's own bytes and a key that stays the same", async () => {
    const test = `call-${kind}`;
    const done = await run(callOf(test, kind, "get_order", { args: { id: "A 1" } }));
    expect([done.status, textOf(done)]).toEqual(["completed", "Done."]);
    const [execution] = await listOf(done.id, "tool-executions");
    expect(execution).toMatchObject({
      name: "crm__get_order",
      kind: "mcp",
      status: "succeeded",
      result: 'get_order {"id":"A 1"}',
    });
    expect(await callsOf(test)).toMatchObject([
      { name: "get_order", arguments: { id: "A 1" }, _meta: { idempotencyKey: execution!.id } },
    ]);
  });

  it("gives pictures to the model as well", async () => {
    const done = await run(callOf(`picture-${kind}`, kind, "picture"));
    const turns = (await json("GET", `/v1/sessions/${done.session_id as string}/blocks`)) as { data: Json[] };
    const result = turns.data.find(({ type }) => type === "tool_result");
    expect(result?.content).toMatchObject([
      { text: "A picture:" },
      { media: { mime: "image/png", source: { type: "base64", data: "iVBORw0KGgo=" } } },
    ]);
    expect(await listOf(done.id, "tool-executions")).toMatchObject([{ status: "succeeded" }]);
  });

  it("whose answer is endless ends the call with an error, not the run", async () => {
    const done = await run(callOf(`huge-${kind}`, kind, "huge"));
    expect(done.status).toBe("completed");
    expect(await listOf(done.id, "tool-executions")).toMatchObject([
      { status: "failed", is_error: true, result: expect.stringContaining("4") },
    ]);
  });

  it.each(["vanish", "unavailable"])(
    "that breaks off behind a call that may have changed something leaves that to a person: %s",
    async (name) => {
      const waiting = await run(callOf(`${name}-${kind}`, kind, name));
      expect(waiting.status).toBe("waiting_for_approval");
      const [checkpoint] = await listOf(waiting.id, "checkpoints");
      expect(checkpoint).toMatchObject({ kind: "unknown", decisions: ["retry", "result", "fail"] });
      await resolve(checkpoint!.id, { decision: "result", content: "It has run." });
      expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
      expect(await callsOf(`${name}-${kind}`)).toHaveLength(1);
    },
  );

  it("whose tool has an error of its own is not called again", async () => {
    const done = await run(callOf(`missing-${kind}`, kind, "missing"));
    expect(await listOf(done.id, "tool-executions")).toMatchObject([
      { status: "failed", result: expect.stringContaining("no such order") },
    ]);
    expect(await callsOf(`missing-${kind}`)).toHaveLength(1);
  });

  it("may give what is no picture, and the model reads that", async () => {
    const done = await run(callOf(`odd-${kind}`, kind, "odd_media"));
    expect(done.status).toBe("completed");
    expect(await listOf(done.id, "tool-executions")).toMatchObject([
      { result: expect.stringContaining("cannot be read") },
    ]);
  });

  it("has rules for its tools by their names in full", async () => {
    const name = `${"a_very_long_name_".repeat(4)}delete`;
    const policy = [
      { tool: "*_delete", do: "deny" },
      { tool: "*", do: "allow" },
    ];
    const first = await run(callOf(`rules-${kind}`, kind, "picture"));
    const shown = await json("GET", `/v1/runs/${first.id as string}/effective-request`);
    const own = (shown.tools as Json[]).find(({ tool }) => tool === name)!.name as string;
    expect(own).not.toContain("_delete");
    const input = writePlan([[{ name: own, args: {} }], "Done."]);
    const done = await run({ ...callOf(`rules-${kind}`, kind, "picture"), input, policy });
    expect(await listOf(done.id, "tool-executions")).toMatchObject([{ status: "denied" }]);
  });

  it("that describes a tool anew after its approval is not called", async () => {
    const test = `changed-${kind}`;
    const waiting = await run({
      ...callOf(test, kind, "refund", { args: { n: 1 } }),
      tools: [{ type: "mcp", server: "crm" }],
    });
    expect(waiting.status).toBe("waiting_for_approval");
    await tell(test, "change");
    await resolve((waiting.open as string[])[0], { decision: "approve" });
    const done = await ended(waiting.id);
    expect(await listOf(done.id, "tool-executions")).toMatchObject([
      { status: "failed", result: expect.stringContaining("changed the tool") },
    ]);
    expect(await callsOf(test)).toEqual([]);
  });

  it("puts its question to a person, and goes on with the answer", async () => {
    const test = `question-${kind}`;
    const started = await send("POST", "/v1/runs:stream", {
      model: "fake/plan",
      ...callOf(test, kind, "deploy", { args: { env: "prod" } }),
    });
    const id = started.headers.get("x-rhone-run-id");
    const events = eventsOf(started);
    const question = await questionOf(id);
    expect(question).toMatchObject({
      decisions: ["answer", "deny"],
      question: { message: "Deploy?", schema: { required: ["sure"] } },
    });
    const wrong = await resolve(question.id, { decision: "answer", content: { sure: "yes" } });
    expect([wrong.status, await wrong.json()]).toMatchObject([400, { error: { details: { param: "content" } } }]);
    const answered = await resolve(question.id, { decision: "answer", content: { sure: true } });
    expect(await answered.json()).toMatchObject({ status: "answered" });
    expect(await ended(id)).toMatchObject({ status: "completed" });
    expect((await events).map(({ type }) => type)).toContain("checkpoint.created");
    expect(await listOf(id, "tool-executions")).toMatchObject([
      { status: "succeeded", result: expect.stringContaining('{"action":"accept","content":{"sure":true}}') },
    ]);
    expect((await resolve(question.id, { decision: "answer", content: { sure: true } })).status).toBe(409);
  });

  it("reads that a person declines", async () => {
    const test = `declined-${kind}`;
    const started = await send("POST", "/v1/runs:stream", { model: "fake/plan", ...callOf(test, kind, "deploy") });
    const id = started.headers.get("x-rhone-run-id");
    const events = eventsOf(started);
    await resolve((await questionOf(id)).id, { decision: "deny", reason: "Not today." });
    await ended(id);
    await events;
    expect(await listOf(id, "tool-executions")).toMatchObject([
      { result: expect.stringContaining('{"action":"decline"}') },
    ]);
  });
});

it("a question that its server does not wait for is closed", async () => {
  const done = await run(callOf("impatient", "legacy", "impatient"));
  expect(done.status).toBe("completed");
  expect(await listOf(done.id, "checkpoints")).toMatchObject([{ kind: "input", status: "cancelled" }]);
  expect(await listOf(done.id, "tool-executions")).toMatchObject([{ status: "succeeded" }]);
});

describe("a task", () => {
  it("is waited for, and its result is the call's", async () => {
    const started = send("POST", "/v1/runs", { model: "fake/plan", ...callOf("task", "modern", "report_task") });
    await expect.poll(async () => (await logOf("task")).some(({ method }) => method === "tasks/get")).toBe(true);
    await tell("task", "finish");
    const done = (await (await started).json()) as Json;
    expect(done.status).toBe("completed");
    expect(await listOf(done.id, "tool-executions")).toMatchObject([{ status: "succeeded", result: "Done with {}" }]);
  });

  it("that takes long lets its run wait, and is looked at again", async () => {
    const request = { ...callOf("long", "modern", "report_task"), limits: { tool_timeout_ms: 1 } };
    const waiting = await run(request);
    expect(waiting.status).toBe("waiting_for_tool");
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([
      { status: "polling", due_at: expect.any(String) },
    ]);
    const looks = async (): Promise<number> =>
      (await logOf("long")).filter(({ method }) => method === "tasks/get").length;
    const before = await looks();
    await expect.poll(looks, { timeout: 20_000 }).toBeGreaterThan(before);
    const events = await eventsOf(await send("GET", `/v1/runs/${waiting.id as string}:stream`));
    expect(events.filter(({ type }) => type === "run.waiting")).toHaveLength(1);
    await tell("long", "finish");
    expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
    expect(await callsOf("long")).toHaveLength(1);
  });

  it("asks a person, and gets the answer", async () => {
    const started = send("POST", "/v1/runs:stream", {
      model: "fake/plan",
      ...callOf("interview", "modern", "interview_task"),
    });
    const id = (await started).headers.get("x-rhone-run-id");
    const events = eventsOf(await started);
    const question = await questionOf(id);
    expect(question).toMatchObject({ question: { message: "Who are you?" } });
    await tell("interview", "finish");
    await resolve(question.id, { decision: "answer", content: { name: "Ada" } });
    await ended(id);
    await events;
    expect(await listOf(id, "tool-executions")).toMatchObject([{ result: expect.stringContaining('"name":"Ada"') }]);
    expect((await listOf(id, "checkpoints")).filter(({ kind }) => kind === "input")).toHaveLength(1);
  });

  it("gets the answer of a person again, if its server was not reached with it", async () => {
    const started = send("POST", "/v1/runs:stream", {
      model: "fake/plan",
      ...callOf("unlucky", "modern", "interview_task"),
    });
    const id = (await started).headers.get("x-rhone-run-id");
    const events = eventsOf(await started);
    const question = await questionOf(id);
    await tell("unlucky", "finish");
    await tell("unlucky", "break");
    await resolve(question.id, { decision: "answer", content: { name: "Ada" } });
    expect(await ended(id)).toMatchObject({ status: "completed" });
    await events;
    expect((await logOf("unlucky")).filter(({ method }) => method === "tasks/update")).toHaveLength(2);
    expect(await listOf(id, "tool-executions")).toMatchObject([{ result: expect.stringContaining('"name":"Ada"') }]);
  });

  it("is ended at its server when its run is cancelled", async () => {
    const waiting = await run({ ...callOf("cancelled", "modern", "report_task"), limits: { tool_timeout_ms: 1 } });
    await json("POST", `/v1/runs/${waiting.id as string}:cancel`, {});
    await expect
      .poll(async () => (await logOf("cancelled")).some(({ method }) => method === "tasks/cancel"))
      .toBe(true);
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([{ status: "cancelled" }]);
  });
});

describe("the tools of a server", () => {
  beforeEach(async () => {
    await send("PUT", "/v1/secrets/BOUND", { value: "x", hosts: ["tools.example.com"] });
  });

  const start = (body: Json): Promise<Response> =>
    send("POST", "/v1/runs", { model: "fake/plan", input: "x", ...body });

  it("are those that the run names, with effects that count where the server is trusted", async () => {
    const done = await run({
      ...callOf("only", "modern", "get_order", { args: { id: "1" }, server: { trust_annotations: true } }),
      tools: [{ type: "mcp", server: "crm", only: ["get_*"] }],
    });
    expect(done.status).toBe("completed");
    const request = await json("GET", `/v1/runs/${done.id as string}/effective-request`);
    expect(request.tools).toMatchObject([{ name: "crm__get_order", tool: "get_order", effect: "read_only" }]);
  });

  it.each([
    ["two tools of one name", { servers: crm("bad", "double") }, 502, "two tools of the name refund"],
    ["a pattern that no tool matches", { only: ["nothing_*"] }, 400, "tools[0].only[0]"],
    ["a server that the run does not name", { server: "erp" }, 400, "tools[0].server"],
    ["a server at a private address", { servers: { crm: { url: "http://127.0.0.1/mcp" } } }, 400, "https://"],
    [
      "a server that refuses the credentials",
      { servers: crm("bad", "modern", { headers: { authorization: "Bearer wrong" } }) },
      502,
      "credentials",
    ],
    [
      "a secret that is not bound to the server",
      {
        servers: crm("bad", "modern", {
          auth: { client_id: "x", client_secret: { secret: "BOUND" }, token_url: "https://tools.example.com/token" },
        }),
      },
      400,
      "BOUND may be sent to tools.example.com only",
    ],
    [
      "a secret that is not there",
      { servers: crm("bad", "modern", { auth: { secret: "NONE" } }) },
      400,
      "servers.crm.auth.secret",
    ],
  ])(
    "are refused when the run starts: %s",
    async (_, { server = "crm", only, servers = crm("bad", "modern") }: Json, status, text) => {
      const answer = await start({ servers, tools: [{ type: "mcp", server, ...(only !== undefined && { only }) }] });
      expect([answer.status, await answer.text()]).toEqual([status, expect.stringContaining(text)]);
    },
  );

  it("may not have the name of another tool of the run", async () => {
    const answer = await start({
      servers: crm("same", "modern"),
      tools: [{ type: "mcp", server: "crm" }, { name: "crm__refund" }],
    });
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining("tools[1].name")]);
  });

  it("with a schema elsewhere are called without its being fetched", async () => {
    const done = await run(callOf("refs", "refs", "ref"));
    expect(await listOf(done.id, "tool-executions")).toMatchObject([{ status: "succeeded" }]);
  });

  it("are called in a new session when the server has forgotten the one that was", async () => {
    const first = await run(callOf("forgets", "legacy", "get_order", { args: { id: "1" } }));
    await tell("forgets", "forget");
    const again = await run({
      ...callOf("forgets", "legacy", "get_order", { args: { id: "2" } }),
      session_id: first.session_id,
    });
    expect(await listOf(again.id, "tool-executions")).toMatchObject([
      { status: "succeeded", result: 'get_order {"id":"2"}' },
    ]);
  });

  it("are replayed as the servers are then", async () => {
    const first = await run(callOf("replayed", "modern", "get_order", { args: { id: "1" } }));
    const again = await json("POST", `/v1/runs/${first.id as string}:replay`, {});
    expect(again.status).toBe("completed");
    expect(await callsOf("replayed")).toHaveLength(2);
  });
});

describe("a question whose run's object is started anew", () => {
  const crash = async (id: string): Promise<void> => {
    await runInDurableObject(objectOfRun(id), (_, state) => state.abort("crash")).catch(() => {});
  };

  it("may still be answered", async () => {
    const waiting = await run(callOf("restarted", "modern", "deploy", { args: { env: "prod" } }));
    expect(waiting.status).toBe("waiting_for_approval");
    await crash(waiting.id as string);
    const question = await questionOf(waiting.id);
    await resolve(question.id, { decision: "answer", content: { sure: true } });
    expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([
      { status: "succeeded", attempt: 2, result: expect.stringContaining("with opaque") },
    ]);
  });

  it("is lost with its connection in the older protocol: whether the tool has run is left to a person", async () => {
    const started = await send("POST", "/v1/runs:stream", {
      model: "fake/plan",
      ...callOf("cut", "legacy", "deploy", { args: { env: "prod" } }),
    });
    const id = started.headers.get("x-rhone-run-id")!;
    const reading = started.text().catch(() => "");
    const question = await questionOf(id);
    await crash(id);
    await reading;
    await expect.poll(async () => (await json("GET", `/v1/runs/${id}`)).status).toBe("waiting_for_approval");
    expect((await resolve(question.id, { decision: "answer", content: { sure: true } })).status).toBe(409);
    expect((await listOf(id, "checkpoints")).map(({ kind, status }) => [kind, status])).toEqual([
      ["input", "cancelled"],
      ["unknown", "open"],
    ]);
  });

  it("that no person answers in time ends the call, not the run", async () => {
    const waiting = await run(callOf("expired", "modern", "deploy", { args: { env: "prod" } }));
    await runInDurableObject(objectOfRun(waiting.id as string), async (_, state) => {
      const late = "json_set(body, '$.expiresAt', 1)";
      state.storage.sql.exec(`UPDATE run_parts SET body = ${late} WHERE kind = 'checkpoint'`);
      await state.storage.setAlarm(Date.now());
    });
    expect(await ended(waiting.id)).toMatchObject({ status: "completed" });
    expect(await listOf(waiting.id, "tool-executions")).toMatchObject([{ status: "expired", is_error: true }]);
    expect(await callsOf("expired")).toHaveLength(1);
  });
});
