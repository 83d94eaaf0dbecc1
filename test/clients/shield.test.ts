import OpenAI from "openai";
import { beforeAll, describe, expect, it } from "vitest";
import { REQUEST, writePlan } from "../fake/plan.ts";
import { baseUrl, key } from "./gateway.ts";
import { PROVIDERS } from "./matrix.ts";
import { CLIENTS } from "./tool-clients.ts";

const EMAIL = "jane.roe@corp-mail.com";
const TAG = /PII_EMAIL_[A-Z2-7]{8}/;

async function send<T>(method: string, path: string, body: object): Promise<T> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const response = await fetch(baseUrl + path, { method, headers, body: JSON.stringify(body) });
  const text = await response.text();
  expect([response.ok, text]).toEqual([true, expect.any(String)]);
  return JSON.parse(text) as T;
}

/** A key whose calls are shielded by this profile. */
async function shieldedKey(profile: string, rules: object): Promise<string> {
  await send("PUT", `/v1/safety/profiles/${profile}`, { mode: "enforce", ...rules });
  const { secret } = await send<{ secret: string }>("POST", "/v1/keys", {
    name: profile,
    ttl_s: 600,
    defaults: { safety: { profile } },
  });
  return secret;
}

const REDACTING = { detectors: { email: { action: "redact" } } };
let restoring: string;
let tagging: string;

beforeAll(async () => {
  restoring = await shieldedKey("restoring", REDACTING);
  tagging = await shieldedKey("tagging", { ...REDACTING, restore: "none" });
});

/** However the client sends its key. */
const withKey = (secret: string): Record<string, string> => ({
  authorization: `Bearer ${secret}`,
  "x-api-key": secret,
  "x-goog-api-key": secret,
});

const cells = CLIENTS.flatMap((client) =>
  PROVIDERS.flatMap((provider) =>
    [false, true].map((stream) => ({ client: client.name, provider, stream, run: client })),
  ),
);

it.each(cells)(
  "$client to $provider, streamed $stream: values do not reach the provider, and come back in texts and in arguments of tools",
  async ({ provider, stream, run: client }) => {
    const plan = writePlan([
      [{ name: "look", args: { city: "home" } }],
      [{ name: "look", args: { city: "@mail.0" } }],
      { thinking: "So.", text: REQUEST },
    ]);
    const loop = async (secret: string): Promise<{ about: string; text: string }> => {
      const transcript: unknown[] = [client.question(`I am ${EMAIL}. ${plan}`)];
      let about = "";
      for (let round = 0; round < 2; round++) {
        const answer = await ask(transcript, secret);
        about = answer.calls[0]!.about;
        transcript.push(...answer.items, ...client.results([{ ...answer.calls[0]!, about: `"mail": "${EMAIL}"` }]));
      }
      return { about, text: (await ask(transcript, secret)).text };
    };
    const ask = (items: unknown[], secret: string): ReturnType<typeof client.ask> =>
      client.ask({ model: `${provider}/plan`, items, names: ["look", "other"], stream, headers: withKey(secret) });
    const restored = await loop(restoring);
    expect(restored.about).toBe(EMAIL);
    expect(restored.text).toContain(EMAIL);
    expect(restored.text).not.toMatch(TAG);
    const tagged = await loop(tagging);
    expect(tagged.about).toMatch(TAG);
    expect(tagged.text).toMatch(TAG);
    expect(tagged.text).not.toContain(EMAIL);
  },
);

describe("OpenAI's client", () => {
  const clientWith = (apiKey: string): OpenAI => new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey, maxRetries: 0 });

  it("sees its values in a response that was made in the background", async () => {
    const openai = clientWith(restoring);
    let response = await openai.responses.create({ model: "demo", input: `I am ${EMAIL}.`, background: true });
    await expect
      .poll(async () => (response = await openai.responses.retrieve(response.id)).status, { timeout: 20_000 })
      .toBe("completed");
    expect(response.output_text).toContain(EMAIL);
  });

  it("gets its own error for what a judge denies", async () => {
    const judge = { model: "fakechat/plan", policy: "Deny plans." };
    const openai = clientWith(await shieldedKey("judged", { judge }));
    const say = (word: string): Promise<unknown> =>
      openai.chat.completions.create({ model: "demo", messages: [{ role: "user", content: writePlan([word]) }] });
    await expect(say("ALLOW")).resolves.toBeDefined();
    await expect(say("DENY")).rejects.toThrow(OpenAI.PermissionDeniedError);
  });
});
