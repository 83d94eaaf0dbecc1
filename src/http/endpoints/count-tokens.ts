import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context as HttpContext } from "hono";
import type { PathParams } from "../../dialects/dialect.ts";
import { prepareCount } from "../../endpoints/count-tokens.ts";
import { hasServerTools } from "../../gateway/session/call-runs.ts";
import { screenText } from "../../gateway/shield/screen-text.ts";
import { definingServicesFor } from "../../platform/harnesses.ts";
import { loadCatalogue } from "../../providers/catalogue.ts";
import { extendAnswered } from "../../runs/answer/define-answer.ts";
import { readText } from "../../surfaces/body.ts";
import { inputItem, SURFACES } from "../../surfaces/index.ts";
import { type ParsedRequest, parseRequest, readMembers, type RequestText } from "../../surfaces/request.ts";
import { rhoneRequest } from "../../surfaces/rhone.ts";
import { removeMember, sliceSpan, splice } from "../../wire/splice.ts";
import { loadCallerProviders } from "../admission/providers.ts";
import { documentGeminiMethod, requireAnthropicVersion } from "../inference/routes.ts";
import { findServerTools } from "../inference/server-tools.ts";
import { previewCall } from "../inference/session-context.ts";
import { ref } from "../openapi/json-schema.ts";
import { parameter } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { documentRoute, shieldOf, startEndpointCall } from "./endpoint.ts";

type Http = HttpContext<AppEnv>;
type CountedSurface = "messages" | "responses" | "gemini";

const rhone = rhoneRequest.optional();
const model = z.string().min(1).optional();
const messages = z.looseObject({
  model,
  messages: SURFACES.messages.request.shape.messages,
  rhone,
});

/** The body of a count: that of a generation, with only the counted members required. */
const REQUEST: Record<CountedSurface, z.ZodType<object>> = {
  messages: messages.meta({ id: "CountTokensRequest" }),
  responses: z
    .looseObject({
      ...SURFACES.responses.request.shape,
      input: z.union([z.string().min(1), z.array(inputItem).min(1)], "expected a text or at least one item").nullish(),
    })
    .meta({ id: "InputTokensRequest" }),
  gemini: SURFACES.gemini.request,
};

/**
 * Token counts in the formats of Anthropic and OpenAI. The session that the request names is counted with it; the
 * provider counts, so a provider without such a method is an error and no estimate is returned.
 */
export function tokenCountRoutes(app: OpenAPIHono<AppEnv>): void {
  app.post("/v1/messages/count_tokens", (c) => {
    requireAnthropicVersion(c.req.raw.headers);
    return count(c, "messages");
  });
  app.post("/v1/responses/input_tokens", (c) => count(c, "responses"));
  const how = "as the provider counts them; rhone.session_id adds those of the session";
  const description = "The number of tokens";
  documentRoute(app, {
    operationId: "messages.countTokens",
    path: "/v1/messages/count_tokens",
    parameters: [parameter("AnthropicVersion")],
    summary: `Counts the input tokens of a Messages request, ${how}`,
    json: REQUEST.messages,
    description,
    content: { "application/json": { schema: ref("MessageTokenCount") } },
  });
  documentRoute(app, {
    operationId: "responses.inputTokens.count",
    path: "/v1/responses/input_tokens",
    summary: `Counts the input tokens of a Responses request, ${how}`,
    json: REQUEST.responses,
    description,
    content: { "application/json": { schema: ref("InputTokenCount") } },
  });
  documentGeminiMethod(app, {
    method: "countTokens",
    summary: `Counts the input tokens of a generateContent request, ${how}`,
    request: REQUEST.gemini,
    content: { "application/json": { schema: ref("CountTokensResponse") } },
  });
}

/** Gemini's method `countTokens` of a model. */
export const countTokens = (c: Http, model: string): Promise<Response> => count(c, "gemini", { model });

async function count(c: Http, surfaceId: CountedSurface, outside: PathParams = {}): Promise<Response> {
  const { headers } = c.req.raw;
  const read = readMembers(await readText(c.req.raw), headers);
  const shield = await shieldOf(c, read.rhone);
  const outer = screenText(read, shield);
  // Gemini accepts the request also in the member `generateContentRequest`.
  const inner =
    surfaceId === "gemini" ? outer.members.findLast(({ key }) => key === "generateContentRequest") : undefined;
  const opened =
    inner === undefined ? outer : { ...readMembers(sliceSpan(outer.text, inner.value), headers), rhone: outer.rhone };
  const surface = { ...SURFACES[surfaceId], request: REQUEST[surfaceId] };
  const around = (body: string): string =>
    splice(outer.text, [...removeMember(outer.members, "rhone"), { ...inner!.value, text: body }]);
  const extended = await withServerTools(c, surfaceId, opened, parseRequest(opened, surface, outside));
  const { request, context } = await previewCall(c, extended, surfaceId);
  const { describe } = await loadCatalogue(await loadCallerProviders(c));
  return await startEndpointCall(c, {
    id: "count_tokens",
    request: { model: request.model, rhone: request.rhone, surface, stream: false },
    shield,
    prepare: (planned) => prepareCount(request, context, { planned, describe, around: inner && around }),
  });
}

/** The request with the tools that the gateway executes for a call of it, and with the instructions of its harness. */
async function withServerTools(
  c: Http,
  surface: CountedSurface,
  text: RequestText,
  request: ParsedRequest,
): Promise<ParsedRequest> {
  const { caller } = c.var;
  const { outside } = request;
  const waitUntil = (work: Promise<unknown>): void => c.executionCtx.waitUntil(work);
  const found = await findServerTools(text, { surface, outside, caller, env: c.env, waitUntil });
  if (!hasServerTools(request, found)) return request;
  return await extendAnswered({ request, caller, ...found }, definingServicesFor(c.env, waitUntil));
}
