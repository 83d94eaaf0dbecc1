import { describe, expect, it } from "vitest";
import { chat, user } from "../support/worker/client.ts";
import { asked, mirrored, recordOf, send, VERSION } from "../support/worker/endpoint-client.ts";
import { type Body, CHAT_TOOLS, pairsIn } from "../support/worker/tool-pairs.ts";

type Session = { session_id: string };
const FAILED = "The tool was not run: no result was given.";

/** A session whose last answer has two calls of one tool, for Paris and for Rome. */
async function askFor(caller: string): Promise<{ rhone: Session; paris: string }> {
  const asked = await chat({ model: `${caller}/tools`, messages: [user("weather?")], tools: CHAT_TOOLS });
  const [paris] = asked.choices[0]!.message.tool_calls!;
  return { rhone: { session_id: asked.rhone.session_id }, paris: paris!.id as string };
}

/** A request that reads a session's context and starts no call, with the result of the first call, or of none. */
const REQUESTS: Record<string, { path: string; provider: string; body: (id?: string) => Body }> = {
  "a count on Anthropic's surface": {
    path: "/v1/messages/count_tokens",
    provider: "ant",
    body: (id) => ({
      model: "ant/mirror",
      messages: [
        {
          role: "user",
          content: id === undefined ? "go on" : [{ type: "tool_result", tool_use_id: id, content: "sun" }],
        },
      ],
    }),
  },
  "a count on the Responses surface": {
    path: "/v1/responses/input_tokens",
    provider: "resp",
    body: (id) => ({ model: "resp/mirror", input: inputOf(id) }),
  },
  "a count on Gemini's surface": {
    path: "/v1beta/models/gem/mirror:countTokens",
    provider: "gem",
    body: (id) => ({
      contents: [
        {
          role: "user",
          parts: [
            id === undefined
              ? { text: "go on" }
              : { functionResponse: { id, name: "get_weather", response: { result: "sun" } } },
          ],
        },
      ],
    }),
  },
  "a compaction": {
    path: "/v1/responses/compact",
    provider: "resp",
    body: (id) => ({ model: "resp/mirror", input: inputOf(id) }),
  },
};

const inputOf = (id?: string): string | Body[] =>
  id === undefined ? "go on" : [{ type: "function_call_output", call_id: id, output: "sun" }];

describe.each(Object.keys(REQUESTS))("%s of a session with calls that wait for results", (name) => {
  const { path, provider, body } = REQUESTS[name]!;
  const rows = ["fake", "fakeanth", "fakegem", "fakeresp"].flatMap((caller) =>
    [true, false].map((isAnswered) => [caller, isAnswered] as const),
  );

  it.each(rows)(
    "the context of a session has one result for each call, as a call itself has: of %s, one answered: %s",
    async (...row) => {
      const [caller, isAnswered] = row;
      const { rhone, paris } = await askFor(caller);
      const shown = await mirrored(path, { ...body(isAnswered ? paris : undefined), rhone }, VERSION);
      const sent = JSON.parse(shown.raw) as Body;
      const request = (sent.generateContentRequest as Body | undefined) ?? sent;
      expect(pairsIn(`fake${provider.replace("ant", "anth")}`, request)).toEqual({
        Paris: isAnswered ? "sun" : FAILED,
        Rome: FAILED,
      });
    },
  );

  it("results that the gateway adds are reported as a loss, and refused in strict mode", async () => {
    const { rhone, paris } = await askFor("fake");
    const losses = [{ at: "messages", what: "approximated", why: expect.stringContaining("has no result") as string }];
    const response = await send(path, { ...body(paris), rhone }, VERSION);
    expect(response.status, await response.text()).toBe(200);
    expect(await recordOf(response)).toMatchObject({ losses });
    const strict = await send(path, { ...body(paris), rhone: { ...rhone, strict: true } }, VERSION);
    expect(strict.status, await strict.text()).toBe(422);
  });
});

it("the summary of a compaction has the calls with their results, for any provider", async () => {
  const { rhone, paris } = await askFor("fakegem");
  const compacted = await asked("/v1/responses/compact", { model: "fake/mirror", input: inputOf(paris), rhone });
  const { encrypted_content: sealed } = (compacted.output as Body[]).at(-1) as { encrypted_content: string };
  const summary = Buffer.from(sealed.split(".")[1]!, "base64url").toString();
  expect(summary).toContain("Result of the tool: sun");
  expect(summary).toContain(`Result of the tool: ${FAILED}`);
  const { losses } = compacted.rhone as { losses: Body[] };
  expect(losses).toMatchObject([{ at: "messages", what: "approximated" }]);
  const strict = { model: "fake/mirror", input: inputOf(paris), rhone: { ...rhone, strict: true } };
  expect((await send("/v1/responses/compact", strict)).status).toBe(422);
});

it.each(["/v1/responses/input_tokens", "/v1/responses/compact"])(
  "an item that a request references and its session has is sent once: %s",
  async (path) => {
    const first = await asked("/v1/responses", { model: "fakeresp/say", input: "First question" });
    const { output, rhone } = first as unknown as { output: [{ id: string }]; rhone: Session };
    const input = [{ type: "item_reference", id: output[0].id }, user("Second question")];
    const { session_id } = rhone;
    const { raw } = await mirrored(path, { model: "resp/mirror", input, rhone: { session_id } });
    expect(raw.match(/First question|Said say\.|Second question|item_reference/g)).toEqual([
      "First question",
      "Said say.",
      "Second question",
    ]);
  },
);
