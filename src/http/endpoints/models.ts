import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { buildErrorResponse } from "../../gateway/reply/headers.ts";
import { getIsolateRouter } from "../../platform/router.ts";
import { loadCatalogue } from "../../providers/catalogue.ts";
import type { Provider } from "../../providers/provider.ts";
import { findCandidates } from "../../routing/candidates.ts";
import type { Config } from "../../routing/config.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { newId } from "../../wire/id.ts";
import { loadCallerProviders } from "../admission/providers.ts";
import { describedResponse, errorResponses } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { asAnthropic, asGemini, asOpenai, type ListedModel, listModels } from "./model-list.ts";

/** Lists of models in the formats of OpenAI, Anthropic and Gemini, chosen by the SDK that asks. */
export function modelRoutes(app: OpenAPIHono<AppEnv>): void {
  for (const path of ["/v1/models", "/v1beta/models"]) app.get(path, (c) => withAnthropicErrors(c, listAs[shapeOf(c)]));
  // `{provider}/{model}`: SDKs escape the slash, the canonical path has it unescaped.
  for (const path of ["/v1/models/:id{.+}", "/v1beta/models/:id{.+}"])
    app.get(path, (c) =>
      withAnthropicErrors(c, async (c) => c.json(AS[shapeOf(c)](await find(c, c.req.param("id") ?? "")))),
    );
  document(app);
}

function document({ openAPIRegistry: registry }: OpenAPIHono<AppEnv>): void {
  const listing = "{provider}/* where only the provider knows its models";
  registry.registerPath({
    method: "get",
    path: "/v1/models",
    operationId: "models.list",
    summary: `Lists the models; ${listing}. With anthropic-version in Anthropic's format`,
    responses: { 200: describedResponse("The models", "ModelList"), ...errorResponses() },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/models/{id}",
    operationId: "models.get",
    summary: "Returns a model. With anthropic-version in Anthropic's format",
    request: { params },
    responses: { 200: describedResponse("The model", "Model"), ...errorResponses(404) },
  });
  registry.registerPath({
    method: "get",
    path: "/v1beta/models",
    operationId: "gemini.models.list",
    summary: `Lists the models in Gemini's format; ${listing}`,
    request: { query: z.object({ pageSize: z.string().optional(), pageToken: z.string().optional() }) },
    responses: { 200: describedResponse("The models", "GeminiModelList"), ...errorResponses(400) },
  });
  registry.registerPath({
    method: "get",
    path: "/v1beta/models/{id}",
    operationId: "gemini.models.get",
    summary: "Returns a model in Gemini's format",
    request: { params },
    responses: { 200: describedResponse("The model", "GeminiModel"), ...errorResponses(404) },
  });
}

const params = z.object({ id: z.string() });

type Http = Context<AppEnv>;
type Shape = "openai" | "anthropic" | "gemini";

const AS: Record<Shape, (one: ListedModel) => object> = { openai: asOpenai, anthropic: asAnthropic, gemini: asGemini };

/** Which SDK sent the request: Anthropic's sends a version header, Google's uses its own path or key header. */
function shapeOf({ req }: Http): Shape {
  if (req.path.startsWith("/v1beta/") || req.header("x-goog-api-key") !== undefined) return "gemini";
  return req.header("anthropic-version") === undefined ? "openai" : "anthropic";
}

const listAs: Record<Shape, (c: Http) => Promise<Response>> = {
  openai: async (c) => c.json({ object: "list", data: (await all(c)).map(asOpenai) }),
  anthropic: async (c) => {
    const after = c.req.query("after_id");
    const before = c.req.query("before_id");
    const known = await all(c);
    const at = (id: string): number => known.findIndex((one) => one.id === id);
    const range =
      before !== undefined
        ? known.slice(0, Math.max(0, at(before)))
        : known.slice(after === undefined ? 0 : at(after) + 1);
    const limit = sizeOf(c, "limit") ?? range.length;
    const page = before === undefined ? range.slice(0, limit) : range.slice(Math.max(0, range.length - limit));
    return c.json({
      data: page.map(asAnthropic),
      has_more: page.length < range.length,
      first_id: page[0]?.id ?? null,
      last_id: page.at(-1)?.id ?? null,
    });
  },
  gemini: async (c) => {
    const token = c.req.query("pageToken") ?? "0";
    if (!/^\d{1,6}$/.test(token)) throw invalid("pageToken", "expected the nextPageToken of a page");
    const known = await all(c);
    const start = Number(token);
    const end = start + (sizeOf(c, "pageSize") ?? known.length);
    return c.json({
      models: known.slice(start, end).map(asGemini),
      ...(end < known.length && { nextPageToken: String(end) }),
    });
  },
};

/** The deployment's own names, aliases and routes, and the models of its providers. */
async function all(c: Http): Promise<ListedModel[]> {
  const { config } = getIsolateRouter(c.env);
  const providers = await loadCallerProviders(c);
  const catalogue = await loadCatalogue(providers);
  const names = [...new Set([...config.aliases.keys(), ...config.routes.keys()])];
  const named = await Promise.all(names.map((name) => locateNamed(name, { config, providers }).catch(() => undefined)));
  const own = named.filter((one) => one !== undefined);
  // A call of such a name goes to the alias or route.
  const models = listModels(providers, catalogue).filter(({ id }) => !names.includes(id.toLowerCase()));
  return [...own, ...models];
}

/** A model by any name that a call may have. */
async function find(c: Http, id: string): Promise<ListedModel> {
  const { config } = getIsolateRouter(c.env);
  const providers = await loadCallerProviders(c);
  const catalogue = await loadCatalogue(providers);
  const requested = id.toLowerCase();
  const isOwn = config.aliases.has(requested) || config.routes.has(requested);
  const known = isOwn ? [] : listModels(providers, catalogue);
  const meant = catalogue.find(id);
  return (
    known.find((one) => one.id.toLowerCase() === requested) ??
    known.find(({ model }) => model !== undefined && `${model.provider.id}/${model.id}`.toLowerCase() === requested) ??
    known.find(({ model }) => model !== undefined && model === meant) ??
    (await locateNamed(id, { config, providers }))
  );
}

/** A name that is not in the list of models: the first target that a call of that name would have. Throws `model.not_found`. */
async function locateNamed(
  id: string,
  { config, providers }: { config: Config; providers: ReadonlyMap<string, Provider> },
): Promise<ListedModel> {
  const { all } = await findCandidates({ model: id }, "openai-chat", { config, providers });
  const [{ target }] = all;
  const model = (await loadCatalogue(providers)).at(target);
  return { id, provider: target.provider, ...(model !== undefined && { model }) };
}

/** The page size; without the parameter all models are on one page. */
function sizeOf(c: Http, name: string): number | undefined {
  const text = c.req.query(name);
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,3}$/.test(text)) throw invalid(name, "expected a whole number from 1 to 9999");
  return Number(text);
}

/** Responds to Anthropic's clients in their error shape, which the path alone does not determine. */
async function withAnthropicErrors(c: Http, answer: (c: Http) => Promise<Response>): Promise<Response> {
  try {
    return await answer(c);
  } catch (thrown) {
    if (shapeOf(c) !== "anthropic" || !(thrown instanceof GatewayError)) throw thrown;
    return buildErrorResponse(SURFACES.messages, thrown, c.req.header("x-request-id") ?? newId("req", Date.now()));
  }
}
