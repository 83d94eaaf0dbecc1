import { describe, expect, it } from "vitest";
import { get } from "../support/worker/client.ts";
import { asked, mirrored, send, VERSION, WORDS } from "../support/worker/endpoint-client.ts";

describe("a count of tokens", () => {
  const gemini = { contents: [{ role: "user", parts: [{ text: "one two three" }] }] };

  it("a count of tokens is the provider's own, of the caller's bytes, over the caller's wire", async () => {
    const messages = `{ "model":"ant/mirror","messages":${JSON.stringify(WORDS)} , "x":1.0}`;
    expect(await mirrored("/v1/messages/count_tokens", messages, VERSION)).toMatchObject({
      path: "/messages/count_tokens",
      raw: messages.replace("ant/", ""),
    });
    expect(await mirrored("/v1/responses/input_tokens", { model: "resp/mirror", input: "x" })).toMatchObject({
      path: "/responses/input_tokens",
      raw: '{"model":"mirror","input":"x"}',
    });
    expect(await mirrored("/v1beta/models/gem/mirror:countTokens", gemini)).toMatchObject({
      path: "/models/mirror:countTokens",
      raw: JSON.stringify(gemini),
    });
    const whole = { generateContentRequest: { model: "models/gem/mirror", ...gemini } };
    expect(await mirrored("/v1beta/models/gem/mirror:countTokens", whole)).toMatchObject({
      raw: JSON.stringify(whole).replace("gem/", ""),
    });
  });

  it.each([
    ["/v1/messages/count_tokens", { messages: WORDS }, "input_tokens"],
    ["/v1/responses/input_tokens", { input: WORDS, temperature: 1 }, "input_tokens"],
    ["/v1beta/models/MODEL:countTokens", gemini, "totalTokens"],
  ])(
    "a count of tokens is a number through any surface, from any provider that counts: %s",
    async (path, body, member) => {
      for (const model of ["ant/claude-sonnet-4-6", "gem/gemini-2.5-pro", "resp/gpt-5", "demo"]) {
        const named = path.includes("MODEL") ? body : { model, ...body };
        const told = await asked(path.replace("MODEL", model), named, VERSION);
        expect([model, typeof told[member]]).toEqual([model, "number"]);
        if (model === "demo") expect(told[member]).toBe(3);
      }
    },
  );

  it("a count of tokens has only the members that the provider's counter accepts", async () => {
    const body = { model: "resp/refuse", max_tokens: 5, temperature: 1, messages: WORDS };
    const response = await send("/v1/messages/count_tokens", body, VERSION);
    expect([response.status, await response.json()]).toMatchObject([
      404,
      { type: "error", error: { message: "no such model" } },
    ]);
  });

  it("a count of tokens is refused if the provider cannot count", async () => {
    const response = await send("/v1/messages/count_tokens", { model: "oai/gpt", messages: WORDS }, VERSION);
    expect([response.status, await response.json()]).toMatchObject([
      422,
      { type: "error", error: { message: expect.stringContaining("oai cannot count tokens") as string } },
    ]);
  });

  it("a count of tokens includes instructions that were given on another wire", async () => {
    const counted = async (system: string): Promise<number> => {
      const messages = [{ role: "system", content: system }, ...WORDS];
      const { rhone } = await asked("/v1/chat/completions", { model: "demo", messages });
      const { session_id } = rhone as { session_id: string };
      const body = { model: "ant/say", messages: [{ role: "user", content: "four" }], rhone: { session_id } };
      return (await asked("/v1/messages/count_tokens", body, VERSION)).input_tokens as number;
    };
    // The scripted provider counts the characters that it is sent.
    expect((await counted("Be very brief.")) - (await counted("Be brief."))).toBe(5);
  });

  it("a count of tokens includes what the session would restore, and starts no turn in it", async () => {
    const first = await asked("/v1/chat/completions", { model: "demo", messages: WORDS });
    const { session_id } = first.rhone as { session_id: string };
    const said = (first.choices as { message: { content: string } }[])[0]!.message.content.split(" ").length;
    const body = { model: "demo", messages: [{ role: "user", content: "four" }], rhone: { session_id } };
    expect(await asked("/v1/messages/count_tokens", body, VERSION)).toEqual({ input_tokens: 3 + said + 1 });
    expect(await get(`/v1/sessions/${session_id}`)).toMatchObject({ turns: 1 });
    const lost = { ...body, rhone: { session_id, parent: "turn_nope" } };
    expect((await send("/v1/messages/count_tokens", lost, VERSION)).status).toBe(404);
  });
});
