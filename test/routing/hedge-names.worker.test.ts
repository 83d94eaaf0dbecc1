import { expect, it } from "vitest";
import { ask, network, withNetwork } from "../support/worker/network.ts";
import { CHAT, MESSAGES } from "../support/worker/provider-answers.ts";

withNetwork();

const CONFIG = {
  aliases: { backup: "groq/quick", "to-first": "groq/silent" },
  routes: { both: [{ target: "to-first" }, { target: "backup", tier: 1 }] },
};
const settings = { GROQ_API_KEY: "k", RHONE_CONFIG: JSON.stringify(CONFIG) };

it.each(["backup", "both"])("a hedge is named as every model is, by an alias or a route: %s", async (model) => {
  network.answers = async (request, body) => {
    if (!body.includes('"silent"')) return Response.json(CHAT);
    return await new Promise<Response>((_, reject) =>
      request.signal.addEventListener("abort", () => reject(request.signal.reason as Error)),
    );
  };
  const body = { model: "groq/silent", messages: MESSAGES, rhone: { routing: { hedge: { after_ms: 5, model } } } };
  const { status, headers } = await ask(settings, "/v1/chat/completions", body);
  expect([status, headers.get("x-rhone-model")]).toEqual([200, "quick"]);
});

it("a hedge whose every target is the first one is refused by name", async () => {
  const hedge = { after_ms: 5, model: "to-first" };
  const body = { model: "groq/silent", messages: MESSAGES, rhone: { routing: { hedge } } };
  const { status, text } = await ask(settings, "/v1/chat/completions", body);
  expect([status, text]).toEqual([400, expect.stringContaining("rhone.routing.hedge")]);
});
