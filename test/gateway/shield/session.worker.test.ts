import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { SIGNATURE } from "../../fake/anthropic.ts";
import {
  CARD,
  decisionsOf,
  EMAIL,
  json,
  REDACTING,
  setProfile,
  setTags,
  TAG,
  type Json,
} from "../../support/shield/gateway.ts";
import { type Answer, contents, objectOf, post, request, sent, user } from "../../support/worker/client.ts";

let safety: { profile: string; mode: string };

beforeAll(async () => {
  safety = await setTags();
  await setProfile("tags-only", { mode: "enforce", restore: "none", detectors: REDACTING });
});

const textOf = ({ choices }: Answer): string => choices[0]!.message.content;

describe("a session", () => {
  it("holds no value, and gives it back where a later answer names its tag, also after an eviction", async () => {
    const first = await sent({ messages: [user(`I am ${EMAIL}.`)], rhone: { safety } });
    const session_id = first.answer.rhone.session_id;
    const object = objectOf(first.answer.rhone.call_id);
    const stored = await runInDurableObject(object, (_, { storage }) =>
      ["turns", "calls", "events", "shield", "responses"].map((table) => {
        try {
          return JSON.stringify([...storage.sql.exec(`SELECT * FROM ${table}`)], (_key, value: unknown) =>
            value instanceof ArrayBuffer ? new TextDecoder().decode(value) : value,
          );
        } catch {
          return "";
        }
      }),
    );
    const [tag] = TAG.exec(stored[0]!)!;
    for (const text of [stored[0], stored[1], stored[3]]) expect(text).not.toContain(EMAIL);
    const { results } = await env.DB.prepare("SELECT * FROM call_records").all();
    expect(JSON.stringify(results)).not.toContain(EMAIL);
    await evictDurableObject(object);
    const again = await sent({ messages: [user("And?")], rhone: { session_id } });
    // The session goes on with its profile: the history has the tag, and the client sees its value.
    expect(again.raw).toContain(EMAIL);
    expect(contents(again.body)[0]).toBe(`I am ${EMAIL}.`);
    const blocks = await (await request(`/v1/sessions/${session_id}/blocks`)).text();
    expect(blocks).toContain(tag);
    expect(blocks).not.toContain(EMAIL);
  });

  it("recognises its transcript though the client sends the values again, and its requests start alike", async () => {
    const seen: string[] = [];
    const messages: Json[] = [];
    let session: string | undefined;
    for (const question of [`I am ${EMAIL}.`, `My card is ${CARD}.`, "Who am I?"]) {
      messages.push(user(question));
      const rhone = { safety, ...(session !== undefined && { session_id: session }) };
      const response = await post({ model: "fake/mirror", messages, rhone }, { "x-rhone-annotate": "headers" });
      const answer = (await response.json()) as Answer;
      session ??= response.headers.get("x-rhone-session-id")!;
      expect(response.headers.get("x-rhone-session-id")).toBe(session);
      const { messages: asked } = JSON.parse(textOf(answer)) as { messages: Json[] };
      seen.push(JSON.stringify(asked).slice(0, -1));
      messages.push({ role: "assistant", content: textOf(answer) });
    }
    expect(seen[1]!.startsWith(seen[0]!)).toBe(true);
    expect(seen[2]!.startsWith(seen[1]!)).toBe(true);
    const { turns } = await json("GET", `/v1/sessions/${session}`);
    expect(turns).toBe(3);
  });

  it("keeps prefixes and signatures over three providers", async () => {
    const PROVIDERS = ["fakeanth", "fake", "fakegem"];
    const seen = new Map<string, string[]>();
    let session: string | undefined;
    for (let turn = 0; turn < 9; turn++) {
      const provider = PROVIDERS[turn % PROVIDERS.length]!;
      const rhone = {
        safety: { profile: "tags-only" },
        context_mode: "stateful",
        ...(session !== undefined && { session_id: session }),
      };
      const body = {
        model: `${provider}/think`,
        max_tokens: 999,
        messages: [user(`Turn ${turn} of ${EMAIL}.`)],
        rhone,
      };
      const response = await request("/v1/messages", {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "anthropic-version": "2023-06-01" },
      });
      session ??= response.headers.get("x-rhone-session-id")!;
      const { content } = await response.json<{ content: { type: string; text: string }[] }>();
      const { text } = content.find(({ type }) => type === "text")!;
      if (turn < PROVIDERS.length && turn > 0) expect(text).not.toContain(EMAIL);
      if (!text.startsWith("{")) continue;
      const asked = JSON.parse(text) as { messages?: Json[]; contents?: Json[] };
      seen.set(provider, [...(seen.get(provider) ?? []), JSON.stringify(asked.messages ?? asked.contents)]);
    }
    expect([...seen.keys()].toSorted()).toEqual(PROVIDERS.toSorted());
    for (const [provider, requests] of seen)
      for (const [i, one] of requests.slice(1).entries())
        expect([provider, one.startsWith(requests[i]!.slice(0, -1))]).toEqual([provider, true]);
    expect(seen.get("fakeanth")!.at(-1)).toContain(JSON.stringify(SIGNATURE));
  });

  it("goes on with its version of a profile until a newer one lets less pass", async () => {
    const lax = { mode: "enforce", detectors: { email: { action: "redact" } } };
    await setProfile("moving", lax);
    const key = await json("POST", "/v1/keys", {
      name: "k",
      ttl_s: 600,
      scopes: ["inference", "sessions:write", "sessions:read", "safety:read"],
      defaults: { safety: { profile: "moving" } },
    });
    const secret = key.secret as string;
    const ask = async (text: string, session?: string): Promise<Json> =>
      json(
        "POST",
        "/v1/chat/completions",
        {
          model: "fake/mirror",
          messages: [user(text)],
          rhone: { context_mode: "stateful", ...(session && { session_id: session }) },
        },
        secret,
      );
    const versionOf = async (answer: Json): Promise<unknown> => {
      const { call_id } = answer.rhone as { call_id: string };
      return (await decisionsOf(call_id))[0]?.version;
    };
    const first = await ask(`I am ${EMAIL}.`);
    const { session_id } = first.rhone as { session_id: string };
    expect(await versionOf(first)).toBe(1);
    await setProfile("moving", { mode: "enforce", detectors: { email: { action: "allow" } } });
    expect(await versionOf(await ask(`Me again, ${EMAIL}.`, session_id))).toBe(1);
    await setProfile("moving", {
      mode: "enforce",
      detectors: { email: { action: "redact" }, card: { action: "redact" } },
    });
    expect(await versionOf(await ask(`Still ${EMAIL}.`, session_id))).toBe(3);
    const { version, detectors } = await json("GET", "/v1/safety/profiles/moving?version=1");
    expect([version, detectors]).toEqual([1, { email: { action: "redact", as: "tag" } }]);
  });

  it("goes on with the profile of the first of two calls that arrive at once", async () => {
    await setProfile("one", { mode: "enforce", detectors: { email: { action: "redact" } } });
    await setProfile("other", {
      mode: "enforce",
      detectors: { email: { action: "redact" }, ip: { action: "redact" } },
    });
    const { id } = await json("POST", "/v1/sessions", {});
    const ask = (profile?: string): Promise<Json> =>
      json("POST", "/v1/chat/completions", {
        model: "demo",
        messages: [user(`I am ${EMAIL}.`)],
        rhone: { context_mode: "stateful", session_id: id, ...(profile && { safety: { profile } }) },
      });
    const idOf = ({ rhone }: Json): string => (rhone as { call_id: string }).call_id;
    await Promise.all(["one", "other"].map(ask));
    const { turns } = (await json("GET", `/v1/sessions/${id as string}/lineage`)) as { turns: Json[] };
    const first = turns.find(({ parent_id }) => parent_id === null)!.id as string;
    const profileOf = async (call: string): Promise<unknown> => (await decisionsOf(call))[0]!.profile;
    expect(await profileOf(idOf(await ask()))).toBe(await profileOf(first.replace(/^turn/, "call")));
  });

  it("hands its values and its profile to a branch, but none to one whose texts are redacted", async () => {
    const { answer } = await sent({ messages: [user(`I am ${EMAIL}.`)], rhone: { safety } });
    const branch = async (transforms: string[]): Promise<string> => {
      const { id } = await json("POST", `/v1/sessions/${answer.rhone.session_id}:branch`, { transforms });
      const again = await sent({ messages: [user("And?")], rhone: { session_id: id as string } });
      return again.raw;
    };
    expect(await branch([])).toContain(EMAIL);
    expect(await branch(["redact"])).not.toContain(EMAIL);
  });

  it("that was deleted leaves nothing to a new one of its id", async () => {
    const session_id = "sess_chosen-and-deleted";
    const ask = (more: object): Promise<{ raw: string }> =>
      sent(
        { messages: [user(`I am ${EMAIL}.`)], rhone: { session_id, ...more } },
        { "x-rhone-session-create": "true" },
      );
    expect((await ask({ safety: { ...safety, profile: "tags-only" } })).raw).not.toContain(EMAIL);
    await json("DELETE", `/v1/sessions/${session_id}`);
    expect((await ask({})).raw).toContain(EMAIL);
  });
});
