import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { baseUrl, type RhoneRequest } from "./gateway.ts";
import {
  alice,
  client,
  completions,
  failureOf,
  inSessionOf,
  read,
  shown,
  textOf,
  user,
  whatName,
} from "./openai-client.ts";

describe("a whole answer", () => {
  it("a whole answer is of the SDK's own type, with the gateway's object beside it", async () => {
    const answer = await completions.create(alice);
    expect(answer).toMatchObject({
      object: "chat.completion",
      model: "demo",
      choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant" } }],
      usage: { prompt_tokens: 4, completion_tokens: 8, total_tokens: 12 },
      rhone: { session_id: expect.stringMatching(/^sess_/) as string, context: { mode: "stateful", turns: 0 } },
    });
    expect(textOf(answer)).toBe("I will remember that your name is Alice.");
  });

  it("the headers of an answer name its session, call, model and provider", async () => {
    const { data, response, request_id } = await completions.create(alice).withResponse();
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "x-rhone-session-id": data.rhone!.session_id,
      "x-rhone-call-id": data.rhone!.call_id,
      "x-rhone-model": "demo",
      "x-rhone-provider": "demo",
    });
    expect(request_id).toBe(response.headers.get("x-request-id"));
    expect(request_id).not.toBeNull();
  });

  it("a whole answer has nothing of the gateway's on request", async () => {
    const headers = { "x-rhone-annotate": "headers" };
    const { data, response } = await completions.create(alice, { headers }).withResponse();
    expect(data).not.toHaveProperty("rhone");
    const next = await completions.create(whatName, {
      headers: { ...headers, "x-rhone-session-id": response.headers.get("x-rhone-session-id")! },
    });
    expect([next.rhone, textOf(next)]).toEqual([undefined, "Your name is Alice."]);
  });

  it("the SDK's compatibility path leads to the same routes", async () => {
    const compat = client.withOptions({ baseURL: `${baseUrl}/v1/compat/openai` });
    expect(textOf(await compat.chat.completions.create(alice))).toContain("Alice");
  });
});

describe("a session", () => {
  it("a session answers from its earlier messages", async () => {
    const first = await completions.create(alice);
    const second = await completions.create({ ...whatName, ...inSessionOf(first) });
    expect(textOf(second)).toBe("Your name is Alice.");
    expect(second.rhone).toMatchObject({ session_id: first.rhone!.session_id, context: { turns: 1 } });
  });

  it("a session is not needed by a client that sends everything itself", async () => {
    const first = await completions.create(alice);
    const messages = [...alice.messages, first.choices[0]!.message, ...whatName.messages];
    const stateless = { model: "demo", messages, rhone: { context_mode: "stateless" } } as const;
    expect(textOf(await completions.create(stateless))).toBe("Your name is Alice.");
  });

  it("a session does not double a transcript that is sent in full", async () => {
    const first = await completions.create(alice);
    const messages = [...alice.messages, first.choices[0]!.message, ...whatName.messages];
    const session = inSessionOf(first);
    expect(textOf(await completions.create({ model: "demo", messages, ...session }))).toBe("Your name is Alice.");
    expect((await shown(session)).map(({ role }) => role)).toEqual(["user", "assistant", "user", "assistant", "user"]);
  });

  it("a session goes on with another model, whole and streamed", async () => {
    const first = await completions.create({ ...alice, model: "fake/say" });
    const session = inSessionOf(first);
    const second = await read(await completions.create({ ...whatName, ...session, stream: true }));
    expect(second.text).toBe("Your name is Alice.");
    expect((await shown(session)).map(({ content }) => content)).toEqual([
      "My name is Alice.",
      "Said say.",
      "What's my name?",
      "Your name is Alice.",
      "and?",
    ]);
  });

  it("a session answers all calls that arrive at once", async () => {
    const session = inSessionOf(await completions.create(alice));
    const calls = Array.from({ length: 8 }, () => completions.create({ ...whatName, ...session }));
    const answers = await Promise.all(calls);
    expect(answers.map(textOf)).toEqual(Array.from({ length: 8 }, () => "Your name is Alice."));
    const depths = answers.map(({ rhone }) => rhone!.context.turns);
    expect(depths.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it("a session stores every character", async () => {
    const odd = 'Füße, 日本語, עברית, 👩‍👩‍👧‍👦, "quoted\\", \u2028 and \u0007';
    const first = await completions.create({ model: "demo", messages: [user(odd)] });
    expect(textOf(first)).toBe(`You said: ${odd}`);
    const streamed = await completions.create({ model: "demo", messages: [user(odd)], stream: true });
    expect((await read(streamed)).text).toBe(`You said: ${odd}`);
    expect((await shown(inSessionOf(first))).slice(0, 2)).toMatchObject([
      { content: odd },
      { content: `You said: ${odd}` },
    ]);
  });
});

describe("a stream", () => {
  it("a stream arrives chunk by chunk, and has its session from the first", async () => {
    const { chunks, text } = await read(await completions.create({ ...alice, stream: true }));
    expect(text).toBe("I will remember that your name is Alice.");
    expect(chunks.length).toBeGreaterThan(5);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason ?? null).filter(Boolean)).toEqual(["stop"]);
    expect(chunks.at(-1)!.rhone!.session_id).toBe(chunks[0]!.rhone!.session_id);
    const second = await completions.create({ ...whatName, ...inSessionOf(chunks[0]!) });
    expect(textOf(second)).toBe("Your name is Alice.");
  });

  it("a stream has its usage on request, and only then", async () => {
    const said = { ...alice, stream: true } as const;
    const asked = await read(await completions.create({ ...said, stream_options: { include_usage: true } }));
    expect(asked.chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 4, completion_tokens: 8, total_tokens: 12 },
    });
    const { chunks } = await read(await completions.create(said));
    expect(chunks.filter(({ usage }) => usage)).toEqual([]);
  });

  it("a stream has nothing of the gateway's on request", async () => {
    const options = { headers: { "x-rhone-annotate": "headers" } };
    const { data, response } = await completions.create({ ...alice, stream: true }, options).withResponse();
    const { chunks, text } = await read(data);
    expect([text, chunks.filter((chunk) => "rhone" in chunk)]).toEqual([
      "I will remember that your name is Alice.",
      [],
    ]);
    expect(response.headers.get("x-rhone-session-id")).toMatch(/^sess_/);
  });

  it("a stream is joined by the SDK's helper", async () => {
    const stream = completions.stream({ ...alice, stream_options: { include_usage: true } });
    const heard: string[] = [];
    const ends: string[] = [];
    stream.on("content", (delta) => heard.push(delta));
    stream.on("error", () => ends.push("error"));
    stream.on("end", () => ends.push("end"));
    const final = await stream.finalChatCompletion();
    expect(heard.join("")).toBe("I will remember that your name is Alice.");
    expect(ends).toEqual(["end"]);
    expect(textOf(final)).toBe(heard.join(""));
    expect(final.choices[0]!.finish_reason).toBe("stop");
    expect(final.usage).toMatchObject({ completion_tokens: 8 });
    expect(final.rhone).toMatchObject({ session_id: expect.stringMatching(/^sess_/) as string });
  });

  it("a stream of ten thousand chunks is read by the SDK to the last", async () => {
    const { text } = await read(await completions.create({ ...alice, model: "fake/long-10000", stream: true }));
    expect(text).toBe(Array.from({ length: 10_000 }, (_, i) => `${i} `).join(""));
  });
});

describe("a client that leaves", () => {
  /** Aborts when the first words are here, and gives what the provider is shown next. */
  async function leave(model: string, rhone: RhoneRequest = {}): Promise<unknown[]> {
    const session = inSessionOf(await completions.create({ model: "fake/say", messages: [user("hello")] }));
    const abort = new AbortController();
    const stream = await completions.create(
      { model, messages: [user("count")], stream: true, rhone: { ...session.rhone, ...rhone } },
      { signal: abort.signal },
    );
    for await (const { choices } of stream) if (choices[0]?.delta.content) abort.abort();
    return (await shown(session)).map(({ content }) => content);
  }

  it("a client that left finds the reply complete when it comes back", async () => {
    expect(await leave("fake/slow")).toEqual(["hello", "Said say.", "count", "One two three.", "and?"]);
  });

  it("a client that left finds nothing of the reply if `on_disconnect` was cancel", async () => {
    expect(await leave("fake/long-100000", { on_disconnect: "cancel" })).toEqual(["hello", "Said say.", "and?"]);
  });
});

describe("tools", () => {
  const parameters = { type: "object", properties: { city: { type: "string" } } };
  const getWeather = { type: "function", function: { name: "get_weather", parameters } } as const;
  const askWeather = { model: "demo", messages: [user('call get_weather with {"city":"Paris"}')], tools: [getWeather] };

  it("tools are called, and their result is accepted as the session's next message", async () => {
    const first = await completions.create(askWeather);
    const { finish_reason, message } = first.choices[0]!;
    expect(finish_reason).toBe("tool_calls");
    const [call] = message.tool_calls!;
    expect(call).toMatchObject({ type: "function", function: { name: "get_weather", arguments: '{"city":"Paris"}' } });
    const result = { role: "tool", tool_call_id: call!.id, content: "Sunny, 21 °C" } as const;
    const second = await completions.create({ ...askWeather, messages: [result], ...inSessionOf(first) });
    expect(textOf(second)).toBe("The tool says: Sunny, 21 °C");
  });

  it("tools are called in a stream", async () => {
    const stream = completions.stream(askWeather);
    const [choice] = (await stream.finalChatCompletion()).choices;
    expect(choice).toMatchObject({
      finish_reason: "tool_calls",
      message: { tool_calls: [{ function: { name: "get_weather", arguments: '{"city":"Paris"}' } }] },
    });
  });

  const runnable = {
    ...askWeather,
    tools: [
      {
        type: "function" as const,
        function: {
          name: "get_weather",
          description: "The weather of a city",
          parameters,
          parse: JSON.parse as (text: string) => { city: string },
          function: ({ city }: { city: string }) => `Sunny in ${city}`,
        },
      },
    ],
  };

  it("tools are run by the SDK's loop, whose transcripts the session recognises", async () => {
    const runner = completions.runTools({ ...runnable, ...inSessionOf(await completions.create(alice)) });
    expect(await runner.finalContent()).toBe("The tool says: Sunny in Paris");
    expect(runner.allChatCompletions().map(({ rhone }) => rhone!.context.turns)).toEqual([1, 2]);
  });

  it("tools are run by the SDK's loop in a stream, without a session", async () => {
    const runner = completions.runTools({ ...runnable, stream: true });
    expect(await runner.finalContent()).toBe("The tool says: Sunny in Paris");
  });
});

describe("models", () => {
  it("models are listed, and each can be retrieved", async () => {
    const models: OpenAI.Model[] = [];
    for await (const model of client.models.list()) models.push(model);
    expect(models.map(({ id }) => id)).toEqual(expect.arrayContaining(["demo", "fake/*"]));
    expect(await client.models.retrieve("demo")).toMatchObject({ id: "demo", object: "model", owned_by: "demo" });
    for (const model of models) expect(await client.models.retrieve(model.id)).toEqual(model);
  });

  it("a model that does not exist is a NotFoundError", async () => {
    expect(await failureOf(client.models.retrieve("no-such-model"))).toBeInstanceOf(OpenAI.NotFoundError);
  });
});
