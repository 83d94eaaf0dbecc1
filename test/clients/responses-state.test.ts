import OpenAI from "openai";
import type { Response as Answer } from "openai/resources/responses/responses";
import { describe, expect, it, vi } from "vitest";
import { baseUrl, key } from "./gateway.ts";
import { failureOf, PROVIDERS, readAll } from "./matrix.ts";

const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });
const { responses } = client;

/** What the provider was sent, as its model answers with it. */
const seen = ({ output_text }: Answer): string => output_text;

describe.each(PROVIDERS)("OpenAI's own state on %s", (provider) => {
  const mirror = `${provider}/mirror`;
  const say = `${provider}/say`;

  it("a response is continued at once, without its instructions", async () => {
    const first = await responses.create({ model: say, input: "My name is Alice.", instructions: "Be brief." });
    const next = await responses.create({ model: mirror, input: "And?", previous_response_id: first.id });
    expect(next.previous_response_id).toBe(first.id);
    expect(seen(next)).toContain("My name is Alice.");
    expect(seen(next)).toContain("Said say.");
    expect(seen(next)).not.toContain("Be brief.");
    // Places of ours mean nothing to a provider.
    expect(seen(next)).not.toContain("previous_response_id");
  });

  it("a streamed response is continued, with the system messages of its input", async () => {
    const input = [
      { role: "system" as const, content: "Speak like a pirate." },
      { role: "user" as const, content: "One." },
    ];
    const { id } = await responses.stream({ model: say, input }).finalResponse();
    const next = responses.stream({ model: mirror, input: "Two.", previous_response_id: id, instructions: "Be kind." });
    const answer = await next.finalResponse();
    expect(answer.previous_response_id).toBe(id);
    for (const words of ["One.", "Said say.", "Two.", "Speak like a pirate.", "Be kind."])
      expect(seen(answer)).toContain(words);
  });

  it("an old response can be continued beside a newer one", async () => {
    const root = await responses.create({ model: say, input: "Root." });
    const left = await responses.create({ model: say, input: "Left.", previous_response_id: root.id });
    const right = await responses.create({ model: mirror, input: "Right.", previous_response_id: root.id });
    expect(seen(right)).toContain("Root.");
    expect(seen(right)).not.toContain("Left.");
    const again = await responses.create({ model: mirror, input: "More.", previous_response_id: left.id });
    expect(seen(again)).toContain("Left.");
    expect(seen(again)).not.toContain("Right.");
  });

  it("a response with tool calls is continued with their results, and with no others", async () => {
    const first = await responses.create({ model: `${provider}/tools`, input: "Weather?" });
    const results = first.output.flatMap((item, i) =>
      item.type === "function_call"
        ? [{ type: "function_call_output" as const, call_id: item.call_id, output: ["sunny", "rainy"][i % 2]! }]
        : [],
    );
    const next = { model: `${provider}/tools`, previous_response_id: first.id };
    expect((await responses.create({ ...next, input: results })).output_text).toMatch(/^It is (sunny|rainy) and/);
    const stray = { type: "function_call_output" as const, call_id: "call_nobody_made", output: "x" };
    const error = await failureOf(responses.create({ ...next, input: [stray] }));
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect((error as Error).message).toContain(
      "No tool call found for function call output with call_id call_nobody_made",
    );
  });

  it("a stored response is returned again, whole and streamed, and its input items are listed", async () => {
    const first = await responses.create({ model: say, input: "One." });
    const answer = await responses
      .stream({ model: say, input: "Two.", previous_response_id: first.id })
      .finalResponse();
    const { output_parsed: _, ...told } = answer as Answer & { output_parsed: unknown; rhone: unknown };
    const kept = await responses.retrieve(answer.id);
    expect(kept).toMatchObject({ id: answer.id, status: "completed", output_text: "Said say.", usage: told.usage });
    const events = await readAll(await responses.retrieve(answer.id, { stream: true }));
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_event, i) => i));
    expect(events.at(-1)).toMatchObject({ type: "response.completed", response: { id: answer.id } });
    const rest = await readAll(await responses.retrieve(answer.id, { stream: true, starting_after: 3 }));
    expect(rest).toEqual(events.slice(4));
    const items = await readAll(responses.inputItems.list(answer.id, { order: "asc", limit: 2 }));
    expect(items.map((item) => JSON.stringify(item))).toEqual([
      expect.stringContaining("One."),
      expect.stringContaining("Said say."),
      expect.stringContaining("Two."),
    ]);
    const newest = await responses.inputItems.list(answer.id, { limit: 1 });
    expect(newest).toMatchObject({ has_more: true, data: [{ type: "message", role: "user" }] });
  });

  it("a deleted response is neither found nor continued", async () => {
    const { id } = await responses.create({ model: say, input: "Hello" });
    await responses.delete(id);
    expect(await failureOf(responses.retrieve(id))).toBeInstanceOf(OpenAI.NotFoundError);
    expect(await failureOf(responses.delete(id))).toBeInstanceOf(OpenAI.NotFoundError);
    const error = await failureOf(responses.create({ model: say, input: "x", previous_response_id: id }));
    expect(error).toMatchObject({ status: 400, code: "previous_response_not_found", param: "previous_response_id" });
  });

  it("an unstored response is not found by its id, but its session goes on", async () => {
    const { data, response } = await responses.create({ model: say, input: "Secret.", store: false }).withResponse();
    expect(data).toMatchObject({ store: false });
    expect(await failureOf(responses.retrieve(data.id))).toBeInstanceOf(OpenAI.NotFoundError);
    const error = await failureOf(responses.create({ model: say, input: "x", previous_response_id: data.id }));
    expect(error).toMatchObject({ status: 400, code: "previous_response_not_found" });
    const headers = { "x-rhone-session-id": response.headers.get("x-rhone-session-id")! };
    expect(seen(await responses.create({ model: mirror, input: "And?" }, { headers }))).toContain("Secret.");
  });

  it("a background response is queued, polled, and resumed from any event", async () => {
    const queued = await responses.create({ model: `${provider}/fault-pauses`, input: "Hello", background: true });
    expect(queued).toMatchObject({ status: "queued", background: true, output: [] });
    expect(queued.id).toMatch(/^resp_/);
    const events = await readAll(await responses.retrieve(queued.id, { stream: true }));
    expect(events.at(-1)).toMatchObject({ type: "response.completed", response: { id: queued.id, background: true } });
    const rest = await readAll(await responses.retrieve(queued.id, { stream: true, starting_after: 2 }));
    expect(rest).toEqual(events.slice(3));
    expect(await responses.retrieve(queued.id)).toMatchObject({ id: queued.id, status: "completed", background: true });
    const next = await responses.create({ model: mirror, input: "And?", previous_response_id: queued.id });
    expect(seen(next)).toContain("Hello");
  });

  it("a background response can be polled to its end", async () => {
    const { id } = await responses.create({ model: say, input: "Hello", background: true });
    await vi.waitFor(async () => expect((await responses.retrieve(id)).status).toBe("completed"), { timeout: 10_000 });
    expect((await responses.retrieve(id)).output_text).toBe("Said say.");
  });

  it("the stream of a background response outlives its client", async () => {
    const stream = await responses.create({
      model: `${provider}/fault-pauses`,
      input: "Hello",
      background: true,
      stream: true,
    });
    let id = "";
    let last = -1;
    for await (const event of stream) {
      if (event.type === "response.created") ({ id } = event.response);
      last = event.sequence_number;
      if (last === 2) break;
    }
    const rest = await readAll(await responses.retrieve(id, { stream: true, starting_after: last }));
    expect(rest[0]!.sequence_number).toBe(3);
    expect(rest.at(-1)).toMatchObject({ type: "response.completed" });
  });

  it("a background response can be cancelled, again and again", async () => {
    const { id } = await responses.create({ model: `${provider}/fault-stall`, input: "Hello", background: true });
    await vi.waitFor(async () => expect((await responses.retrieve(id)).status).toBe("in_progress"));
    expect(await responses.cancel(id)).toMatchObject({ id, status: "cancelled" });
    expect(await responses.cancel(id)).toMatchObject({ id, status: "cancelled" });
    expect((await responses.retrieve(id)).status).toBe("cancelled");
    const error = await failureOf(responses.create({ model: say, input: "x", previous_response_id: id }));
    expect(error).toMatchObject({ status: 400, code: "previous_response_not_found" });
  });

  it("a background response that failed reports its error", async () => {
    const { id } = await responses.create({ model: `${provider}/refuse`, input: "Hello", background: true });
    await vi.waitFor(async () => expect((await responses.retrieve(id)).status).toBe("failed"), { timeout: 10_000 });
    expect((await responses.retrieve(id)).error).toMatchObject({ message: "max_tokens is too large" });
    const told = readAll(await responses.retrieve(id, { stream: true }));
    expect(await failureOf(told)).toMatchObject({ message: "max_tokens is too large" });
  });
});

describe("OpenAI's own state", () => {
  it("a response of one provider can be continued by the next one", async () => {
    let previous: string | undefined;
    for (const provider of PROVIDERS) {
      const answer = await responses.create({
        model: `${provider}/say`,
        input: `Said to ${provider}.`,
        ...(previous !== undefined && { previous_response_id: previous }),
      });
      previous = answer.id;
    }
    const last = await responses.create({ model: "fakechat/mirror", input: "All?", previous_response_id: previous! });
    for (const provider of PROVIDERS) expect(seen(last)).toContain(`Said to ${provider}.`);
  });

  it("a response is a turn of a session on any surface", async () => {
    const asked = { input: "My name is Alice." };
    const { data, response } = await responses.create({ model: "fakeresp/say", ...asked }).withResponse();
    const session_id = response.headers.get("x-rhone-session-id")!;
    const ours = await responses.create({ model: "demo", ...asked });
    // An id of ours says where it is; a provider's own is looked for in its session.
    for (const rhone of [{ session_id, parent: data.id }, { parent: ours.id }]) {
      const messages = [{ role: "user", content: "What's my name?" }];
      const chat = await client.chat.completions.create({ model: "demo", messages, rhone } as never);
      expect(chat.choices[0]!.message.content).toBe("Your name is Alice.");
    }
  });

  const refused = async (body: object): Promise<unknown> =>
    failureOf(responses.create({ model: "demo", ...body } as never));

  it.each([
    [
      "an unknown response",
      { input: "x", previous_response_id: "resp_unknown" },
      { code: "previous_response_not_found" },
    ],
    [
      "a response with a place that is none",
      { input: "x", previous_response_id: `resp_${"0".repeat(78)}` },
      { code: "previous_response_not_found" },
    ],
    [
      "two places at once",
      { input: "x", previous_response_id: "resp_a", conversation: "conv_b" },
      { param: "conversation" },
    ],
    ["a background response that is not stored", { input: "x", background: true, store: false }, { param: "store" }],
    ["a place that is no text", { input: "x", previous_response_id: 7 }, { param: "previous_response_id" }],
    ["nothing to say", {}, { param: "input" }],
    [
      "a place in a stateless call",
      { input: "x", previous_response_id: "resp_a", rhone: { context_mode: "stateless" } },
      {},
    ],
  ])("a request with %s is refused", async (_, body, error) => {
    expect(await refused(body)).toMatchObject({ status: 400, ...error });
  });

  it.each([
    ["GET", "/responses/resp_unknown", 404],
    ["GET", "/responses/resp_unknown/input_items", 404],
    ["POST", "/responses/resp_unknown/cancel", 404],
    ["DELETE", "/responses/resp_unknown", 404],
  ])("the request %s %s is answered with %i in OpenAI's shape", async (method, path, status) => {
    const answer = await fetch(`${baseUrl}/v1${path}`, { method, headers: { authorization: `Bearer ${key}` } });
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({
      error: { type: "invalid_request_error", message: expect.any(String) as string },
    });
  });

  it("a response that does not run in the background cannot be cancelled", async () => {
    const { id } = await responses.create({ model: "demo", input: "hi" });
    expect(await failureOf(responses.cancel(id))).toBeInstanceOf(OpenAI.BadRequestError);
  });
});
