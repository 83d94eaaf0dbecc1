import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import type { Call, CallHost, PartialAnswer } from "../../../src/gateway/call/call.ts";
import { generate } from "../../../src/gateway/generation.ts";
import { CarriedItems } from "../../../src/keys/carried-items.ts";
import { readProviders } from "../../../src/providers/registry.ts";
import { createRouter } from "../../../src/routing/router.ts";
import type { CallRecord } from "../../../src/store/records.ts";
import { SURFACES } from "../../../src/surfaces/index.ts";
import { parseRequest, readMembers } from "../../../src/surfaces/request.ts";
import { newId } from "../../../src/wire/id.ts";

type Failure = { record: CallRecord; partial: PartialAnswer | undefined };

/** Runs a streamed call whose first target breaks off and whose answer cannot be stored. */
async function failToStore(): Promise<{ text: string; failures: Failure[] }> {
  const failures: Failure[] = [];
  const work: Promise<unknown>[] = [];
  const host: CallHost = {
    providers: readProviders(env as never).rows,
    router: createRouter(undefined),
    carried: new CarriedItems(undefined, "org"),
    budgets: { reserve: async () => undefined, settle: () => {} },
    lifetime: { now: Date.now, waitUntil: (more) => work.push(more) },
    store: {
      start: async () => ({ parent: undefined, history: [], known: 0 }),
      commit: async () => {
        throw new Error("disk full");
      },
      fail: async (record, _, partial) => void failures.push({ record, partial }),
    },
  };
  const now = Date.now();
  const caller = { org: "org", keyId: "key", policy: {} } as Call["caller"];
  const call: Call = {
    id: newId("call", now, "0".repeat(52)),
    sessionId: "sess_1",
    caller,
    headers: new Headers(),
    annotate: true,
    createdAt: now,
    contextMode: "stateful",
  };
  const text = JSON.stringify({
    model: "fake/fault-cut",
    stream: true,
    messages: [{ role: "user", content: "hi" }],
    rhone: { routing: { models: ["fakeanth/fault-none"], midstream: "continue" } },
  });
  const surface = SURFACES.chat;
  const response = await generate(call, parseRequest(readMembers(text, call.headers, surface), surface), host);
  const received = await response.text();
  await Promise.all(work);
  return { text: received, failures };
}

it("an answer that was continued and cannot be stored is recorded as the second target's, with all of its text", async () => {
  const { text, failures } = await failToStore();
  expect(text).toContain("the answer could not be stored");
  expect(failures).toHaveLength(1);
  const { record, partial } = failures[0]!;
  expect(record).toMatchObject({ status: "failed", provider: "fakeanth", error: { code: "internal" } });
  const sent = text.matchAll(/"content":"([^"]*)"/g);
  const whole = Array.from(sent, ([, content]) => content).join("");
  expect(whole).toContain("Said fault.");
  expect(partial?.items).toContain(whole);
  // The first target's usage is that of a discarded attempt, and no other's.
  expect(record.usage).toMatchObject({ output: expect.any(Number) as number });
  expect(record.attempts.map(({ provider, error }) => [provider, error])).toEqual([
    ["fake", "stream.interrupted"],
    ["fakeanth", undefined],
  ]);
});
