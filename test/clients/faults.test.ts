import OpenAI from "openai";
import { describe, expect, inject, it } from "vitest";
import { WHOLE } from "../fake/wire-answers.ts";
import type { Seen } from "../fake/wire.ts";
import { type CallRecord, differences, runTasks } from "../support/faults/check.ts";
import { type Reading, readAnswer, SURFACES, toRequest } from "../support/faults/surfaces.ts";
import {
  type Fault,
  FAULTS,
  faultsOf,
  FORMS,
  type Form,
  nameOf,
  SILENCE_MS,
  toRouting,
} from "../support/faults/table.ts";
import { baseUrl, key } from "./gateway.ts";

/**
 * The faults of `test/support/faults/table.ts` from outside: a provider on bare sockets, a served gateway, clients over
 * HTTP and an official SDK.
 */

/** The provider of each surface's own dialect; the native one has none on sockets. */
const PROVIDERS: Record<string, string> = {
  chat: "wire",
  responses: "wireresp",
  messages: "wireanth",
  gemini: "wiregem",
  native: "wire",
};

/** A call waits for one silent target, and now and then for a machine that does too much at once. */
const MOST_MS = SILENCE_MS + 8_000;
const CONCURRENCY = 12;

/** What a client has read, and the headers that name the call. */
type Called = Reading & { provider: string | null; callId: string };
type Request = { surface: string; model: string; isStream: boolean; rhone: object };

async function callOverHttp({ surface, ...asked }: Request): Promise<Called> {
  const { path, init } = toRequest(surface, asked);
  const headers = { ...init.headers, authorization: `Bearer ${key}` };
  const response = await fetch(`${baseUrl}${path}`, { ...init, headers });
  const reading = readAnswer(surface, response.status, asked.isStream, await response.text());
  return { ...reading, ...namesIn(response.headers) };
}

const namesIn = (headers: Headers): { provider: string | null; callId: string } => ({
  provider: headers.get("x-rhone-provider"),
  callId: headers.get("x-rhone-call-id")!,
});

const client = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });

/** The same as read by the official SDK of Chat. */
async function callWithSdk({ model, rhone }: Request): Promise<Called> {
  const read = { text: "", ends: 0 };
  const body = { ...SURFACES.chat!.body, model, stream: true, rhone };
  const called = client.chat.completions.create(body as never).withResponse();
  const { data, response } = await called.catch((error: unknown) => ({ data: error, response: undefined }));
  if (response === undefined) {
    const { status, headers } = data as { status: number; headers: Headers };
    return { ...read, ...namesIn(headers), outcome: status, errors: 1 };
  }
  const names = namesIn(response.headers);
  try {
    for await (const { choices } of data as unknown as AsyncIterable<OpenAI.ChatCompletionChunk>) {
      read.text += choices[0]?.delta.content ?? "";
      if (typeof choices[0]?.finish_reason === "string") read.ends++;
    }
    return { ...read, ...names, outcome: "answered", errors: 0 };
  } catch {
    return { ...read, ...names, outcome: read.text === "" ? "error" : "broken", errors: 1 };
  }
}

const wireUrl = inject("wireUrl");

async function readJson<T>(url: string): Promise<T> {
  const response = await fetch(url, { headers: { authorization: `Bearer ${key}` } });
  return (await response.json()) as T;
}

/** A call is on record when its last byte has left, or shortly after. */
async function recordOf(id: string): Promise<CallRecord> {
  for (let i = 0; ; i++) {
    const call = await readJson<CallRecord & { ended_at?: string }>(`${baseUrl}/v1/calls/${id}`);
    if (i === 100 || call.ended_at !== undefined) return call;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

type Case = { name: string; fault: Fault; surface: string; form: Form; send: typeof callOverHttp };
let serial = 0;

/** Makes the calls of a fault in a form. Returns everything that differs from the table. */
async function check({ name, fault, surface, form, send }: Case): Promise<string[]> {
  const provider = `${name === "refused" ? "no" : ""}${PROVIDERS[surface]!}`;
  const own = { provider, model: `${fault.fault ?? name}.${surface}-${serial++}` };
  const other = PROVIDERS[surface] === "wireanth" ? "wire" : "wireanth";
  const routing = toRouting(fault, form, `${other}/${fault.fallback ?? "good"}.${own.model}`);
  const rhone = { context_mode: form.mode, routing };
  const found: string[] = [];
  const calls = fault.calls ?? 1;
  const seen: Seen[] = [];
  for (let i = 0; i < calls; i++) {
    const began = Date.now();
    const called = await send({ surface, model: `${provider}/${own.model}`, isStream: form.isStream, rhone });
    const ms = Date.now() - began;
    if (ms > MOST_MS) found.push(`it took ${ms} ms`);
    const all = await readJson<Seen[]>(`${wireUrl}/log?model=${own.model}`);
    const added = all.slice(seen.length);
    seen.push(...added);
    const record = await recordOf(called.callId);
    // Nobody listens at the address of a target that refuses connections.
    const requests =
      name === "refused" ? record.attempts.filter(({ model }) => model === own.model).length : added.length;
    found.push(...differences(fault, form, { ...called, record, requests }, { own, other, whole: WHOLE }));
  }
  const pause = name === "429-after" ? 1_000 : 10;
  const gaps = calls > 1 ? [] : seen.slice(1).map(({ at }, i) => at - seen[i]!.at);
  for (const gap of gaps) if (gap < pause) found.push(`it was tried again after ${gap} ms`);
  const isHeld = seen.some(({ goneAt, at }) => (goneAt ?? at) - at > SILENCE_MS + 3_000);
  if (isHeld) found.push("a silent provider's connection was held");
  return found.map((one) => `${name} ${surface} ${nameOf(form)} ${send.name}: ${one}`);
}

/**
 * Between the bytes of a stateless stream of the caller's own wire nobody looks: a `[DONE]` is passed on before it is
 * known to be false, and the error comes behind it.
 */
const isBlind = ({ name, surface, form }: Case): boolean =>
  name === "only-done" && surface === "chat" && form.mode === "stateless" && form.isStream && !form.isContinued;

/** The event without an end is as long as a gateway reads: it has a test of its own. */
const LARGE = "oversized";

async function checkAll(forms: readonly Pick<Case, "surface" | "form" | "send">[]): Promise<string[]> {
  const cases = faultsOf("sockets")
    .filter(([name]) => name !== LARGE)
    .flatMap(([name, fault]) => forms.map((form) => ({ name, fault, ...form })))
    .filter((one) => !isBlind(one));
  const found = await runTasks(
    cases.map((one) => () => check(one)),
    CONCURRENCY,
  );
  return found.flat();
}

const streams = FORMS.filter(({ isStream }) => isStream);

describe("a provider that fails", () => {
  it("every fault of a Chat stream has the outcome of the table by the official SDK, with and without a session", async () => {
    const send = callWithSdk;
    expect(await checkAll(streams.slice(0, 4).map((form) => ({ surface: "chat", send, form })))).toEqual([]);
  }, 90_000);

  it.each(Object.keys(SURFACES))(
    "every fault on %s has the outcome of the table, streamed, rescued, whole and without a fallback",
    async (surface) => {
      const forms = FORMS.filter((_, i) => [0, 3, 4, 7].includes(i));
      expect(await checkAll(forms.map((form) => ({ surface, send: callOverHttp, form })))).toEqual([]);
    },
    90_000,
  );

  it("an event without an end has the outcome of the table, with and without a session", async () => {
    for (const form of streams.slice(0, 2)) {
      const one = { name: LARGE, fault: FAULTS[LARGE]!, surface: "chat", form, send: callOverHttp };
      expect(await check(one)).toEqual([]);
    }
  }, 30_000);
});
