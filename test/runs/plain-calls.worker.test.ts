import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { json, listOf, newKey, run, send, storeHarness, type Json } from "../support/runs/client.ts";
import { newOrganization } from "../support/runs/harness-client.ts";
import { chat, post, request, type Rhone, user } from "../support/worker/client.ts";

/** Records follow what they record. */
const SOON = { timeout: 10_000 };

/** The ids of a list's pages, with so many entries each. */
async function walk(path: string, limit: number): Promise<unknown[]> {
  const ids: unknown[] = [];
  for (let after = ""; ;) {
    const page = await json("GET", `${path}&limit=${limit}${after}`);
    ids.push(...(page.data as Json[]).map(({ id }) => id));
    if (page.has_more !== true) return ids;
    after = `&after=${page.last_id as string}`;
  }
}

const say = async (rhone: Json = {}, body: Json = {}): Promise<Rhone> =>
  (await chat({ messages: [user("My name is Alice.")], ...body, rhone })).rhone;

const refusalOf = async (sent: Promise<Response>): Promise<[number, Json]> => {
  const response = await sent;
  return [response.status, (await response.json<{ error: Json }>()).error];
};

it("lists have plain calls as runs of one call, in one order with the others, in pages", async () => {
  const metadata = { case: crypto.randomUUID() };
  const started = [
    (await say({ metadata })).run_id,
    (await run({ model: "demo", input: "Hello.", metadata })).id,
    (await say({ metadata, context_mode: "stateless" })).run_id,
    (await say({ metadata, store: "metadata" })).run_id,
    (await run({ model: "demo", input: "Hello.", metadata })).id,
  ];
  const path = `/v1/runs?metadata.case=${metadata.case}`;
  const expected = started.toReversed();
  await expect.poll(() => walk(path, 100), SOON).toEqual(expected);
  for (const limit of [1, 2]) expect(await walk(path, limit)).toEqual(expected);
  expect(await walk(`${path}&status=completed`, 2)).toEqual(expected);
  expect(await walk(`${path}&status=failed`, 2)).toEqual([]);
  const [listed] = (await json("GET", `${path}&limit=1&after=${started[1] as string}`)).data as Json[];
  expect(listed).toEqual({
    id: started[0],
    object: "run",
    session_id: expect.stringMatching(/^sess_/),
    key_id: expect.any(String),
    status: "completed",
    stop_reason: "end_turn",
    steps: 1,
    tool_calls: 0,
    usage: expect.objectContaining({ output: expect.any(Number) }),
    cost_micros_usd: 0,
    metadata,
    created_at: expect.any(String),
    ended_at: expect.any(String),
  });
  expect(await walk(`/v1/runs?session_id=${listed!.session_id as string}`, 2)).toEqual([started[0]]);
  const { calls, output, ...same } = await json("GET", `/v1/runs/${started[0] as string}`);
  expect([same, calls, output]).toEqual([
    listed,
    [expect.objectContaining({ object: "call" })],
    [expect.objectContaining({ type: "response" })],
  ]);
});

it("a call whose tools a run executes is listed as that run, once", async () => {
  const tools = [{ type: "native", name: "time" }];
  const { id: harness } = await storeHarness("plain-calls", { tools });
  const metadata = { case: crypto.randomUUID() };
  const text = 'Please call time with {"time_zone": "Europe/Paris"}';
  const { run_id: id, session_id: session } = await say({ metadata, harness }, { messages: [user(text)] });
  const driven = { id, steps: 2, tool_calls: 1 };
  await expect
    .poll(async () => (await json("GET", `/v1/runs?metadata.case=${metadata.case}`)).data, SOON)
    .toMatchObject([driven]);
  await expect.poll(() => rowsOf(session), SOON).toBe(2);
  expect(await walk(`/v1/runs?session_id=${session}`, 1)).toEqual([id]);
  expect((await json("GET", `/v1/sessions/${session}/runs`)).data).toMatchObject([driven]);
});

const rowsOf = async (session: string): Promise<number> =>
  (await env.DB.prepare("SELECT 1 FROM call_records WHERE session_id = ?").bind(session).all()).results.length;

describe("a plain call, read as a run", () => {
  let rhone: Rhone;
  beforeEach(async () => {
    rhone = await say();
  });

  it("has one step, and what else a run has", async () => {
    const { run_id: id, call_id, turn_id } = rhone;
    const step = {
      object: "run.step",
      run_id: id,
      step: 1,
      status: "committed",
      call_id,
      turn_id,
      tool_executions: [],
    };
    expect(await listOf(id, "steps")).toEqual([step]);
    expect(await listOf(id, "events")).toEqual([
      { type: "run.started", run_id: id, at: expect.any(String) },
      { type: "step", ...step },
    ]);
    expect(await listOf(id, "tool-executions")).toEqual([]);
    expect(await listOf(id, "checkpoints")).toEqual([]);
    expect(await json("GET", `/v1/runs/${id}/effective-request`)).toMatchObject({
      object: "effective_request",
      run_id: id,
      call: { model: "demo", input: [{ type: "input", text: "My name is Alice." }] },
      tools: [],
      limits: {},
    });
    expect((await send("GET", `/v1/runs/${id}/tool-executions/tex_x`)).status).toBe(404);
  });

  it("is refused what only a driven run can do, with what to use instead", async () => {
    const { run_id: id, call_id: call, session_id: session } = rhone;
    for (const [verb, body, instead] of [
      ["resume", { tool_results: [] }, "the next call"],
      ["interrupt", {}, `POST /v1/runs/${id}:cancel`],
      ["replay", {}, `POST /v1/sessions/${session}:replay`],
    ] as const) {
      const [status, error] = await refusalOf(send("POST", `/v1/runs/${id}:${verb}`, body));
      expect([verb, status, error]).toMatchObject([verb, 409, { code: "request.invalid", details: { param: "id" } }]);
      expect(error.message).toContain(instead);
    }
    expect(await json("POST", `/v1/runs/${id}:cancel`)).toMatchObject({ id, status: "completed" });
    const replayed = await json("POST", `/v1/sessions/${session}:replay`, { from: call });
    expect(replayed).toMatchObject({ turns: [{ replay_of: rhone.turn_id, status: "completed" }] });
  });

  it("stays readable when its session is deleted, without its content", async () => {
    const { run_id: id, session_id: session } = rhone;
    await expect.poll(() => rowsOf(session), SOON).toBe(1);
    await json("DELETE", `/v1/sessions/${session}`);
    const shown = await json("GET", `/v1/runs/${id}`);
    expect([shown.status, shown.steps, shown.output]).toEqual(["completed", 1, undefined]);
    expect(await listOf(id, "steps")).toMatchObject([{ call_id: rhone.call_id, status: "committed" }]);
    expect(await json("GET", `/v1/runs/${id}/effective-request`)).toMatchObject({ call: { model: "demo" } });
    expect((await send("GET", `/v1/runs/${id}:stream`)).status).toBe(404);
  });

  it("is another organisation's for no one else, and needs the scope of runs", async () => {
    const { run_id: id, session_id: session } = rhone;
    const { headers } = await newOrganization();
    for (const part of ["", "/steps", "/effective-request", ":stream"])
      expect([part, (await request(`/v1/runs/${id}${part}`, { headers })).status]).toEqual([part, 404]);
    for (const verb of ["cancel", "resume", "replay"])
      expect((await request(`/v1/runs/${id}:${verb}`, { method: "POST", headers })).status).toBe(404);
    const list = await (await request("/v1/runs", { headers })).json<{ data: Json[] }>();
    expect(list.data).toEqual([]);
    const key = await newKey(["runs:write", "inference"]);
    expect((await send("GET", `/v1/runs/${id}`, undefined, key)).status).toBe(403);
    const { token } = await json("POST", `/v1/sessions/${session}:token`, { scopes: ["sessions:read"] });
    const other = await say();
    for (const run_id of [id, other.run_id])
      expect((await send("GET", `/v1/runs/${run_id}`, undefined, token as string)).status).toBe(403);
  });
});

it("a plain call that is running is read, followed and cancelled as a run", async () => {
  const session = (await say()).session_id;
  const response = await post({
    model: "fake/slow",
    stream: true,
    messages: [user("x")],
    rhone: { session_id: session, context_mode: "stateful" },
  });
  const id = response.headers.get("x-rhone-call-id")!.replace(/^call/, "run");
  const running = await json("GET", `/v1/runs/${id}`);
  expect([running.status, running.stop_reason, running.ended_at]).toEqual(["running", undefined, undefined]);
  expect(await listOf(id, "steps")).toMatchObject([{ status: "calling" }]);
  const followed = await send("GET", `/v1/runs/${id}:stream`);
  expect([followed.status, followed.headers.get("content-type")]).toEqual([
    200,
    expect.stringContaining("text/event-stream"),
  ]);
  const cancelled = { id, status: "cancelled", stop_reason: "cancelled", error: { code: "stream.interrupted" } };
  expect(await json("POST", `/v1/runs/${id}:cancel`)).toMatchObject(cancelled);
  expect(await followed.text()).toContain("chat.completion.chunk");
  await response.text();
  expect(await json("GET", `/v1/runs/${id}`)).toMatchObject(cancelled);
  expect(await listOf(id, "steps")).toMatchObject([{ status: "dropped" }]);
  await expect.poll(() => walk(`/v1/runs?session_id=${session}&status=cancelled`, 10), SOON).toEqual([id]);
});
