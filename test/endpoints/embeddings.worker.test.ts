import { describe, expect, it } from "vitest";
import { errorOf } from "../support/worker/client.ts";
import { asked, mirrored, recordOf, type Said, send } from "../support/worker/endpoint-client.ts";

describe("embeddings", () => {
  type List = { data: { embedding: number[] | string }[]; usage?: Said };

  it("the demo's embeddings are always the same, of unit length, near for shared words, in the given dimensions", async () => {
    const input = ["the cat sat", "the cat slept", "quantum physics"];
    const { data, usage } = (await asked("/v1/embeddings", {
      model: "demo",
      input,
      dimensions: 64,
    })) as unknown as List;
    const vectors = data.map(({ embedding }) => embedding as number[]);
    const dot = (a: number, b: number): number => vectors[a]!.reduce((sum, x, i) => sum + x * vectors[b]![i]!, 0);
    expect(vectors.map(({ length }) => length)).toEqual([64, 64, 64]);
    expect(dot(0, 0)).toBeCloseTo(1);
    expect(dot(0, 1)).toBeGreaterThan(dot(0, 2));
    expect(usage).toEqual({ prompt_tokens: 8, total_tokens: 8 });
    const body = { model: "demo", input: "the cat sat", dimensions: 64, encoding_format: "base64" };
    const again = (await asked("/v1/embeddings", body)) as unknown as List;
    expect(floats(again.data[0]!.embedding as string)).toEqual(vectors[0]);
  });

  it("embeddings of a Gemini model are returned by OpenAI's endpoint", async () => {
    const body = { model: "gem/counted", input: ["a", "b"], dimensions: 3 };
    expect(await asked("/v1/embeddings", body)).toEqual({
      object: "list",
      data: [0, 1].map((index) => ({ object: "embedding", index, embedding: [index, 0.5, -0.25] })),
      model: "counted",
      usage: { prompt_tokens: 4, total_tokens: 4 },
    });
    const base64 = (await asked("/v1/embeddings", { ...body, encoding_format: "base64" })) as unknown as List;
    expect(floats(base64.data[1]!.embedding as string)).toEqual([1, 0.5, -0.25]);
    // OpenAI's schema requires the member.
    const { usage } = await asked("/v1/embeddings", { model: "gem/silent", input: "a" });
    expect(usage).toEqual({ prompt_tokens: 0, total_tokens: 0 });
  });

  it.each(["/v1beta/models/", "/v1/models/", "/v1/compat/gemini/v1beta/models/"])(
    "embeddings of OpenAI's and the demo's models are returned by Gemini's endpoint: %s",
    async (models) => {
      const content = { parts: [{ text: "one two" }] };
      expect(await asked(`${models}oai/m:embedContent`, { content })).toEqual({
        embedding: { values: [0, 0.5, -0.25] },
        usageMetadata: { promptTokenCount: 6 },
      });
      const requests = [content, content].map((one) => ({ model: "models/oai/m", content: one }));
      expect(await asked(`${models}oai/m:batchEmbedContents`, { requests })).toMatchObject({
        embeddings: [{ values: [0, 0.5, -0.25] }, { values: [1, 0.5, -0.25] }],
      });
      expect(await asked(`${models}demo:embedContent`, { content })).toMatchObject({
        usageMetadata: { promptTokenCount: 2 },
      });
    },
  );

  it("a request for embeddings reaches Gemini in the caller's bytes, with the provider's model in every place", async () => {
    const raw =
      '{ "requests": [ {"model": "models/gem/mirror", "content": {"parts":[{"text":"\\u00e9"}]}, "x": 1.0} ] }';
    const sent = await mirrored("/v1beta/models/gem/mirror:batchEmbedContents", raw);
    expect(sent.raw).toBe(raw.replace("gem/", ""));
    expect([sent.path, sent.headers["x-goog-api-key"]]).toEqual(["/models/mirror:batchEmbedContents", "fake-key"]);
  });

  it("a request for embeddings reports what was lost, and is refused in strict mode", async () => {
    const body = { content: { parts: [{ text: "x" }] }, taskType: "RETRIEVAL_QUERY" };
    const path = "/v1beta/models/oai/m:embedContent";
    const response = await send(path, body);
    expect(response.headers.get("x-rhone-loss")).toBe("1");
    expect(await recordOf(response)).toMatchObject({ losses: [{ at: "taskType" }] });
    expect((await send(path, { ...body, rhone: { strict: true } })).status).toBe(422);
  });

  it("an error of embeddings has the shape of the caller's surface", async () => {
    const openai = await send("/v1/embeddings", { model: "gem/refuse", input: "x" });
    expect([openai.status, (await errorOf(openai)).message]).toEqual([404, "no such model"]);
    const gemini = await send("/v1beta/models/oai/refuse:embedContent", { content: { parts: [{ text: "x" }] } });
    expect([gemini.status, await gemini.json()]).toMatchObject([
      404,
      { error: { message: "no such model", status: "NOT_FOUND" } },
    ]);
  });
});

const floats = (text: string): number[] => [...new Float32Array(Uint8Array.from(Buffer.from(text, "base64")).buffer)];
