import { afterEach, describe, expect, it, vi } from "vitest";
import { recordOf, send } from "../support/worker/endpoint-client.ts";

afterEach(() => vi.restoreAllMocks());

/** A whole answer of JSON has a content type of JSON, whatever the provider calls it; every other type stays. */
describe.each<[string, string, object, object]>([
  [
    "/v1/embeddings",
    "oai/x",
    { input: "x" },
    { object: "list", data: [], usage: { prompt_tokens: 3, total_tokens: 3 } },
  ],
  [
    "/v1/images/generations",
    "oai/x",
    { prompt: "x" },
    { created: 1, data: [], usage: { input_tokens: 3, output_tokens: 4 } },
  ],
  ["/v1/moderations", "oai/x", { input: "x" }, { id: "m", results: [] }],
  ["/v1/audio/speech", "oai/x", { input: "x", voice: "v" }, { text: "hello" }],
])("an answer of %s", (path, model, body, answer) => {
  const script = (text: string, type: string | null): void => {
    vi.spyOn(globalThis, "fetch").mockImplementation(async () => {
      const response = new Response(text, { headers: type === null ? {} : { "content-type": type } });
      if (type === null) response.headers.delete("content-type");
      return response;
    });
  };

  it.each(["text/html; charset=utf-8", "text/plain", "TEXT/HTML", null])(
    "an answer of JSON has the content type of JSON, not %s",
    async (type) => {
      script(JSON.stringify(answer), type);
      const response = await send(path, { model, ...body });
      expect(response.headers.get("content-type")).toBe("application/json");
      expect(await response.json()).toEqual(answer);
      expect(await recordOf(response)).toMatchObject({ status: "completed" });
    },
  );

  it("an answer of text has the content type of text", async () => {
    script("[Music] hello", "text/plain; charset=utf-8");
    const response = await send(path, { model, ...body });
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(await response.text()).toBe("[Music] hello");
    expect(await recordOf(response)).toMatchObject({ status: "completed" });
  });
});
