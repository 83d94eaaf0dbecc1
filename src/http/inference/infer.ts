import { GatewayError, invalid } from "../../canonical/error.ts";
import { textOfBlocks } from "../../canonical/text.ts";
import { native } from "../../dialects/native/index.ts";
import { generate } from "../../gateway/generation.ts";
import { resolveReferences } from "../../gateway/responses/references.ts";
import { hasServerTools } from "../../gateway/session/call-runs.ts";
import type { QueryJudge } from "../../gateway/shield/judge.ts";
import { screenText } from "../../gateway/shield/screen-text.ts";
import { requireSurface } from "../../keys/permissions.ts";
import { Capacity } from "../../platform/capacity.ts";
import { newCallIds } from "../../platform/journal-stubs.ts";
import { providersFor } from "../../platform/org-providers.ts";
import { getIsolateRouter } from "../../platform/router.ts";
import { shieldFor } from "../../platform/safety.ts";
import { isChosenId, requireStub, type SessionStub } from "../../platform/session-stubs.ts";
import { itemsFor } from "../../platform/stored-items.ts";
import { sessionNotFound } from "../../session/session.ts";
import { readText } from "../../surfaces/body.ts";
import { withKeyDefaults } from "../../surfaces/defaults.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { openRequest, parseRequest, readMembers, type RequestText } from "../../surfaces/request.ts";
import { storesContent } from "../../surfaces/rhone.ts";
import { newId } from "../../wire/id.ts";
import { parseJson } from "../../wire/json.ts";
import { requireOwnObject } from "../admission/client-token.ts";
import { locateDecision, type SessionDestination, needsState, resolveDestination } from "./destination.ts";
import {
  conversationOf,
  type DecidedCall,
  type Inference,
  inferInConversation,
  inferInSession,
  type LocatedCall,
  namesConversation,
  type TextInference,
} from "./in-session.ts";
import { findServerTools } from "./server-tools.ts";
import { createStatelessHost } from "./stateless.ts";
import { requireStorable } from "./storable.ts";

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

/** As `infer`, for a body that has been read and a caller who may use the surface. */
export async function inferText(inference: TextInference): Promise<Response> {
  const { body, surface, caller, env, unstored } = inference;
  const { text, headers, outside = {}, createdAt } = body;
  const members = withKeyDefaults(readMembers(text, headers, SURFACES[surface]), caller, outside);
  const sources = { headers, env, org: caller.org, ...(unstored && { unstored }) };
  const [{ at: named, response: requested }, isRun] = await Promise.all([
    resolveDestination(members, surface, sources),
    isAnsweredByRun(members, inference),
  ]);
  const decides = isRun && !namesConversation(members, inference);
  const at = named ?? (decides ? await locateDecision(members, surface, sources) : undefined);
  if (isRun && members.rhone.context_mode === "stateless") throw invalid("rhone.context_mode", STATEFUL);
  const response = requested && { ...requested, stored: requested.stored && storesContent(members.rhone) };
  requireOwnObject(caller, at?.objectId, env);
  const annotate = !annotatesHeadersOnly(headers);
  const facts = { caller, annotate, createdAt, ...(response !== undefined && { response }) };
  const conversation = at === undefined ? await conversationOf(members, inference, response) : undefined;
  const decided = { inference, members, facts, isRun, create: readFlag(headers, "x-rhone-session-create") };
  const answer = conversation === undefined ? inferAt(at, decided) : inferInConversation(conversation, decided);
  return await outliveClient(answer, inference.ctx);
}

/** Whether the gateway executes tools for a call. */
async function isAnsweredByRun(
  members: RequestText,
  { isOwn, body, ctx, ...inference }: TextInference,
): Promise<boolean> {
  if (isOwn === true) return false;
  const { outside = {} } = body;
  const found = await findServerTools(members, { ...inference, outside, waitUntil: (work) => ctx.waitUntil(work) });
  return hasServerTools(members, found);
}

/** Handles a call of the session that it names, or else of a new one. */
async function inferAt(
  at: SessionDestination["at"],
  { inference, members, facts, isRun, create }: DecidedCall,
): Promise<Response> {
  const { env, ctx, caller } = inference;
  const { createdAt, response } = facts;
  const isNew = at === undefined;
  const { contextMode, createsSessions } = getIsolateRouter(env).config.defaults;
  const mayCreate =
    (create ?? createsSessions) &&
    caller.session === undefined &&
    members.rhone.session_id !== undefined &&
    isChosenId(env.SESSIONS, members.rhone.session_id);
  const needsHistory = isRun || needsState(response);
  const mode = members.rhone.context_mode ?? (needsHistory ? "stateful" : contextMode);
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

const STATEFUL = "expected stateful: the gateway executes tools of the call, and goes on from what is stored of it";

/** Handles a stateless call in this Worker. */
async function inferHere(
  { body: { headers, outside = {} }, surface, caller, env, ctx, clientLeft, isJudging }: TextInference,
  { call, isJournaled, stub, known, mayCreate }: LocatedCall,
  members: RequestText,
): Promise<Response> {
  const isNew = known === undefined || !(await stub().has(caller.org));
  if (isNew && known !== undefined && !mayCreate) throw sessionNotFound();
  const waitUntil = (work: Promise<unknown>): void => ctx.waitUntil(work);
  const shielded = { caller, requested: members.rhone.safety, query: queryFor({ caller, env, ctx }) };
  const shield = isJudging ? undefined : await shieldFor(env, shielded, waitUntil);
  // What is relayed and journaled is its provider's to judge. Elsewhere its meaning is needed, at the latest at its end.
  const parse = isJournaled ? openRequest : parseRequest;
  const parsed = parse(screenText(members, shield), SURFACES[surface], outside);
  const request = await resolveReferences(parsed, itemsFor(env, caller, known));
  const providers = await providersFor(env, caller.org, waitUntil);
  const { id, response } = call;
  const stored = response?.stored === true ? { stored: { id, response } } : {};
  const { rhone } = members;
  const host = createStatelessHost({
    org: caller.org,
    stub,
    isNew,
    isJournaled,
    env,
    ctx,
    providers,
    shield,
    clientLeft,
    rhone,
    ...stored,
  });
  return await generate({ ...call, headers, contextMode: "stateless" }, request, host);
}

/** Queries a model for a caller, as a stateless call of its own whose content is not stored. Rejects with its error. */
export const queryFor =
  ({ caller, env, ctx }: Pick<TextInference, "caller" | "env" | "ctx">): QueryJudge =>
  async (query) => {
    const rhone = { context_mode: "stateless", store: "metadata" };
    const text = JSON.stringify({ ...query, rhone });
    const body = { text, headers: new Headers(), createdAt: Date.now() };
    const work = { waitUntil: (more: Promise<unknown>) => ctx.waitUntil(more) };
    const response = await inferText({ body, surface: "native", caller, env, ctx: work, isJudging: true, isOwn: true });
    const answer = await response.text();
    if (!response.ok) throw new GatewayError("provider.execution_failed", "the judge's call has failed");
    return native
      .decodeResponse(parseJson(answer), "", "")
      .messages.map(({ blocks }) => textOfBlocks(blocks))
      .join("");
  };

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
