import { GatewayError, toGatewayError } from "../canonical/error.ts";
import type { EncodeTarget } from "../dialects/dialect.ts";
import { DIALECTS } from "../dialects/index.ts";
import { fetchOf, requestTo } from "../providers/call.ts";
import { attempt } from "../routing/attempt.ts";
import { plan, type Target } from "../routing/plan.ts";
import type { Said } from "../session/session.ts";
import { decodeUtf8 } from "../wire/bytes.ts";
import { isObject, tryParseJson } from "../wire/json.ts";
import { type Answering, isRelay, settleFailure, unaskedUsage } from "./answering.ts";
import type { Asked } from "./ask.ts";
import { type Call, type Host, Notes } from "./call.ts";
import { reply } from "./reply.ts";
import { type Restored, restoreBytes, restoreMeaning } from "./restore.ts";
import type { Surface } from "./surface.ts";
import { bytesOf } from "./upstream.ts";

/**
 * THE PATH. Every call takes it, from every surface, streamed or whole, in the Worker or in a session's object:
 * where it may go, what was said before, the attempt, the answer. Never throws: an error is an answer, too.
 */
export async function answer(call: Call, asked: Asked, host: Host): Promise<Response> {
  const notes = new Notes(call, asked, host);
  let answering: Answering | undefined;
  try {
    const [target] = await plan(asked.model, asked.surface.dialect.id, host.providers);
    notes.target = target;
    const dialect = DIALECTS[target.dialect];
    if (dialect === undefined) throw unspoken(target);
    const context = host.begin(saidIn(asked), notes.started());
    notes.context = context;
    const unanswered = { upstream: new Response(null), cancel: () => {} };
    answering = { call, asked, host, notes, context, dialect, target: encodeTarget(target), ...unanswered };
    const { body, losses } = restored(answering);
    const request = await upstreamRequest(answering, target, body);
    notes.losses.push(...losses, ...request.losses);
    if (asked.rhone.strict && notes.losses.length > 0) throw strictly(notes.losses[0]!.at);
    notes.dispatchedAt = host.now();
    const tried = await attempt(target, request, {
      fetch: fetchOf(target.provider),
      now: host.now,
      note: (made) => notes.attempts.push(made),
    });
    answering = { ...answering, upstream: tried.response, cancel: tried.cancel };
    const response = tried.response.ok ? await reply(answering) : await refusal(answering);
    return withHeaders(response, answering, tried.response);
  } catch (thrown) {
    const error = toGatewayError(thrown);
    if (answering !== undefined) await settleFailure(answering, error);
    return withHeaders(errorResponse(asked.surface, error, call.id), { call, asked, notes });
  }
}

/** The request's id where all clients look for it, and where the surface's own do. A provider's own word stays. */
function nameRequest(headers: Headers, id: string, surface: Surface): void {
  headers.set("x-request-id", id);
  const own = surface.requestIdHeader;
  if (own !== undefined && !headers.has(own)) headers.set(own, id);
}

/** An error in the surface's own shape. */
export function errorResponse(surface: Surface, error: GatewayError, requestId: string): Response {
  const headers = new Headers({ "content-type": "application/json" });
  nameRequest(headers, requestId, surface);
  if (error.retryAfterSeconds !== undefined) headers.set("retry-after", String(error.retryAfterSeconds));
  return new Response(JSON.stringify(surface.dialect.encodeError(error, requestId)), { status: error.status, headers });
}

/** What a call says, as its session has to know it. */
export function saidIn({ messages, leading, instructions, rhone: { parent } }: Asked): Said {
  return {
    messages: messages.slice(leading),
    ...(instructions !== undefined && { instructions }),
    ...(parent !== undefined && { parent }),
  };
}

/** The caller's bytes where they can be kept, else what they mean. */
function restored(answering: Answering): Restored {
  const { asked, context, dialect, target } = answering;
  const { instructions } = context;
  const isKept = isRelay(answering) && (instructions === undefined || instructions.dialect === dialect.id);
  return isKept
    ? restoreBytes(asked, context, target, unaskedUsage(answering))
    : restoreMeaning(asked, context, dialect, target);
}

/** What the provider refused, in its own words and, where they have the surface's shape, in its own bytes. */
async function refusal(answering: Answering): Promise<Response> {
  const { asked, call, dialect, upstream } = answering;
  const bytes = await bytesOf(answering);
  if (upstream.status < 400) {
    throw new GatewayError(
      "provider.execution_failed",
      `the provider answered with status ${upstream.status}, which is no answer`,
    );
  }
  const text = decodeUtf8(bytes);
  const error = dialect.decodeError(upstream.status, text, requestIdOf(upstream.headers) ?? undefined);
  await settleFailure(answering, error);
  const body = tryParseJson(text);
  const isOwnShape =
    isRelay(answering) && isObject(body) && isObject(body.error) && typeof body.error.message === "string";
  if (!isOwnShape) return errorResponse(asked.surface, error, call.id);
  return new Response(bytes, {
    status: upstream.status,
    headers: { "content-type": upstream.headers.get("content-type") ?? "application/json" },
  });
}

/** The body in the provider's own terms, signed as it wants it. */
function upstreamRequest(
  { call, asked }: Answering,
  { provider, model, dialect }: Target,
  body: string,
): ReturnType<typeof requestTo> {
  const asSse = !(asked.outside.asList && asked.surface.dialect.id === dialect);
  return requestTo(provider, { model, dialect, stream: asked.stream, asSse }, { body, client: call.headers });
}

/** A target as the encoders want to know it. */
export function encodeTarget({ provider, model, dialect }: Target): EncodeTarget & { issuer: string } {
  const issuer = provider.sealsBy === "provider" ? provider.id : `${provider.id}/${model}`;
  return { dialect, model, issuer, ...(provider.quirks && { quirks: provider.quirks }) };
}

/** Of the provider's headers those that tell the caller something; none that could set state or hide a body's length. */
const PASSED = /^(retry-after|x-request-id|request-id|openai-(processing-ms|version)|(x|anthropic)-ratelimit-.*)$/;

const requestIdOf = (headers: Headers): string | null => headers.get("x-request-id") ?? headers.get("request-id");

/** The answer with what SPEC 3 says beside it. */
export function withHeaders(
  response: Response,
  { call, asked, notes }: Pick<Answering, "call" | "notes"> & { asked: Pick<Asked, "surface"> },
  upstream?: Response,
): Response {
  const headers = new Headers(response.headers);
  upstream?.headers.forEach((value, name) => {
    if (PASSED.test(name)) headers.set(name, value);
  });
  nameRequest(headers, call.headers.get("x-request-id") ?? requestIdOf(headers) ?? call.id, asked.surface);
  headers.set("x-rhone-session-id", call.sessionId);
  headers.set("x-rhone-call-id", call.id);
  if (notes.target !== undefined) {
    headers.set("x-rhone-model", encodeURI(notes.target.model));
    headers.set("x-rhone-provider", notes.target.provider.id);
  }
  if (notes.losses.length > 0) headers.set("x-rhone-loss", String(notes.losses.length));
  return new Response(response.body, { status: response.status, headers });
}

const unspoken = ({ provider, dialect }: Target): GatewayError =>
  new GatewayError(
    "request.unprocessable",
    `model: provider ${provider.id} speaks ${dialect}, which this gateway does not speak yet`,
    {
      param: "model",
    },
  );

export const strictly = (at: string): GatewayError =>
  new GatewayError("request.unprocessable", `${at}: the provider cannot hold it, and rhone.strict is set`, {
    param: at,
  });
