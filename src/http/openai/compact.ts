import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context as HttpContext } from "hono";
import { z } from "zod";
import { GatewayError, unprocessable } from "../../canonical/error.ts";
import type { Loss } from "../../canonical/types.ts";
import { sealSummary } from "../../dialects/openai-responses/compaction.ts";
import { toEncodeTarget } from "../../gateway/call/upstream-call.ts";
import type { Continued } from "../../gateway/continued-request.ts";
import { strictModeError } from "../../gateway/generation.ts";
import { spliceBody } from "../../gateway/request-body.ts";
import { toUserItems } from "../../gateway/responses/items.ts";
import { SUMMARY_INSTRUCTIONS } from "../../gateway/session/commands.ts";
import type { CallShield } from "../../gateway/shield/call-shield.ts";
import { screenText } from "../../gateway/shield/screen-text.ts";
import { decodeItems, decodeInstructions } from "../../session/history/decode.ts";
import { renderTranscript } from "../../session/history/transcript.ts";
import type { Context } from "../../session/session.ts";
import { readText } from "../../surfaces/body.ts";
import { inputItem, SURFACES } from "../../surfaces/index.ts";
import { parseRequest, type ParsedRequest, readMembers } from "../../surfaces/request.ts";
import { rhoneRequest } from "../../surfaces/rhone.ts";
import { isObject, type Json, type JsonObject, parseJson, stringifyMember } from "../../wire/json.ts";
import { documentRoute, shieldOf, startEndpointCall, targetOf } from "../endpoints/endpoint.ts";
import { inferText } from "../inference/infer.ts";
import { previewCall } from "../inference/session-context.ts";
import { ref } from "../openapi/json-schema.ts";
import type { AppEnv } from "../request/env.ts";

type Http = HttpContext<AppEnv>;

const compactRequest = z
  .looseObject({
    model: z.string("expected the name of a model").min(1, "expected the name of a model"),
    input: z.union([z.string(), z.array(inputItem)], "expected a text or a list of items").nullish(),
    previous_response_id: z.string().min(1).nullish(),
    instructions: z.string().nullish(),
    prompt_cache_key: z.string().max(64).nullish(),
    rhone: rhoneRequest.optional(),
  })
  .refine(({ input, previous_response_id: previous }) => previous != null || (input != null && input.length > 0), {
    path: ["input"],
    message: "expected a text or at least one item",
  })
  .meta({ id: "CompactRequest" });

/** OpenAI's `POST /v1/responses/compact`, for the models of every provider. */
export function compactionRoutes(app: OpenAPIHono<AppEnv>): void {
  app.post("/v1/responses/compact", (c) => compact(c));
  documentRoute(app, {
    operationId: "responses.compact",
    path: "/v1/responses/compact",
    summary: "Compacts a conversation, by the provider's own compaction or else by the model's summary",
    json: compactRequest,
    description: "The compacted conversation",
    content: { "application/json": { schema: ref("CompactedResponse") } },
  });
}

async function compact(c: Http): Promise<Response> {
  const members = readMembers(await readText(c.req.raw), c.req.raw.headers);
  const surface = { ...SURFACES.responses, request: compactRequest };
  const { request, context } = await previewCall(c, parseRequest(members, surface), "responses");
  const target = await targetOf(c, request);
  const shield = await shieldOf(c, members.rhone);
  const screened = screenText(members, shield);
  const shown =
    screened === members ? { request, context } : await previewCall(c, parseRequest(screened, surface), "responses");
  const own = target.dialect === request.surface.dialect.id ? await byProvider(c, shown, shield) : undefined;
  // The summary's call has a shield of its own.
  return own ?? (await bySummary(c, request, context));
}

/** Calls the provider's own compaction; `undefined` if it has none. */
async function byProvider(
  c: Http,
  { request, context }: Continued,
  shield: CallShield | undefined,
): Promise<Response | undefined> {
  const answered = await startEndpointCall(c, {
    id: "compact",
    request: request.withOptions({ stream: false }),
    shield,
    prepare: (planned) => {
      if (planned.dialect !== request.surface.dialect.id)
        throw unprocessable("model", `provider ${planned.provider.id} has no compaction`);
      const { body, losses } = spliceBody(request, context, toEncodeTarget(planned));
      const all = [...(context.losses ?? []), ...losses];
      return { target: planned, path: "/responses/compact", body: { text: body }, losses: all };
    },
  });
  return LACKS.has(answered.status) || answered.status >= 500 ? undefined : answered;
}

/** Statuses by which hosts report that the route does not exist. On any other error the provider may still support it. */
const LACKS = new Set([404, 405]);

/** A summary written by the model, in a compaction item that later requests send back. User messages stay unchanged, as with OpenAI. */
async function bySummary(c: Http, request: ParsedRequest, context: Context): Promise<Response> {
  const { losses = [] } = context;
  if (request.rhone.strict && losses[0] !== undefined) throw strictModeError(losses[0].at);
  const answered = await summarize(c, request, context);
  if (!answered.ok) return answered;
  const response = parseJson(await answered.text()) as JsonObject;
  const summary = textIn(response.output);
  if (summary.trim() === "")
    throw new GatewayError("provider.execution_failed", `model: ${request.model} returned no summary`, {
      param: "model",
    });
  const id = stringifyMember(response.id);
  const messages = [...context.history.flatMap(decodeItems), ...request.messages.slice(context.known)];
  const body = {
    id,
    object: "response.compaction",
    created_at: response.created_at!,
    output: [...toUserItems(messages, id), sealSummary(`cmp_${id.slice("resp_".length)}`, summary)],
    usage: response.usage ?? NO_USAGE,
    ...(isObject(response.rhone) && { rhone: withLosses(response.rhone, losses) }),
  };
  const headers = new Headers(answered.headers);
  headers.delete("content-length");
  if (losses.length > 0)
    headers.set("x-rhone-loss", String(losses.length + Number(answered.headers.get("x-rhone-loss") ?? 0)));
  return new Response(JSON.stringify(body), { headers });
}

/** The `rhone` object with losses of the compacted conversation before those of the summary's call. */
const withLosses = (rhone: JsonObject, losses: readonly Loss[]): JsonObject =>
  losses.length === 0 ? rhone : { ...rhone, losses: [...losses, ...(Array.isArray(rhone.losses) ? rhone.losses : [])] };

/** The schema requires the counts, so unknown ones are 0. */
const NO_USAGE = {
  input_tokens: 0,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 0,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 0,
};

/** Queries the model with a call under a session of its own, so that no turn is added to the conversation that is summarised. */
function summarize(c: Http, request: ParsedRequest, { history, known, instructions }: Context): Promise<Response> {
  const messages = [
    ...decodeInstructions(instructions),
    ...history.flatMap(decodeItems),
    ...request.messages.slice(known),
  ];
  const { instructions: requested, prompt_cache_key: key } = request.body;
  const { session_id: _, parent: __, ...rhone } = request.rhone;
  const summaryRequest = {
    model: request.model,
    instructions:
      typeof requested === "string" && requested !== ""
        ? `${SUMMARY_INSTRUCTIONS}\n\nThe conversation's own instructions: ${requested}`
        : SUMMARY_INSTRUCTIONS,
    input: renderTranscript(messages),
    store: false,
    ...(typeof key === "string" && { prompt_cache_key: key }),
    rhone: { ...rhone, context_mode: "stateless" },
  };
  const headers = new Headers(c.req.raw.headers);
  headers.delete("x-rhone-session-id");
  headers.delete("x-rhone-context-mode");
  return inferText({
    body: { text: JSON.stringify(summaryRequest), headers, createdAt: Date.now() },
    surface: "responses",
    caller: c.var.caller,
    env: c.env,
    ctx: c.executionCtx,
    isOwn: true,
  });
}

/** The texts of the message items in a response's output. */
const textIn = (output: Json | undefined): string =>
  (Array.isArray(output) ? output : [])
    .filter(isObject)
    .flatMap(({ content }) => (Array.isArray(content) ? content.filter(isObject) : []))
    .map((part) => stringifyMember(part.text))
    .join("");
