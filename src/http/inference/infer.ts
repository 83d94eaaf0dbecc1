import { invalid } from "../../canonical/error.ts";
import type { PathParams } from "../../dialects/dialect.ts";
import type { Call, SessionCall } from "../../gateway/call/call.ts";
import type { ResponsesState } from "../../gateway/call/responses-state.ts";
import { generate } from "../../gateway/generation.ts";
import { resolveReferences } from "../../gateway/responses/references.ts";
import type { Caller } from "../../keys/caller.ts";
import { requireSurface } from "../../keys/permissions.ts";
import { Capacity } from "../../platform/capacity.ts";
import { newCallIds } from "../../platform/journal-stubs.ts";
import { providersFor } from "../../platform/org-providers.ts";
import { getIsolateRouter } from "../../platform/router.ts";
import { conversationObjectId, isChosenId, requireStub, type SessionStub } from "../../platform/session-stubs.ts";
import { itemsFor } from "../../platform/stored-items.ts";
import { sessionNotFound } from "../../session/session.ts";
import { readText } from "../../surfaces/body.ts";
import { type Conversation, findConversation } from "../../surfaces/clients.ts";
import { withKeyDefaults } from "../../surfaces/defaults.ts";
import { SURFACES, type SurfaceId } from "../../surfaces/index.ts";
import { openRequest, parseRequest, readMembers, type RequestText } from "../../surfaces/request.ts";
import { storesContent } from "../../surfaces/rhone.ts";
import { toRpcText } from "../../wire/bytes.ts";
import { newId } from "../../wire/id.ts";
import { requireOwnObject } from "../admission/client-token.ts";
import type { CallContext } from "../request/env.ts";
import { type SessionDestination, needsState, resolveDestination, type UnstoredResponses } from "./destination.ts";
import { createStatelessHost } from "./stateless.ts";
import { requireStorable } from "./storable.ts";

type Inference = {
  request: Request;
  surface: SurfaceId;
  /** Parameters of the request that stand in its path. */
  outside?: PathParams;
  caller: Caller;
  env: Cloudflare.Env;
  ctx: CallContext;
};

/**
 * Handles a generation call: in its session's object, or here if it is stateless. The isolate's capacity is taken until
 * the answer and all work after it are done. Throws the request's first error.
 */
export async function infer({ request, ...inference }: Inference): Promise<Response> {
  const createdAt = Date.now();
  requireSurface(inference.caller, inference.surface);
  const { storesAnswer = false } = inference.ctx;
  const held = CAPACITY.enter();
  const work: Promise<unknown>[] = [];
  const waitUntil = (more: Promise<unknown>): void => {
    work.push(more);
    inference.ctx.waitUntil(more);
  };
  try {
    const text = await readText(request, undefined, held.hold);
    const { headers, signal: clientLeft } = request;
    const { surface, outside = {}, caller, env } = inference;
    const body = { text, headers, outside, createdAt };
    return await inferText({ body, surface, caller, env, ctx: { waitUntil, storesAnswer }, clientLeft });
  } finally {
    void Promise.allSettled(work).then(held.leave);
  }
}

const CAPACITY = new Capacity();

/** A call whose body has been read. `body`: what the client has sent. */
type TextInference = Omit<Inference, "request" | "outside"> & {
  body: { text: string; headers: Headers; outside?: PathParams; createdAt: number };
  /** Responses with `store: false` that only this WebSocket connection may continue from. */
  unstored?: UnstoredResponses;
  /** Aborted when the client leaves. */
  clientLeft?: AbortSignal;
};

/** As `infer`, for a body that has been read and a caller who may use the surface. */
export async function inferText(inference: TextInference): Promise<Response> {
  const { body, surface, caller, env, unstored } = inference;
  const { text, headers, outside = {}, createdAt } = body;
  const members = withKeyDefaults(readMembers(text, headers, SURFACES[surface]), caller, outside);
  const sources = { headers, env, org: caller.org, ...(unstored && { unstored }) };
  const { at, response: requested } = await resolveDestination(members, surface, sources);
  const response = requested && { ...requested, stored: requested.stored && storesContent(members.rhone) };
  requireOwnObject(caller, at?.objectId, env);
  const annotate = !annotatesHeadersOnly(headers);
  const facts = { caller, annotate, createdAt, ...(response !== undefined && { response }) };
  const conversation = at === undefined ? conversationOf(members, inference, response) : undefined;
  const answer =
    conversation === undefined
      ? inferAt(at, { inference, members, facts })
      : inferInConversation(conversation, { inference, members, facts });
  return await outliveClient(answer, inference.ctx);
}

/** A call that is to be handled. `facts`: what is known of it before it has an id. */
type DecidedCall = {
  inference: TextInference;
  members: RequestText;
  facts: Omit<LocatedCall["call"], "id" | "sessionId">;
};

/** Handles a call of the session that it names, or else of a new one. */
async function inferAt(at: SessionDestination["at"], { inference, members, facts }: DecidedCall): Promise<Response> {
  const { env, ctx, body } = inference;
  const { createdAt, response } = facts;
  const isNew = at === undefined;
  const { contextMode, createsSessions } = getIsolateRouter(env).config.defaults;
  const mayCreate =
    (readFlag(body.headers, "x-rhone-session-create") ?? createsSessions) &&
    members.rhone.session_id !== undefined &&
    isChosenId(env.SESSIONS, members.rhone.session_id);
  const mode = members.rhone.context_mode ?? (needsState(response) ? "stateful" : contextMode);
  requireStorable(members.rhone, { needsSession: mode === "stateful" || !isNew, response, ctx });
  // A stored response will be requested again by its id, so its session must not wait in a journal.
  const isJournaled = isNew && mode === "stateless" && response === undefined;
  const { objectId, ...ids } = isNew
    ? newCallIds(env, createdAt, isJournaled)
    : { ...at, id: newId("call", createdAt, at.objectId) };
  const stub = (): SessionStub => requireStub(env.SESSIONS, objectId);
  const known = at === undefined ? {} : { known: at.objectId };
  const located = { call: { ...ids, ...facts }, isJournaled, stub, ...known, mayCreate };
  return mode === "stateless" ? inferHere(inference, located, members) : inferInSession(inference, located);
}

/**
 * A call with its session. `known`: the id of the session's object, unless the call creates the session. `mayCreate`: the
 * call creates it if there is none.
 */
type LocatedCall = {
  call: Omit<Call, "headers" | "contextMode">;
  isJournaled: boolean;
  stub: () => SessionStub;
  known?: string;
  mayCreate: boolean;
};

/** Handles a call in its session's object. */
async function inferInSession(
  inference: TextInference,
  { call, stub, known, mayCreate }: LocatedCall,
): Promise<Response> {
  const session = stub();
  signalLeaving(inference, session, call.id);
  const sent = { ...toSessionCall(inference, call), isNew: known === undefined };
  return await session.call(mayCreate ? { ...sent, mayCreate } : sent);
}

/** The conversation that the client names, unless the request itself says where its context comes from. */
function conversationOf(
  { rhone, text, members }: RequestText,
  { body: { headers }, caller }: TextInference,
  response: ResponsesState | undefined,
): Conversation | undefined {
  const isOpen = rhone.context_mode === undefined && rhone.store !== "none" && caller.session === undefined;
  return isOpen && !needsState(response) ? findConversation(headers, { text, members }) : undefined;
}

/** Handles a call in the session of its conversation, which the call creates if it has to. */
async function inferInConversation(
  conversation: Conversation,
  { inference, members, facts }: DecidedCall,
): Promise<Response> {
  const { env, caller, ctx } = inference;
  requireStorable(members.rhone, { needsSession: true, response: facts.response, ctx });
  for (let generation = 0; ; generation++) {
    const objectId = conversationObjectId(env.SESSIONS, caller, conversation, generation);
    const id = newId("call", facts.createdAt, objectId);
    const session = requireStub(env.SESSIONS, objectId);
    const call = { ...facts, id, sessionId: `sess_${objectId}`, conversation };
    signalLeaving(inference, session, id);
    const sent = { ...toSessionCall(inference, call), isNew: false, mayCreate: true } as const;
    const answer = await session.callInConversation(sent);
    if (answer !== undefined) return answer;
  }
}

const toSessionCall = (
  { body: { text, headers, outside = {} }, surface }: TextInference,
  call: LocatedCall["call"],
): Omit<SessionCall, "isNew"> => ({
  ...call,
  headers: [...headers].filter(([name]) => !CREDENTIALS.has(name)),
  surface,
  outside,
  text: toRpcText(text),
});

/** Tells the session's object when the client of a call leaves. */
function signalLeaving({ ctx, clientLeft }: TextInference, session: SessionStub, id: string): void {
  clientLeft?.addEventListener("abort", () => ctx.waitUntil(session.left(id)), { once: true });
}

/** Handles a stateless call in this Worker. */
async function inferHere(
  { body: { headers, outside = {} }, surface, caller, env, ctx, clientLeft }: TextInference,
  { call, isJournaled, stub, known, mayCreate }: LocatedCall,
  members: RequestText,
): Promise<Response> {
  const isNew = known === undefined || !(await stub().has(caller.org));
  if (isNew && known !== undefined && !mayCreate) throw sessionNotFound();
  // What is relayed and journaled is its provider's to judge. Elsewhere its meaning is needed, at the latest at its end.
  const parse = isJournaled ? openRequest : parseRequest;
  const parsed = parse(members, SURFACES[surface], outside);
  const request = await resolveReferences(parsed, itemsFor(env, caller, known));
  const providers = await providersFor(env, caller.org, (work) => ctx.waitUntil(work));
  const { id, response } = call;
  const stored = response?.stored === true ? { stored: { id, response } } : {};
  const { rhone } = members;
  const host = createStatelessHost({ stub, isNew, isJournaled, env, ctx, providers, clientLeft, rhone, ...stored });
  return await generate({ ...call, headers, contextMode: "stateless" }, request, host);
}

/** Throws `request.invalid` for a value other than `true` and `false`. */
function readFlag(headers: Headers, name: string): boolean | undefined {
  const value = headers.get(name);
  if (value !== null && value !== "true" && value !== "false")
    throw invalid(name, "expected true or false, or no such header");
  return value === null ? undefined : value === "true";
}

/**
 * Whether the caller wants bodies unchanged and the `rhone` object in headers only. Throws `request.invalid` for a
 * value other than `headers`.
 */
function annotatesHeadersOnly(headers: Headers): boolean {
  const annotate = headers.get("x-rhone-annotate");
  if (annotate !== null && annotate !== "headers")
    throw invalid("x-rhone-annotate", "expected headers, or no such header");
  return annotate !== null;
}

/**
 * Keeps the request running until its answer starts. workerd ends a request whose client has left at once if nothing
 * is registered with `waitUntil`, before the abort signal fires.
 */
function outliveClient(answer: Promise<Response>, ctx: Inference["ctx"]): Promise<Response> {
  ctx.waitUntil(answer.catch(() => {}));
  return answer;
}

/** Headers that hold the caller's credential: they are checked in the Worker and go no further. */
const CREDENTIALS = new Set(["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"]);
