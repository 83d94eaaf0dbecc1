import { afterEach, expect, it, vi } from "vitest";
import { request, user } from "../support/worker/client.ts";

/** The providers' models that do not answer. */
let down: string[] = [];

afterEach(() => vi.restoreAllMocks());

type Told = {
  content: { type: string; text?: string; signature?: string }[];
  rhone: { session_id: string; routing: { model: string }; losses?: object[] };
};

/** A call of the first of these models, or else the next. */
async function say(text: string, [model, ...fallbacks]: string[], rhone: object = {}): Promise<[Told, Response]> {
  const response = await request("/v1/messages", {
    method: "POST",
    headers: { "anthropic-version": "2023-06-01" },
    body: JSON.stringify({
      model,
      max_tokens: 9,
      messages: [user(text)],
      rhone: { ...rhone, routing: { fallbacks, retries: { max: 0 } } },
    }),
  });
  return [await response.clone().json(), response];
}

it.each([
  ["of another issuer on the same wire", "fakeanth/think-other"],
  ["on another wire", "fakegem/think"],
])(
  "a session whose issuer is down moves to a target %s, reports what stayed behind, and comes back",
  async (_, other) => {
    const real = globalThis.fetch;
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
      const asked = new Request(input, init);
      const text = await asked.clone().text();
      if (down.some((model) => text.includes(`"model":"${model}"`))) throw new TypeError("Network connection lost.");
      return await real(asked);
    });
    const models = [`fakeanth/think-${other.replace("/", "-")}`, other];
    const own = models[0]!.replace("fakeanth/", "");
    down = [];
    const [first] = await say("hm", models);
    const { signature } = first.content[0]!;
    expect([first.rhone.routing.model, signature]).toEqual([own, expect.any(String)]);
    const session = { session_id: first.rhone.session_id };

    down = [own];
    const [moved, response] = await say("and?", models, session);
    expect(moved.rhone).toMatchObject({
      routing: { model: other.split("/")[1] },
      losses: [expect.objectContaining({ at: "thinking", what: "dropped" })],
    });
    expect(response.headers.get("x-rhone-loss")).toBe(String(moved.rhone.losses!.length));
    // Said for the second time, the script answers with what it was sent.
    const shown = moved.content.find(({ type }) => type === "text")!.text!;
    expect([shown.includes("Said think."), shown.includes(signature!)]).toEqual([true, false]);

    down = [];
    const [back] = await say("more", models, session);
    expect(back.rhone.routing.model).toBe(own);
    expect(JSON.stringify(back.content)).toContain(signature);
    const [asked] = await say("again", models.toReversed(), session);
    expect(asked.rhone.routing.model).toBe(own);
  },
);
