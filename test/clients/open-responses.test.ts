import { describe, expect, it } from "vitest";
import { decodeSse } from "../../src/wire/sse.ts";
import { PNG, PROVIDERS } from "./matrix.ts";
import { Connection, type Event, expectEvent, expectSchema, post, type Resource } from "./open-responses.ts";

/** The cases of Open Responses' compliance suite (version 2026-04-24), on every provider's wire. */
const message = (role: string, content: unknown, more: object = {}) => ({ type: "message", role, content, ...more });

async function responseTo(body: object): Promise<Resource> {
  const answer = await post("/responses", body);
  const text = await answer.text();
  expect(answer.status, text).toBe(200);
  const resource = JSON.parse(text) as Resource;
  expectSchema("ResponseResource", resource);
  return resource;
}

/** The final response of a turn over WebSocket, whose events all keep to their schemas. */
function finalOf(events: readonly Event[]): Resource {
  for (const event of events) expectEvent(event);
  const { response } = events.at(-1)!;
  expectSchema("ResponseResource", response);
  expect(response).toMatchObject({ status: "completed" });
  return response!;
}

function failureOf(events: readonly Event[]): string | null {
  const last = events.at(-1)!;
  if (last.type === "error") expectSchema("WebSocketErrorEvent", last);
  return last.error?.code ?? (last.response!.error as { code: string }).code;
}

describe.each(PROVIDERS)("Open Responses on %s", (provider) => {
  const model = `${provider}/say`;

  it.each([
    ["basic-response", [message("user", "Say hello in exactly 3 words.")]],
    [
      "assistant-phase",
      [
        message("assistant", "I should answer with the saved number.", { phase: "commentary" }),
        message("assistant", "The number is four.", { phase: "final_answer" }),
        message("user", "Repeat only the number."),
      ],
    ],
    [
      "system-prompt",
      [message("system", "You are a pirate. Always respond in pirate speak."), message("user", "Say hello.")],
    ],
    [
      "image-input",
      [
        message("user", [
          { type: "input_text", text: "What do you see in this image?" },
          { type: "input_image", image_url: `data:image/png;base64,${PNG}` },
        ]),
      ],
    ],
    [
      "multi-turn",
      [
        message("user", "My name is Alice."),
        message("assistant", "Hello Alice! Nice to meet you. How can I help you today?"),
        message("user", "What is my name?"),
      ],
    ],
  ])("%s", async (_, input) => {
    const { status, output } = await responseTo({ model, input });
    expect(status).toBe("completed");
    expect(output).not.toEqual([]);
  });

  it("tool-calling", async () => {
    const properties = { location: { type: "string", description: "The city and state, e.g. San Francisco, CA" } };
    const parameters = { type: "object", properties, required: ["location"] };
    const description = "Get the current weather for a location";
    const tools = [{ type: "function", name: "get_weather", description, parameters }];
    const input = [message("user", "What's the weather like in San Francisco?")];
    const { output } = await responseTo({ model: `${provider}/tools`, input, tools });
    expect(output).toContainEqual(expect.objectContaining({ type: "function_call" }));
  });

  it.each(["say", "think", "tools", "json", "decline"])(
    "streaming-response, of a model that would %s",
    async (script) => {
      const input = [message("user", "Count from 1 to 5.")];
      const answer = await post("/responses", { model: `${provider}/${script}`, input, stream: true });
      const told = decodeSse(new Uint8Array(await answer.arrayBuffer())).flatMap(({ event, data }) =>
        data === undefined ? [] : [{ event, data: JSON.parse(data) as Event }],
      );
      for (const { event, data } of told) {
        expect(event).toBe(data.type);
        expectEvent(data);
      }
      expectSchema("ResponseResource", told.at(-1)!.data.response);
      const whole = await responseTo({ model: `${provider}/${script}`, input });
      expect(told.at(-1)!.data.response!.status).toBe(whole.status);
    },
  );

  it("compact-response", async () => {
    const answer = await post("/responses/compact", {
      model,
      prompt_cache_key: "openresponses-compact-test",
      input: [
        message("user", "We agreed to launch on Tuesday and notify support first."),
        message("assistant", "Understood. The launch is Tuesday, with support notified beforehand."),
      ],
    });
    const compacted = (await answer.json()) as { object: string; output: { type: string }[] };
    expectSchema("CompactResource", compacted);
    expect(compacted.object).toBe("response.compaction");
    expect(compacted.output.map(({ type }) => type)).toContain("compaction");
  });

  it("websocket-response", async () => {
    const connection = await Connection.open();
    const input = [message("user", "Count from 1 to 3.")];
    expect(finalOf(await connection.turn({ type: "response.create", model, input })).output).not.toEqual([]);
    connection.close();
  });

  it("websocket-sequential-responses", async () => {
    const connection = await Connection.open();
    const create = { type: "response.create", model, store: false };
    for (const input of ["Reply with exactly: first", "Reply with exactly: second"])
      expect(finalOf(await connection.turn({ ...create, input })).output).not.toEqual([]);
    connection.close();
  });

  it("websocket-continuation", async () => {
    const connection = await Connection.open();
    const create = { type: "response.create", model: `${provider}/mirror`, store: false };
    const first = finalOf(
      await connection.turn({ ...create, input: "Remember the code word: cobalt. Reply with OK." }),
    );
    const continued = { ...create, previous_response_id: first.id, input: "What is the code word?" };
    const second = finalOf(await connection.turn(continued));
    expect(JSON.stringify(second.output)).toContain("cobalt");
    connection.close();
  });

  it("websocket-reconnect-store-false-recovery", async () => {
    const create = { type: "response.create", model, store: false };
    const before = await Connection.open();
    const first = finalOf(await before.turn({ ...create, input: "Remember the code word: copper. Reply with OK." }));
    before.close();
    const connection = await Connection.open();
    const continued = { ...create, previous_response_id: first.id, input: "Try to continue after reconnect." };
    expect(failureOf(await connection.turn(continued))).toBe("previous_response_not_found");
    finalOf(
      await connection.turn({ ...create, input: [message("user", "Start anew. Reply with exactly: recovered")] }),
    );
    connection.close();
  });

  it("websocket-previous-response-not-found", async () => {
    const connection = await Connection.open();
    const previous_response_id = `resp_openresponses_missing_${Date.now()}`;
    const create = { type: "response.create", model, store: false, previous_response_id, input: "This should fail." };
    expect(failureOf(await connection.turn(create))).toBe("previous_response_not_found");
    connection.close();
  });

  it("websocket-failed-continuation-evicts-cache", async () => {
    const connection = await Connection.open();
    const create = { type: "response.create", model, store: false };
    const { id } = finalOf(
      await connection.turn({ ...create, input: "Remember the code word: ember. Reply with OK." }),
    );
    const result = { type: "function_call_output", call_id: "call_openresponses_missing", output: "No matching call." };
    const failed = await connection.turn({ ...create, previous_response_id: id, input: [result] });
    expect(failureOf(failed)).toBeTruthy();
    const stale = await connection.turn({ ...create, previous_response_id: id, input: "Try to continue." });
    expect(failureOf(stale)).toBe("previous_response_not_found");
    connection.close();
  });

  it("websocket-compact-new-chain", async () => {
    const input = [
      message("user", [{ type: "input_text", text: "Remember the compaction code word: slate." }]),
      message("assistant", [{ type: "output_text", text: "OK." }]),
      message("user", [{ type: "input_text", text: "Compress this conversation for later continuation." }]),
    ];
    const answer = await post("/responses/compact", { model, input });
    const { output } = (await answer.json()) as { output: object[] };
    const connection = await Connection.open();
    const next = message("user", "Continue from here. Reply with exactly: compacted");
    const create = { type: "response.create", model: `${provider}/mirror`, store: false, tools: [] };
    const final = finalOf(await connection.turn({ ...create, input: [...output, next] }));
    // The provider is told the summary, in words.
    expect(JSON.stringify(final.output)).toContain("What was said so far, in short");
    connection.close();
  });
});

it("compact-missing-model", async () => {
  const answer = await post("/responses/compact", { input: [message("user", "Compact this conversation.")] });
  expect(answer.status).toBe(400);
});

describe("compaction", () => {
  const said = [message("user", "We launch on Tuesday."), message("assistant", "Understood.")];
  const sealed = "gAAAAfake+encrypted/reasoning==";

  it("is the provider's own where it has one, of all that was said", async () => {
    const { id } = await responseTo({ model: "fakeresp/say", input: said });
    const answer = await post("/responses/compact", {
      model: "fakeresp/sealed",
      previous_response_id: id,
      input: "Go.",
    });
    const compacted = (await answer.json()) as { output: { encrypted_content: string; created_by: string }[] };
    expectSchema("CompactResource", compacted);
    expect(compacted.output[0]!.encrypted_content).toBe(sealed);
    const sent = compacted.output[0]!.created_by;
    for (const words of ["We launch on Tuesday.", "Said say.", "Go."]) expect(sent).toContain(words);
    expect(sent).not.toContain("previous_response_id");
    // Its maker gets it back as it is; to another it is a loss, and said to be one.
    const input = [...compacted.output, message("user", "When?")];
    expect(JSON.stringify((await responseTo({ model: "fakeresp/mirror", input })).output)).toContain(sealed);
    const elsewhere = await post("/responses", { model: "fakeanth/say", input, max_output_tokens: 100 });
    expect(elsewhere.headers.get("x-rhone-loss")).toBe("1");
  });

  it("of a stored response is a summary where the provider has none", async () => {
    const { id } = await responseTo({ model: "fakeanth/say", input: said });
    const answer = await post("/responses/compact", { model: "fakechat/mirror", previous_response_id: id });
    const { output } = (await answer.json()) as { output: { type: string; encrypted_content?: string }[] };
    expect(output.map(({ type }) => type)).toEqual(["message", "compaction"]);
    const [, summary] = output.at(-1)!.encrypted_content!.split(".");
    expect(Buffer.from(summary!, "base64url").toString()).toContain("We launch on Tuesday.");
  });

  it.each([
    ["no such model", { model: "no-such-model", input: said }, 404],
    ["nothing to compact", { model: "demo" }, 400],
    ["an unknown response", { model: "demo", previous_response_id: "resp_unknown" }, 400],
    ["a model that fails", { model: "fakechat/broken", input: said }, 500],
    ["no list", { model: "demo", input: 7 }, 400],
  ])("refuses %s", async (_, body, status) => {
    const answer = await post("/responses/compact", body);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ error: { message: expect.any(String) as string } });
  });
});
