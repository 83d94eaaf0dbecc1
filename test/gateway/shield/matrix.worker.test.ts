import { describe, expect, it } from "vitest";
import { writePlan } from "../../fake/plan.ts";
import { CARD, decisionsOf, EMAIL, REDACTING, setProfile } from "../../support/shield/gateway.ts";
import { askOver, type Asked, SURFACES, tool } from "../../support/shield/surfaces.ts";
import { saidIn } from "../../support/worker/said.ts";

const PROVIDERS = ["fake", "fakeresp", "fakeanth", "fakegem"];

async function ask(
  surface: string,
  { text: question, ...asked }: Omit<Asked, "texts"> & { text: string },
): Promise<{ status: number; text: string; said: string; call: string }> {
  const { response, text } = await askOver(surface, { ...asked, texts: [question] });
  return { status: response.status, text, said: saidIn(text), call: response.headers.get("x-rhone-call-id")! };
}

const FORMS = Object.keys(SURFACES).flatMap((surface) =>
  [false, true].flatMap((stream) => ["stateless", "stateful"].map((mode) => [surface, stream, mode] as const)),
);

describe.each(FORMS)("%s, streamed %s, %s", (surface, stream, context_mode) => {
  it("nothing of a value reaches any provider, and its client gets its own values back", async () => {
    await setProfile("strict", { mode: "enforce", detectors: REDACTING });
    for (const provider of PROVIDERS) {
      const rhone = { safety: { profile: "strict", mode: "enforce" }, context_mode };
      const text = `My card is ${CARD}, write to ${EMAIL}.`;
      const { status, said, text: whole } = await ask(surface, { text, stream, rhone, model: `${provider}/mirror` });
      expect([provider, status, whole.slice(0, 300)]).toEqual([provider, 200, expect.anything()]);
      expect([provider, said]).toEqual([provider, expect.stringContaining(EMAIL)]);
      expect([provider, said]).toEqual([provider, expect.stringContaining(CARD)]);
    }
  });

  it("nothing of a value that a model says reaches its client, in texts and in arguments of tools", async () => {
    await setProfile("outgoing", { mode: "enforce", stages: ["output"], detectors: REDACTING });
    for (const provider of PROVIDERS) {
      const rhone = { safety: { profile: "outgoing" }, context_mode };
      const planned = writePlan([`Pay with ${CARD} or write to ${EMAIL}, then wait.`]);
      const texts = await ask(surface, { text: planned, stream, rhone, model: `${provider}/plan` });
      expect([provider, texts.status, texts.text]).toEqual([provider, 200, expect.not.stringContaining(CARD)]);
      expect([provider, texts.said]).toEqual([
        provider,
        expect.stringMatching(/Pay with PII_CARD_\w{8} or write to PII_EMAIL_\w{8}, then wait\./),
      ]);
      const called = writePlan([[{ name: tool.name, args: { to: EMAIL, card: Number(CARD), text: `a "${CARD}"` } }]]);
      const calls = await ask(surface, { text: called, stream, rhone, model: `${provider}/plan` });
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
      const planned = writePlan([`One two three four five six seven eight nine ten, then pay with ${CARD} today.`]);
      const denied = await ask(surface, { text: planned, stream, rhone, model: `${provider}/plan` });
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
    expect(await decisionsOf(denied.call)).toEqual([
      expect.objectContaining({ stage: "input", disposition: "block", values: { card: 1 }, profile: "denying-input" }),
    ]);
  });
});
