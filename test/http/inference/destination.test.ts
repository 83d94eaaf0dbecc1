import { createHash, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { resolveDestination, type UnstoredResponses } from "../../../src/http/inference/destination.ts";
import type { ResponseLocation } from "../../../src/session/directory/response-index.ts";
import type { SurfaceId } from "../../../src/surfaces/index.ts";
import { readMembers } from "../../../src/surfaces/request.ts";
import { encodeObjectId, newId } from "../../../src/wire/id.ts";
import type { JsonObject } from "../../../src/wire/json.ts";

/** What a call needs of a namespace of Durable Objects: ids of this deployment end in its mark, as those of the platform do. */
const MARK = "5e55";
const objectFromName = (name: string): string => createHash("sha256").update(name).digest("hex").slice(0, 60) + MARK;
const idOf = (hex: string): { toString: () => string } => ({ toString: () => hex });

type Index = Record<string, ResponseLocation>;

/** The environment of a deployment. `indexes`: responses with ids of providers, by organisation. */
function environment(indexes: Record<string, Index> = {}): Cloudflare.Env {
  const SESSIONS = {
    idFromName: (name: string) => idOf(objectFromName(name)),
    idFromString: (hex: string) => {
      if (!hex.endsWith(MARK)) throw new TypeError("the id is of another namespace");
      return idOf(hex);
    },
    get: (id: object) => ({ id }),
  };
  const DIRECTORY = {
    idFromName: (name: string) => name,
    get: (name: string) => ({ find: async (id: string) => indexes[name.split("/")[0]!]?.[id] }),
  };
  return { SESSIONS, DIRECTORY } as unknown as Cloudflare.Env;
}

type Options = { surface?: SurfaceId; org?: string; indexes?: Record<string, Index>; unstored?: UnstoredResponses };

function resolve(body: JsonObject, { surface = "responses", org = "org", indexes, unstored }: Options = {}) {
  const request = readMembers(JSON.stringify(body), new Headers());
  return resolveDestination(request, surface, {
    org,
    env: environment(indexes),
    ...(unstored !== undefined && { unstored }),
  });
}

/** Object ids of this deployment's sessions. */
const objectIds = fc
  .uint8Array({ minLength: 30, maxLength: 30 })
  .map((bytes) => encodeObjectId(Buffer.from(bytes).toString("hex") + MARK));
const [one, other] = ["01", "02"].map((byte) => encodeObjectId(byte.repeat(30) + MARK)) as [string, string];
const foreign = encodeObjectId(`${"03".repeat(30)}beef`);

describe("a call that names no session", () => {
  it("a call that names no session creates one", async () => {
    for (const surface of ["chat", "messages", "gemini", "native"] as const)
      expect(await resolve({ rhone: { on_busy: "queue" } }, { surface })).toEqual({});
    expect(await resolve({})).toEqual({ response: { stored: true, background: false } });
  });

  it("a call that names no session may be stateless, unless it needs what the gateway stores", async () => {
    const rhone = { context_mode: "stateless" };
    expect(await resolve({ rhone, store: false })).toEqual({ response: { stored: false, background: false } });
    const needs = [{ background: true }, { conversation: "conv_a" }, { previous_response_id: newId("resp", 1, one) }];
    for (const state of needs)
      await expect(resolve({ ...state, rhone })).rejects.toMatchObject({
        code: "request.invalid",
        param: "rhone.context_mode",
      });
  });
});

describe("a session id", () => {
  it("a session id that the gateway made contains its object", () =>
    fc.assert(
      fc.asyncProperty(objectIds, async (objectId) => {
        const sessionId = `sess_${objectId}`;
        expect(await resolve({ rhone: { session_id: sessionId } }, { surface: "chat" })).toEqual({
          at: { sessionId, objectId },
        });
      }),
    ));

  it("a session id that a client chose names an object of its organisation only", () =>
    fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[A-Za-z0-9_.:-]{1,40}$/), async (name) => {
        const find = async (org: string): Promise<unknown> =>
          (await resolve({ rhone: { session_id: `sess_${name}` } }, { surface: "chat", org })).at;
        const at = await find("org");
        expect(at).toEqual({ sessionId: `sess_${name}`, objectId: encodeObjectId(objectFromName(`org/${name}`)) });
        expect(await find("org")).toEqual(at);
        expect(await find("another")).not.toEqual(at);
      }),
    ));

  it("a session id of another deployment is a name like any other", async () => {
    const { at } = await resolve({ rhone: { session_id: `sess_${foreign}` } });
    expect(at?.objectId).not.toBe(foreign);
  });
});

describe("a parent", () => {
  it.each(["turn", "call", "resp"])("a parent with the prefix %s leads to its session", (prefix) =>
    fc.assert(
      fc.asyncProperty(objectIds, async (objectId) => {
        const parent = newId(prefix, 1, objectId);
        expect(await resolve({ rhone: { parent } }, { surface: "chat" })).toEqual({
          at: { sessionId: `sess_${objectId}`, objectId },
        });
      }),
    ),
  );

  it.each(["snap_a", "none", "", newId("run", 1, one), newId("turn", 1, foreign), newId("turn", 1), `turn_${one}`])(
    "the parent %s leads to no session",
    async (parent) => {
      expect(await resolve({ rhone: { parent } }, { surface: "chat" })).toEqual({});
    },
  );

  it("a parent is looked up in the session that the call names", async () => {
    const rhone = { session_id: `sess_${one}`, parent: newId("turn", 1, other) };
    expect((await resolve({ rhone }, { surface: "chat" })).at?.objectId).toBe(one);
  });
});

describe("a conversation of OpenAI", () => {
  it("a conversation is the session of the same name, in both forms of the member", async () => {
    for (const conversation of [`conv_${one}`, { id: `conv_${one}` }])
      expect(await resolve({ conversation })).toEqual({
        at: { sessionId: `sess_${one}`, objectId: one },
        response: { stored: true, background: false, conversation: `conv_${one}` },
      });
  });

  it.each(["sess_a", "conv_", "conv_ä", "a"])("the conversation %s is not found", async (conversation) => {
    await expect(resolve({ conversation })).rejects.toMatchObject({ code: "object.not_found", param: "conversation" });
  });

  it("a conversation is a member of Responses only", async () => {
    expect(await resolve({ conversation: "conv_a" }, { surface: "chat" })).toEqual({});
  });
});

describe("a previous response", () => {
  it("a previous response with an id of the gateway leads to its session and call without a look-up", () =>
    fc.assert(
      fc.asyncProperty(objectIds, async (objectId) => {
        const id = newId("resp", 1, objectId);
        expect(await resolve({ previous_response_id: id })).toEqual({
          at: { sessionId: `sess_${objectId}`, objectId },
          response: { stored: true, background: false, from: { id, call: id.replace("resp_", "call_") } },
        });
      }),
    ));

  it("a previous response with an id of a provider is found in the index of its organisation only", async () => {
    const id = `resp_${randomBytes(8).toString("hex")}`;
    const indexes = { org: { [id]: { place: one, call: "call_a" } } };
    const { at, response } = await resolve({ previous_response_id: id }, { indexes });
    expect([at?.objectId, response?.from]).toEqual([one, { id, call: "call_a" }]);
    await expect(resolve({ previous_response_id: id }, { indexes, org: "another" })).rejects.toMatchObject({
      code: "object.not_found",
      status: 400,
      param: "previous_response_id",
      word: "previous_response_not_found",
    });
  });

  it("a previous response of another deployment is not found", async () => {
    for (const [id, indexes] of [
      [newId("resp", 1, foreign), {}],
      ["resp_a", { org: { resp_a: { place: "", call: "" } } }],
    ] as const)
      await expect(resolve({ previous_response_id: id }, { indexes })).rejects.toMatchObject({
        word: "previous_response_not_found",
      });
  });

  it("a previous response that its connection sent without storing it is found there first", async () => {
    const unstored = new Map([["resp_a", { place: one, call: "call_a" }]]);
    const indexes = { org: { resp_a: { place: other, call: "call_b" } } };
    const { at, response } = await resolve({ previous_response_id: "resp_a" }, { indexes, unstored });
    expect([at?.objectId, response?.from]).toEqual([one, { id: "resp_a", call: "call_a", isHeard: true }]);
  });

  it("a previous response belongs to the session that the call names", async () => {
    const previous = newId("resp", 1, one);
    const named = (sessionId: string): ReturnType<typeof resolve> =>
      resolve({ previous_response_id: previous, rhone: { session_id: sessionId } });
    expect((await named(`sess_${one}`)).at).toEqual({ sessionId: `sess_${one}`, objectId: one });
    await expect(named(`sess_${other}`)).rejects.toMatchObject({
      code: "request.invalid",
      param: "previous_response_id",
    });
  });

  it("a previous response excludes a conversation", async () => {
    const both = { previous_response_id: newId("resp", 1, one), conversation: `conv_${one}` };
    await expect(resolve(both)).rejects.toMatchObject({ code: "request.invalid", param: "conversation" });
  });
});

describe("a request that only prepares the next one", () => {
  it("a request that only prepares the next one exists on a WebSocket only", async () => {
    expect(await resolve({ generate: false })).toEqual({ response: { stored: true, background: false } });
    expect(await resolve({ generate: false }, { unstored: new Map() })).toEqual({
      response: { stored: true, background: false, isWarmUp: true },
    });
  });
});
