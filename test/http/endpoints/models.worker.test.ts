import { describe, expect, it } from "vitest";
import { ask, type Said } from "../../support/worker/network.ts";

describe("GET /v1/models", () => {
  const settings = {
    ANTHROPIC_API_KEY: "k",
    MOONSHOT_API_KEY: "k",
    GROQ_API_KEY: "k",
    VLLM_BASE_URL: "http://vllm.test/v1",
  };
  const get = (path: string, headers: Record<string, string> = {}): Promise<Said> =>
    ask(settings, path, undefined, headers);

  it("the list of models has what the configured providers serve, in OpenAI's shape", async () => {
    const { json } = await get("/v1/models");
    const { object, data } = json as {
      object: string;
      data: { id: string; owned_by: string; context_window?: number }[];
    };
    const ids = data.map(({ id }) => id);
    expect(object).toBe("list");
    expect(ids).toEqual(
      expect.arrayContaining(["demo", "claude-sonnet-4-5", "kimi-k2-thinking", "gpt-oss-120b", "vllm/*"]),
    );
    expect(ids.filter((id) => /^(gpt-5|gemini)/.test(id))).toEqual([]);
    expect(new Set(ids).size).toBe(ids.length);
    expect(data.find(({ id }) => id === "kimi-k2-thinking")).toMatchObject({
      object: "model",
      owned_by: "moonshotai",
      context_window: 262_144,
    });
    for (const id of ["claude-sonnet-4-5", "vllm%2F*", "groq%2Fopenai%2Fgpt-oss-120b"])
      expect((await get(`/v1/models/${id}`)).status).toBe(200);
    expect((await get("/v1/models/Claude-Sonnet-4-5")).json).toMatchObject({ id: "claude-sonnet-4-5" });
    expect((await get("/v1/models/gpt-5")).status).toBe(404);
  });

  it("the list of models has what a provider row of the deployment says of its models", async () => {
    const row = {
      id: "acme",
      dialect: "openai-chat",
      base_url: "https://acme.test/v1",
      models: [{ name: "tower-1", context: 64_000, max_output: 4_000, capabilities: ["tool_call"] }],
    };
    const { json } = await ask({ RHONE_PROVIDERS: JSON.stringify([row]) }, "/v1/models/acme%2Ftower-1", undefined);
    expect(json).toMatchObject({ object: "model", context_window: 64_000 });
  });

  it("aliases, routes, and every name that a call may have are retrieved, and the deployment's own names are listed", async () => {
    const config = {
      aliases: {
        "Smart-General": "anthropic/claude-sonnet-4-6",
        broken: "openai/gpt-5",
        "claude-haiku-4-5": "groq/openai/gpt-oss-120b",
      },
      routes: { cheap: [{ target: "groq/openai/gpt-oss-120b" }, { target: "smart-general" }] },
    };
    const named = { ...settings, RHONE_CONFIG: JSON.stringify(config) };
    const read = (path: string): Promise<Said> => ask(named, path, undefined);
    const { data } = (await read("/v1/models")).json as { data: { id: string; provider?: string }[] };
    expect(data.slice(0, 2)).toMatchObject([
      { id: "smart-general", provider: "anthropic" },
      { id: "claude-haiku-4-5", provider: "groq" },
    ]);
    expect(data[2]).toMatchObject({ id: "cheap", provider: "groq" });
    // A call of a name that hides a model goes to the alias: the list says the same.
    expect(data.filter(({ id }) => id === "claude-haiku-4-5")).toHaveLength(1);
    expect((await read("/v1/models/claude-haiku-4-5")).json).toMatchObject({ provider: "groq" });
    expect(data.map(({ id }) => id)).not.toContain("broken");
    expect((await read("/v1/models/smart-general")).json).toMatchObject({
      id: "smart-general",
      context_window: 1_000_000,
    });
    for (const id of ["cheap", "vllm/anything", "vllm%2Fmine%2Fown", "claude-next-9", "groq/new/model"])
      expect([id, (await read(`/v1/models/${id}`)).json]).toMatchObject([id, { id: decodeURIComponent(id) }]);
    expect((await read("/v1/models/broken")).status).toBe(404);
    expect((await read("/v1beta/models/cheap")).json).toMatchObject({ name: "models/cheap" });
  });

  it("the list of models has Anthropic's shape for Anthropic's clients, page by page", async () => {
    const version = { "anthropic-version": "2023-06-01" };
    const first = (await get("/v1/models?limit=2", version)).json as {
      data: { id: string }[];
      has_more: boolean;
      last_id: string;
    };
    expect(first).toMatchObject({ has_more: true, first_id: "demo", last_id: first.data[1]!.id });
    const next = (await get(`/v1/models?limit=1000&after_id=${first.last_id}`, version)).json as {
      data: { id: string }[];
    };
    expect(next).toMatchObject({ has_more: false });
    expect(next.data.map(({ id }) => id)).not.toContain(first.last_id);
    expect((await get("/v1/models/claude-haiku-4-5", version)).json).toMatchObject({
      type: "model",
      id: "claude-haiku-4-5",
      display_name: expect.stringContaining("Haiku") as string,
      created_at: expect.stringMatching(/^20\d\d-.*Z$/) as string,
    });
    expect((await get("/v1/models/nothing", version)).json).toMatchObject({
      type: "error",
      error: { type: "not_found_error" },
    });
  });

  it("the list of models has Google's shape for Google's clients", async () => {
    const { json } = await get("/v1beta/models?pageSize=3");
    expect(json).toMatchObject({ models: [{ name: "models/demo" }, {}, {}], nextPageToken: "3" });
    expect((await get("/v1beta/models?pageSize=3&pageToken=3")).json).toMatchObject({ nextPageToken: "6" });
    expect((await get("/v1beta/models/kimi-k2-thinking")).json).toMatchObject({
      name: "models/kimi-k2-thinking",
      inputTokenLimit: 262_144,
    });
    expect((await get("/v1beta/models/nothing")).json).toMatchObject({ error: { code: 404, status: "NOT_FOUND" } });
  });
});
