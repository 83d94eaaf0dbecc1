import { beforeAll, describe, expect, it, vi } from "vitest";
import { writePlan } from "../../fake/plan.ts";
import { decisionsOf, EMAIL, setProfile, TAG } from "../../support/shield/gateway.ts";
import { askOver, type Asked, SURFACES } from "../../support/shield/surfaces.ts";
import { request } from "../../support/worker/client.ts";
import { saidIn } from "../../support/worker/said.ts";

const STAGES = ["input", "tool_result", "output"] as const;
const MODES = ["off", "observe", "enforce"] as const;
const TRANSPORTS = ["whole", "streamed", "WebSocket"] as const;

/** What each stage's request says, with a value where the stage looks. */
const TEXTS: Record<(typeof STAGES)[number], { texts: Asked["texts"]; model: string }> = {
  input: { texts: [`I am ${EMAIL}.`], model: "fakeresp/mirror" },
  tool_result: { texts: ["Who is it?", `It is ${EMAIL}.`], model: "fakeresp/mirror" },
  output: { texts: [writePlan([`It is ${EMAIL}, I think.`])], model: "fakeresp/plan" },
};

/** The answer's bytes, and the call's id. */
async function ask(
  surface: string,
  transport: (typeof TRANSPORTS)[number],
  asked: Omit<Asked, "stream">,
): Promise<{ text: string; call: string }> {
  const whole = { ...asked, stream: transport !== "whole" };
  if (transport === "WebSocket") return await askSocket(surface, SURFACES[surface]!.body(whole));
  const { response, text } = await askOver(surface, whole);
  expect([response.status, text.slice(0, 300)]).toEqual([200, expect.anything()]);
  return { text, call: response.headers.get("x-rhone-call-id")! };
}

async function askSocket(surface: string, body: object): Promise<{ text: string; call: string }> {
  const headers = { upgrade: "websocket", "sec-websocket-protocol": "rhone.ws.v1" };
  const { webSocket } = await request("/v1/ws", { headers });
  const heard: string[] = [];
  webSocket!.addEventListener("message", ({ data }) => void heard.push(data as string));
  webSocket!.accept();
  webSocket!.send(JSON.stringify({ type: "session.bind" }));
  webSocket!.send(JSON.stringify({ type: "call.create", id: "c", surface, request: body }));
  const last = await vi.waitFor(() => {
    const frames = heard.map((frame) => JSON.parse(frame) as { type: string; id?: string; call_id: string });
    const found = frames.find(({ type, id }) => id === "c" && /^(?:call\.(?:completed|failed)|error)$/.test(type));
    if (found === undefined) throw new Error(heard.join("\n"));
    return found;
  }, 10_000);
  webSocket!.close();
  expect([last.type, heard.join("\n")]).toEqual(["call.completed", expect.anything()]);
  return { text: heard.join("\n"), call: last.call_id };
}

beforeAll(async () => {
  for (const stage of STAGES)
    for (const mode of MODES) {
      const detectors = { email: { action: "redact" } };
      await setProfile(profileOf(stage, mode), { mode, stages: [stage], restore: "none", detectors });
    }
});

const profileOf = (stage: string, mode: string): string => `cell-${stage.replace("_", "-")}-${mode}`;

describe.each(Object.keys(SURFACES))("%s", (surface) => {
  it.each(STAGES.flatMap((stage) => TRANSPORTS.map((transport) => [stage, transport] as const)))(
    "a value at stage %s passes, is counted, or is replaced, as the mode says: %s",
    async (stage, transport) => {
      for (const mode of MODES) {
        const safety = { profile: profileOf(stage, mode) };
        const { text, call } = await ask(surface, transport, { ...TEXTS[stage], rhone: { safety } });
        const passes = mode !== "enforce";
        const said = saidIn(text);
        expect([mode, said.includes(EMAIL), TAG.test(said)]).toEqual([mode, passes, !passes]);
        const decisions = await decisionsOf(call);
        const expected =
          mode === "off" ? [] : [expect.objectContaining({ stage, mode, disposition: "redact", values: { email: 1 } })];
        expect([mode, decisions]).toEqual([mode, expected]);
      }
    },
  );
});
