import { beforeAll, describe, expect, it, vi } from "vitest";
import { writePlan } from "../../fake/plan.ts";
import { CARD, EMAIL, setTags, TAG } from "../../support/shield/gateway.ts";
import { request } from "../../support/worker/client.ts";

let safety: { profile: string; mode: string };

beforeAll(async () => {
  safety = await setTags();
});

describe("a WebSocket", () => {
  /** What a socket says after these frames, until `last` is in it. */
  async function heardFrom(
    path: string,
    protocol: string | undefined,
    frames: object[],
    last: string,
  ): Promise<string> {
    const headers = { upgrade: "websocket", ...(protocol !== undefined && { "sec-websocket-protocol": protocol }) };
    const { webSocket } = await request(path, { headers });
    const heard: string[] = [];
    webSocket!.addEventListener("message", ({ data }) => void heard.push(data as string));
    webSocket!.accept();
    for (const frame of frames) webSocket!.send(JSON.stringify(frame));
    await vi.waitFor(() => expect(heard.join("\n")).toContain(last), 10_000);
    webSocket!.close();
    return heard.join("\n");
  }

  const planned = writePlan([`Pay with ${CARD} or write to ${EMAIL}, then wait.`]);
  const question = (text: string): string => `${text} I am jo.doe@corp-mail.com.`;

  it.each([
    ["the gateway's own", "say"],
    ["OpenAI's", "say"],
    ["the gateway's own", "mirror"],
    ["OpenAI's", "mirror"],
  ])("shields calls of %s socket as those over HTTP: %s", async (which, script) => {
    const model = script === "say" ? "fakeresp/plan" : "fakeresp/mirror";
    const rhone = { safety };
    const body = {
      model,
      input: question(planned),
      rhone,
      tools: [{ type: "function", name: "f", parameters: { type: "object" } }],
    };
    const text =
      which === "OpenAI's"
        ? await heardFrom("/v1/responses", undefined, [{ type: "response.create", ...body }], "response.completed")
        : await heardFrom(
            "/v1/ws",
            "rhone.ws.v1",
            [{ type: "session.bind" }, { type: "call.create", id: "c", surface: "responses", request: body }],
            "call.completed",
          );
    expect(text).not.toContain(CARD);
    expect(text).not.toContain(EMAIL);
    expect(text).toMatch(script === "say" ? TAG : /jo\.doe@corp-mail\.com/);
  });
});
