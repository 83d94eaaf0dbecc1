import type { PathParams } from "../../dialects/dialect.ts";
import type { Call, SessionCall } from "../../gateway/call/call.ts";
import type { ResponsesState } from "../../gateway/call/responses-state.ts";
import type { Caller } from "../../keys/caller.ts";
import { conversationObjectId, requireStub, type SessionStub } from "../../platform/session-stubs.ts";
import { type Conversation, findConversation } from "../../surfaces/clients.ts";
import type { SurfaceId } from "../../surfaces/index.ts";
import type { RequestText } from "../../surfaces/request.ts";
import { toRpcText } from "../../wire/bytes.ts";
import { newId } from "../../wire/id.ts";
import type { CallContext } from "../request/env.ts";
import { findByTranscript } from "./by-transcript.ts";
import { needsState, type UnstoredResponses } from "./destination.ts";
import { requireStorable } from "./storable.ts";

/** A generation call, before its body is read. */
export type Inference = {
  request: Request;
  surface: SurfaceId;
  /** Parameters of the request that stand in its path. */
  outside?: PathParams;
  caller: Caller;
  env: Cloudflare.Env;
  ctx: CallContext;
};

/** A call whose body has been read. `body`: what the client has sent. */
export type TextInference = Omit<Inference, "request" | "outside"> & {
  body: { text: string; headers: Headers; outside?: PathParams; createdAt: number };
  /** Responses with `store: false` that only this WebSocket connection may continue from. */
  unstored?: UnstoredResponses;
  /** Aborted when the client leaves. */
  clientLeft?: AbortSignal;
  /** A call of the gateway's own: no tools are executed for it. */
  isOwn?: true;
  /** The call of a judge: what it reads has been screened. */
  isJudging?: true;
};

/**
 * A call with its session. `known`: the id of the session's object, unless the call creates the session. `mayCreate`: the
 * call creates it if there is none.
 */
export type LocatedCall = {
  call: Omit<Call, "headers" | "contextMode">;
  isJournaled: boolean;
  stub: () => SessionStub;
  known?: string;
  mayCreate: boolean;
};

/**
 * A call that is to be handled. `facts`: what is known of it before it has an id; `create`: the client's own header; `isRun`: the
 * gateway executes tools for it.
 */
export type DecidedCall = {
  isRun: boolean;
  create: boolean | undefined;
  inference: TextInference;
  members: RequestText;
  facts: Omit<LocatedCall["call"], "id" | "sessionId">;
};

/** Handles a call in its session's object. */
export async function inferInSession(
  inference: TextInference,
  { call, stub, known, mayCreate }: LocatedCall,
): Promise<Response> {
  const session = stub();
  signalLeaving(inference, session, call.id);
  const sent = { ...toSessionCall(inference, call), isNew: known === undefined };
  return await session.call(mayCreate ? { ...sent, mayCreate } : sent);
}

/**
 * The conversation that the client names, or that its key has recognised by the transcript, unless the request itself says
 * where its context comes from.
 */
export function conversationOf(
  members: RequestText,
  inference: TextInference,
  response: ResponsesState | undefined,
): Conversation | undefined | Promise<Conversation> {
  const { caller, body } = inference;
  if (!isOpen(members, caller) || needsState(response)) return undefined;
  const named = findConversation(body.headers, members);
  const isRecognised = named === undefined && caller.policy?.defaults?.conversation === "transcript";
  return isRecognised ? findByTranscript(members, { ...inference, outside: body.outside ?? {} }) : named;
}

/** Whether the client names the conversation of a request that does not say itself where its context comes from. */
export const namesConversation = (
  members: RequestText,
  { caller, body }: Pick<TextInference, "caller" | "body">,
): boolean =>
  isOpen(members, caller) &&
  members.rhone.session_id === undefined &&
  members.members.every(({ key }) => key !== "conversation") &&
  findConversation(body.headers, members) !== undefined;

const isOpen = ({ rhone: { context_mode: mode, parent, store } }: RequestText, caller: Caller): boolean =>
  mode === undefined && parent === undefined && store !== "none" && caller.session === undefined;

/** Handles a call in the session of its conversation, which the call creates if it has to. */
export async function inferInConversation(
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

/** The call as its session's object gets it. */
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

/** Headers that hold the caller's credential: they are checked in the Worker and go no further. */
const CREDENTIALS = new Set(["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"]);
