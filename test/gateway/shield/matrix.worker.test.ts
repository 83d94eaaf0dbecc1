import { describe, expect, it } from "vitest";
import { writePlan } from "../../fake/plan.ts";
import { request } from "../../support/worker/client.ts";
import { saidIn } from "../../support/worker/said.ts";

/** A card that a network could have given out, and an address with it. */
const CARD = "4556737586899855";
const EMAIL = "jane.roe@corp-mail.com";
const PROFILE = { profile: "strict", mode: "enforce" };

const tool = {
  name: "send_mail",
  description: "d",
  parameters: { type: "object", properties: { to: { type: "string" } } },
};

type Asked = { text: string; stream: boolean; rhone: object; model: string; tools?: boolean };
type Surface = { path: (asked: Asked) => string; body: (asked: Asked) => object };

const SURFACES: Record<string, Surface> = {
  chat: {
    path: () => "/v1/chat/completions",
    body: ({ text, stream, rhone, model, tools }) => ({
      model,
      stream,
      rhone,
      messages: [{ role: "user", content: text }],
      ...(tools && { tools: [{ type: "function", function: tool }] }),
    }),
  },
  responses: {
    path: () => "/v1/responses",
    body: ({ text, stream, rhone, model, tools }) => ({
      model,
      stream,
      rhone,
      input: text,
      ...(tools && { tools: [{ type: "function", ...tool }] }),
    }),
  },
  messages: {
    path: () => "/v1/messages",
    body: ({ text, stream, rhone, model, tools }) => ({
      model,
      stream,
      rhone,
      max_tokens: 1000,
      messages: [{ role: "user", content: text }],
      ...(tools && { tools: [{ name: tool.name, description: "d", input_schema: tool.parameters }] }),
    }),
  },
  gemini: {
    path: ({ model, stream }) =>
      `/v1beta/models/${encodeURIComponent(model)}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    body: ({ text, rhone, tools }) => ({
      rhone,
      contents: [{ role: "user", parts: [{ text }] }],
      ...(tools && { tools: [{ functionDeclarations: [tool] }] }),
    }),
  },
  native: {
    path: () => "/v1/calls",
    body: ({ text, stream, rhone, model, tools }) => ({
      model,
      stream,
      input: text,
      ...rhone,
      ...(tools && { tools: [tool] }),
    }),
  },
};

const PROVIDERS = ["fake", "fakeresp", "fakeanth", "fakegem"];

async function ask(
  surface: string,
  asked: Asked,
): Promise<{ status: number; text: string; said: string; call: string }> {
  const { path, body } = SURFACES[surface]!;
  const response = await request(path(asked), {
    method: "POST",
    body: JSON.stringify(body(asked)),
    headers: { "anthropic-version": "2023-06-01" },
  });
  const text = await response.text();
  return { status: response.status, text, said: saidIn(text), call: response.headers.get("x-rhone-call-id")! };
}

async function setProfile(id: string, profile: object): Promise<void> {
  const response = await request(`/v1/safety/profiles/${id}`, {
    method: "PUT",
    body: JSON.stringify(profile),
    headers: { "content-type": "application/json" },
  });
  expect([response.status, await response.text()]).toEqual([200, expect.anything()]);
}

const redacting = { card: { action: "redact" }, email: { action: "redact" } };
const FORMS = Object.keys(SURFACES).flatMap((surface) =>
  [false, true].flatMap((stream) => ["stateless", "stateful"].map((mode) => [surface, stream, mode] as const)),
);

describe.each(FORMS)("%s, streamed %s, %s", (surface, stream, context_mode) => {
  it("nothing of a value reaches any provider, and its client gets its own values back", async () => {
    await setProfile("strict", { mode: "enforce", detectors: redacting });
    for (const provider of PROVIDERS) {
      const rhone = { safety: PROFILE, context_mode };
      const text = `My card is ${CARD}, write to ${EMAIL}.`;
      const { status, said, text: whole } = await ask(surface, { text, stream, rhone, model: `${provider}/mirror` });
      expect([provider, status, whole.slice(0, 300)]).toEqual([provider, 200, expect.anything()]);
      expect([provider, said]).toEqual([provider, expect.stringContaining(EMAIL)]);
      expect([provider, said]).toEqual([provider, expect.stringContaining(CARD)]);
    }
  });

  it("nothing of a value that a model says reaches its client, in texts and in arguments of tools", async () => {
    await setProfile("outgoing", { mode: "enforce", stages: ["output"], detectors: redacting });
    for (const provider of PROVIDERS) {
      const rhone = { safety: { profile: "outgoing" }, context_mode };
      const told = writePlan([`Pay with ${CARD} or write to ${EMAIL}, then wait.`]);
      const texts = await ask(surface, { text: told, stream, rhone, model: `${provider}/plan`, tools: true });
      expect([provider, texts.status, texts.text]).toEqual([provider, 200, expect.not.stringContaining(CARD)]);
      expect([provider, texts.said]).toEqual([
        provider,
        expect.stringMatching(/Pay with PII_CARD_\w{8} or write to PII_EMAIL_\w{8}, then wait\./),
      ]);
      const called = writePlan([[{ name: tool.name, args: { to: EMAIL, card: Number(CARD), text: `a "${CARD}"` } }]]);
      const calls = await ask(surface, { text: called, stream, rhone, model: `${provider}/plan`, tools: true });
      expect([provider, calls.status, calls.text]).toEqual([
        provider,
        200,
        expect.not.stringMatching(new RegExp(`${CARD}|${EMAIL}`)),
      ]);
      expect([provider, calls.said + calls.text]).toEqual([provider, expect.stringMatching(/PII_EMAIL_/)]);
    }
  });

  it("an answer with what is denied ends with an error in the surface's own shape, and without the value", async () => {
    await setProfile("denying", { mode: "enforce", stages: ["output"], detectors: { card: { action: "block" } } });
    for (const provider of PROVIDERS) {
      const rhone = { safety: { profile: "denying" }, context_mode };
      const told = writePlan([`One two three four five six seven eight nine ten, then pay with ${CARD} today.`]);
      const denied = await ask(surface, { text: told, stream, rhone, model: `${provider}/plan`, tools: true });
      expect([provider, denied.text]).toEqual([provider, expect.not.stringContaining(CARD)]);
      expect([provider, denied.text]).toEqual([
        provider,
        expect.stringContaining("the safety profile denying denies what the answer contains: card"),
      ]);
      if (!stream) expect([provider, denied.status]).toEqual([provider, 403]);
    }
  });

  it("a request with what is denied is not sent", async () => {
    await setProfile("denying-input", { mode: "enforce", detectors: { card: { action: "block" } } });
    const rhone = { safety: { profile: "denying-input" }, context_mode };
    const denied = await ask(surface, { text: `Pay with ${CARD}.`, stream, rhone, model: "fake/mirror" });
    expect([denied.status, denied.text]).toEqual([
      403,
      expect.stringContaining("denies what the request contains: card"),
    ]);
    expect(denied.text).not.toContain(CARD);
    const { data } = await (await request(`/v1/calls/${denied.call}/safety-decisions`)).json<{ data: object[] }>();
    expect(data).toEqual([
      expect.objectContaining({ stage: "input", disposition: "block", values: { card: 1 }, profile: "denying-input" }),
    ]);
  });
});
