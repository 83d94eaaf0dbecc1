import { describe, expect, it } from "vitest";
import {
  crash,
  ended,
  headOf,
  json,
  send,
  storeHarness,
  toolLog,
  webhook,
  type Json,
} from "../../support/runs/client.ts";
import { answered, call, plan } from "../../support/runs/tool-calls.ts";
import { request } from "../../support/worker/client.ts";

const TIME = { tools: [{ type: "native", name: "time" }] };
type Item = Json & { id: string; type: string; content?: { text: string }[] };

type Crashed = { run: string; id: string; session: string };

/** A streamed call whose tool is running when its object crashes, when its run has gone on to its end. `id`: that the stream has named. */
async function crashed(test: string, path: string, { rhone, ...body }: Json): Promise<Crashed> {
  const look = webhook("look", `${test}/never-once`, { effect: "read_only", timeout_ms: 60_000 });
  const response = await request(path, {
    method: "POST",
    body: JSON.stringify({ stream: true, ...body, rhone: rhone ?? { tools: [look] } }),
  });
  const run = response.headers.get("x-rhone-run-id")!;
  const reading = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reading.read();
  await expect.poll(async () => (await toolLog(test)).length).toBe(1);
  await crash(run);
  await reading.cancel().catch(() => {});
  expect((await ended(run)).status).toBe("completed");
  const session = response.headers.get("x-rhone-session-id")!;
  return { run, id: /"id":"((?:resp|chatcmpl)[^"]+)"/.exec(value)![1]!, session };
}

describe("an answer that was finished after a restart", () => {
  it.each([
    ["fakeresp/plan", "stored-own"],
    ["fake/plan", "stored-other"],
  ])("is the stored response of a call of %s", async (model, test) => {
    const text = plan([call("look")], "Over.");
    const made = await crashed(test, "/v1/responses", { model, input: text });
    const stored = await json("GET", `/v1/responses/${made.id}`);
    expect(stored).toMatchObject({ id: made.id, status: "completed", error: null, object: "response" });
    const whole = await answered("responses", plan([call("time")], "Over."), { rhone: TIME, more: { model } });
    expect(Object.keys(stored)).toEqual(Object.keys(whole.whole).filter((member) => member !== "rhone"));
    const output = stored.output as Item[];
    expect(output.map(({ type }) => type)).toEqual((whole.whole.output as Item[]).map(({ type }) => type));
    expect(stored.usage).toEqual(whole.whole.usage);
    expect(JSON.stringify(stored)).not.toMatch(/function_call|"look"/);
    const later = await answered("responses", plan("Bye."), { more: { model, previous_response_id: made.id } });
    const { data } = await json("GET", `/v1/responses/${later.whole.id as string}/input_items?order=asc`);
    expect((data as Item[]).slice(1, -1).map(({ id }) => id)).toEqual(output.map(({ id }) => id));
    expect(((await json("GET", `/v1/responses/${made.id}/input_items`)).data as Item[]).length).toBe(1);
  });

  it("is the stored chat completion", async () => {
    const messages = [{ role: "user", content: plan([call("look")], "Over.") }];
    const body = { model: "fake/plan", messages, store: true, metadata: { a: "b" } };
    const { id } = await crashed("stored-chat", "/v1/chat/completions", body);
    const stored = await json("GET", `/v1/chat/completions/${id}`);
    expect(stored).toMatchObject({
      id,
      object: "chat.completion",
      metadata: { a: "b" },
      choices: [{ finish_reason: "stop", message: { content: "Let me look.\n\nOver." } }],
    });
    expect((stored.usage as Json).completion_tokens).toBeGreaterThan(0);
    const listed = (await json("GET", `/v1/chat/completions/${id}/messages`)).data as Json[];
    expect(listed).toMatchObject([{ role: "user", content: messages[0]!.content }]);
  });

  it("is stored, and goes on, where no reply of the model ends it", async () => {
    const look = { http: "look", url: "https://tools.example.com/stored-stop/never-once", effect: "read_only" };
    await storeHarness("stored-stop", { tools: [look], stop: [{ tool: "look" }] });
    const made = await crashed("stored-stop", "/v1/responses", {
      model: "fakeresp/plan",
      input: plan([call("look")], "Never."),
      rhone: { harness: "harness_stored-stop" },
    });
    const stored = await json("GET", `/v1/responses/${made.id}`);
    expect([stored.status, (stored.output as Item[]).at(-1)!.content]).toMatchObject([
      "completed",
      [{ text: "Let me look." }],
    ]);
    expect(await headOf(made.session)).toBe(made.run.replace("run", "turn"));
  });

  it("is not stored if its client did not want that", async () => {
    const { id } = await crashed("stored-not", "/v1/responses", {
      model: "fakeresp/plan",
      input: plan([call("look")], "Over."),
      store: false,
    });
    expect((await send("GET", `/v1/responses/${id}`)).status).toBe(404);
  });
});

it.each([false, true])("an answer that ends at a limit is the stored response (stream: %s)", async (stream) => {
  await storeHarness(`at-limit-${stream}`, { tools: [{ native: "time" }], limits: { max_turns: 1 } });
  const rhone = { harness: `harness_at-limit-${stream}` };
  const answer = await answered("responses", plan([call("time")], "Never."), { stream, rhone });
  const stored = await json("GET", `/v1/responses/${answer.whole.id as string}`);
  expect(stored).toMatchObject({ status: answer.whole.status, output: answer.whole.output });
});
