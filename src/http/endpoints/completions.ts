import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalid } from "../../canonical/error.ts";
import { decodeChat, decodeChatStream, encodePrompt } from "../../endpoints/completions.ts";
import { type Endpoint, relayTo, speaksOpenai } from "../../endpoints/endpoint.ts";
import { findDefaultHarness } from "../../platform/harnesses.ts";
import type { Target } from "../../routing/locate.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { type RhoneRequest, rhoneRequest } from "../../surfaces/rhone.ts";
import { isObject, tryParseJson } from "../../wire/json.ts";
import { appendMember, splice } from "../../wire/splice.ts";
import { infer } from "../inference/infer.ts";
import { ref } from "../openapi/json-schema.ts";
import type { AppEnv } from "../request/env.ts";
import { callRead, documentRoute, readJson, targetOf } from "./endpoint.ts";

const tokens = z.array(z.int()).min(1);

const completion: Endpoint = {
  id: "completions",
  surface: SURFACES.completions,
  request: z
    .looseObject({
      model: z.string().min(1).optional(),
      prompt: z.union(
        [z.string(), z.array(z.string()).min(1), tokens, z.array(tokens).min(1)],
        "expected a text, or a list of at least one text, token or list of tokens",
      ),
      max_tokens: z.int().min(0).nullish(),
      stream: z.boolean().nullish(),
      rhone: rhoneRequest.optional(),
    })
    .meta({ id: "CompletionRequest" }),
  prepare: relayTo("/completions"),
  isEarly: true,
};

/** `POST /v1/completions`, OpenAI's legacy endpoint (OpenAI API reference: Completions). */
export function completionRoutes(app: OpenAPIHono<AppEnv>): void {
  const path = "/v1/completions";
  app.post(path, async (c) => {
    const request = await readJson(c, completion);
    await requireNoHarness(c, request.rhone);
    if (completes(await targetOf(c, { ...request, surface: completion.surface })))
      return await callRead(c, completion, request);
    const { rhone, body } = request;
    const chat = JSON.stringify(encodePrompt(body));
    return await chatted(c, splice(chat, [appendMember(chat, "rhone", JSON.stringify(rhone))]));
  });
  documentRoute(app, {
    operationId: "completions.create",
    path,
    summary: "Creates a legacy completion; served by a chat call for chat-only models",
    json: completion.request,
    description: "The completion, or with stream: true its server-sent events",
    content: {
      "application/json": { schema: ref("Completion") },
      "text/event-stream": { schema: ref("Completion") },
    },
  });
}

/** Throws `request.invalid` where a call would pass without what a harness adds: its tools, its instructions and its policy. */
async function requireNoHarness(c: Context<AppEnv>, { harness, tools }: RhoneRequest): Promise<void> {
  const { env, executionCtx: ctx } = c;
  const named = harness !== undefined ? "rhone.harness" : tools !== undefined ? "rhone.tools" : undefined;
  const found = named ?? (await findDefaultHarness(env, c.var.caller, (work) => ctx.waitUntil(work)));
  if (found !== undefined)
    throw invalid(
      named ?? "defaults.harness",
      "expected none: /v1/completions has no tools; send the call to /v1/chat/completions",
    );
}

/** OpenAI-compatible hosts have this endpoint; models of other wires and the demo are called through chat. */
const completes = (target: Target): boolean => speaksOpenai(target) && target.provider.id !== "demo";

/** Handles the request as a Chat Completions call and converts its answer. */
async function chatted(c: Context<AppEnv>, body: string): Promise<Response> {
  const request = new Request(c.req.raw.url, { method: "POST", headers: c.req.raw.headers, body });
  const { caller } = c.var;
  const response = await infer({ request, surface: "completions", caller, env: c.env, ctx: c.executionCtx });
  const { status, headers } = response;
  if (!response.ok || response.body === null) return response;
  if (headers.get("content-type")?.includes("event-stream"))
    return new Response(response.body.pipeThrough(decodeChatStream()), { status, headers });
  const answer = tryParseJson(await response.text());
  return new Response(JSON.stringify(isObject(answer) ? decodeChat(answer) : answer), { status, headers });
}
