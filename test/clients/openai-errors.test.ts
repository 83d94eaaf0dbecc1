import OpenAI from "openai";
import type { ChatCompletionChunk, ChatCompletionMessageParam } from "openai/resources/chat/completions";
import { describe, expect, it } from "vitest";
import { alice, client, completions, failureOf, inSessionOf, read, textOf, user, whatName } from "./openai-client.ts";

describe.each([
  ["whole", {}],
  ["streamed", { stream: true }],
] as const)("a %s call that is refused", (_, stream) => {
  const call = (body: object, using = client): Promise<unknown> =>
    failureOf(using.chat.completions.create({ ...alice, ...stream, ...body }));

  it("a call with a wrong key is an AuthenticationError", async () => {
    const error = await call({}, client.withOptions({ apiKey: "rhone_sk_wrong" }));
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(error).toMatchObject({ status: 401, code: "auth.invalid", type: "authentication_error" });
  });

  it.each([
    ["the gateway", { messages: [] }, "messages", "request.invalid"],
    ["the gateway, of our own object", { rhone: { sesion_id: "sess_x" } }, "rhone.sesion_id", "request.invalid"],
    ["the provider", { model: "fake/refuse" }, "max_tokens", "too_large"],
  ])("a refusal by %s is a BadRequestError that names the field", async (_, body, param, code) => {
    const error = await call(body);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ status: 400, param, code, message: expect.stringContaining(param) as string });
  });

  it("a refusal in a shape that is not OpenAI's is the SDK's error all the same", async () => {
    const error = await call({ model: "fake/flat" });
    expect(error).toBeInstanceOf(OpenAI.UnprocessableEntityError);
    expect(error).toMatchObject({ code: "3051", message: "422 Flat refusal" });
  });

  it.each([
    [{ model: "no-such-model" }, "model.not_found"],
    [{ rhone: { session_id: "sess_typo" } }, "session.not_found"],
  ])("a call for what does not exist is a NotFoundError: %o", async (body, code) => {
    const error = await call(body);
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ status: 404, code });
  });

  it("a call above the rate limit is a RateLimitError with the time to wait", async () => {
    const error = await call({ model: "fake/limited" });
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error).toMatchObject({ code: "rate_limit", message: "429 Slow down" });
    expect((error as InstanceType<typeof OpenAI.RateLimitError>).headers.get("retry-after")).toBe("7");
  });

  it("a call of a busy session is a ConflictError with the time to wait", async () => {
    const slow = await completions.create({ model: "fake/slow", messages: [user("count")], stream: true });
    const chunks = slow[Symbol.asyncIterator]();
    const first = (await chunks.next()).value as ChatCompletionChunk;
    const error = await call({ rhone: { session_id: first.rhone!.session_id, on_busy: "reject" } });
    expect(error).toBeInstanceOf(OpenAI.ConflictError);
    expect(error).toMatchObject({ code: "session.busy" });
    expect((error as InstanceType<typeof OpenAI.ConflictError>).headers.get("retry-after")).toBe("1");
    await chunks.return?.();
  });

  it.each([
    ["broken", 500, "Internal trouble"],
    ["garbage", 502, "not JSON"],
  ])("a call of a provider in trouble is an InternalServerError: %s", async (script, status, message) => {
    const error = await call({ model: `fake/${script}` });
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect(error).toMatchObject({ status, message: expect.stringContaining(message) as string });
    expect((error as InstanceType<typeof OpenAI.APIError>).requestID).toBeTruthy();
  });
});

describe.each([
  ["stateful", {}],
  ["stateless", { rhone: { context_mode: "stateless" } }],
] as const)("a %s stream that breaks", (_, mode) => {
  const broken = (script: string): { model: string; messages: ChatCompletionMessageParam[] } => ({
    ...alice,
    ...mode,
    model: `fake/${script}`,
  });
  const scripts = [
    ["cut", "stream.interrupted"],
    ["empty", "stream.interrupted"],
    // A malformed event is left out; the stream is cut behind it.
    ["notjson", "stream.interrupted"],
    ["failing", "overloaded"],
    // A reset may overtake what was sent before it; then nothing of the answer is there.
    ["reset", expect.stringMatching(/^(stream\.interrupted|provider\.unavailable)$/) as string],
  ] as const;

  it.each(scripts)("a stream that breaks throws an APIError and never ends as a success: %s", async (script, code) => {
    const error = await failureOf(completions.create({ ...broken(script), stream: true }).then(read));
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ code, message: expect.stringMatching(/\w/) as string });
  });

  it.each(scripts)(
    "a stream that breaks throws an APIError through the SDK's helper, too: %s",
    async (script, code) => {
      const stream = completions.stream(broken(script));
      const error = await failureOf(stream.finalChatCompletion());
      expect(error).toBeInstanceOf(OpenAI.APIError);
      expect(error).toMatchObject({ code });
      expect([stream.errored, stream.ended]).toEqual([true, true]);
    },
  );
});

it("a malformed event is left out, reported as a loss, and the stream goes on", async () => {
  const body = { ...alice, model: "fake/fault-malformed-between.sdk" };
  const { chunks, text } = await read(await completions.create({ ...body, stream: true }));
  expect([text, chunks.findLast(({ choices }) => choices.length > 0)!.choices[0]!.finish_reason]).toEqual([
    "Said fault.",
    "stop",
  ]);
  expect(chunks.at(-1)!.rhone).toMatchObject({ losses: [{ at: "stream", what: "dropped" }] });
  const final = await completions.stream(body).finalChatCompletion();
  expect(final.choices[0]!.message.content).toBe("Said fault.");
});

it("a broken stream leaves the session as it was", async () => {
  const session = inSessionOf(await completions.create(alice));
  await failureOf(read(await completions.create({ ...alice, ...session, model: "fake/cut", stream: true })));
  const next = await completions.create({ ...whatName, ...session });
  expect([textOf(next), next.rhone!.context.turns]).toEqual(["Your name is Alice.", 1]);
});
