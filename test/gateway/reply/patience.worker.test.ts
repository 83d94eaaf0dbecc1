import { expect, it } from "vitest";
import { GatewayError } from "../../../src/canonical/error.ts";
import { type Outcome, respondWithin } from "../../../src/gateway/reply/early-response.ts";
import { SURFACES } from "../../../src/surfaces/index.ts";

const options = {
  surface: SURFACES.messages,
  reply: () => ({ created: 0 }),
  headers: { "x-rhone-call-id": "call_x" },
  waitUntil: (work: Promise<unknown>) => void work.catch(() => {}),
  onClientLeft: () => {},
  intervalMs: 20,
};

const later = (answer: Outcome): Promise<Outcome> =>
  new Promise((resolve) => {
    setTimeout(() => resolve(answer), 100);
  });

it("an answer that comes soon is the response, also if it is an error", async () => {
  const response = new Response("no", { status: 502 });
  expect(await respondWithin(Promise.resolve({ response }), options)).toBe(response);
});

it("a client that waits long receives keep-alives, and then the answer", async () => {
  const response = await respondWithin(later({ response: new Response("event: done\n\n") }), options);
  expect(response.headers.get("x-rhone-call-id")).toBe("call_x");
  expect(await response.text()).toMatch(/^(event: ping\ndata: \{"type": "ping"\}\n\n){2,}event: done\n\n$/);
});

it("an error that comes late is an event in the surface's own form", async () => {
  const error = new GatewayError("provider.timeout", "silent");
  const response = await respondWithin(later({ response: new Response("{}", { status: 504 }), error }), options);
  expect([response.status, await response.text()]).toEqual([
    200,
    expect.stringMatching(/event: error\ndata: \{.*silent/),
  ]);
});
