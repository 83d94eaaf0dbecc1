import { afterEach, describe, expect, it, vi } from "vitest";
import { newKey, storeHarness } from "../support/runs/client.ts";
import { crm } from "../support/runs/mcp.ts";
import { get, request } from "../support/worker/client.ts";
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

describe("a count of tokens of a key with a harness", () => {
  const tool = { name: "own", input_schema: { type: "object" } };
  const contents = [{ role: "user", parts: [{ text: "one" }] }];
  const bodies: string[] = [];
  afterEach(() => vi.restoreAllMocks());

  /** The key, whose provider's requests are collected. */
  async function openKey(name: string, harness: object): Promise<string> {
    await storeHarness(name, { instructions: "USE THE CLOCK", ...harness });
    const key = await newKey(["inference"], { defaults: { harness: `harness_${name}` } });
    const real = globalThis.fetch;
    bodies.length = 0;
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
      const sent = new Request(input, init);
      bodies.push(await sent.clone().text());
      return await real(sent);
    });
    return key;
  }

  const count = async (key: string, path: string, body: object): Promise<Record<string, unknown>> => {
    const response = await request(path, { method: "POST", key, headers: VERSION, body: JSON.stringify(body) });
    const text = await response.text();
    expect(response.status, text).toBe(200);
    return JSON.parse(text) as Record<string, unknown>;
  };

  it.each<[string, object, string]>([
    ["/v1/messages/count_tokens", { model: "ant/say", messages: WORDS, tools: [tool] }, "input_tokens"],
    ["/v1/messages/count_tokens", { model: "gem/say", messages: WORDS, tools: [tool] }, "input_tokens"],
    ["/v1/responses/input_tokens", { model: "resp/say", input: "own" }, "input_tokens"],
    ["/v1beta/models/gem/say:countTokens", { contents }, "totalTokens"],
    [
      "/v1beta/models/gem/say:countTokens",
      { generateContentRequest: { model: "models/gem/say", contents } },
      "totalTokens",
    ],
  ])("has the tools of it and its instructions: %s", async (path, body, member) => {
    const key = await openKey("counted", {
      servers: crm("counted", "modern"),
      tools: [
        { type: "native", name: "time" },
        { type: "mcp", server: "crm", only: ["get_order"] },
      ],
    });
    expect(typeof (await count(key, path, body))[member]).toBe("number");
    const sent = bodies.at(-1)!;
    const own = "tools" in body ? ['"own"'] : [];
    for (const words of ["USE THE CLOCK", '"time"', '"crm__get_order"', ...own]) expect(sent).toContain(words);
  });

  it("is refused as its call would be", async () => {
    const key = await openKey("counted-double", { tools: [{ type: "native", name: "time" }] });
    const body = { model: "ant/say", messages: WORDS, tools: [{ ...tool, name: "time" }] };
    const headers = VERSION;
    const response = await request("/v1/messages/count_tokens", {
      method: "POST",
      key,
      headers,
      body: JSON.stringify(body),
    });
    expect([response.status, await response.text()]).toEqual([
      400,
      expect.stringContaining("expected no tool named time"),
    ]);
  });
});
