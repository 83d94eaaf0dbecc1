import { z } from "zod";
import { unprocessable } from "../canonical/error.ts";
import type { Target } from "../routing/locate.ts";
import { SURFACES } from "../surfaces/index.ts";
import { rhoneRequest } from "../surfaces/rhone.ts";
import type { JsonObject } from "../wire/json.ts";
import { findElements, findMembers, removeMember, replaceMember, splice } from "../wire/splice.ts";
import {
  decodeFromGemini,
  decodeFromOpenai,
  encodeForGemini,
  encodeForOpenai,
  type GeminiMethod,
} from "./embeddings-format.ts";
import {
  type Endpoint,
  type EndpointRequest,
  geminiEndpointPath,
  type JsonRequest,
  requireOpenai,
  spliceModel,
} from "./endpoint.ts";

const rhone = rhoneRequest.optional();
const tokens = z.array(z.int()).min(1);

/** `POST /v1/embeddings` (OpenAI's API), at a provider of OpenAI's or Gemini's dialect. */
export const embeddings: Endpoint = {
  id: "embeddings",
  surface: SURFACES.chat,
  request: z
    .looseObject({
      model: z.string().min(1).optional(),
      input: z.union(
        [z.string().min(1), z.array(z.string()).min(1), tokens, z.array(tokens).min(1)],
        "expected a text, or a list of at least one text, token or list of tokens",
      ),
      encoding_format: z.enum(["float", "base64"]).nullish(),
      dimensions: z.int().min(1).nullish(),
      rhone,
    })
    .meta({ id: "EmbeddingRequest" }),
  prepare: (request, target) => {
    if (target.dialect !== "gemini") {
      requireOpenai(target, PATH);
      return { path: PATH, text: spliceModel(request, target.model) };
    }
    const { value, losses } = encodeForGemini(request.body, target.model);
    const base64 = request.body.encoding_format === "base64";
    const { path, body: geminiBody } = toGeminiRequest(target, value);
    return {
      path,
      text: JSON.stringify(geminiBody),
      losses,
      translate: (body) => decodeFromGemini(body, { model: target.model, base64 }),
    };
  },
};

const PATH = "/embeddings";

/** Path and body at Gemini, or at Vertex, which has no batches: there more than one input is refused. */
function toGeminiRequest(target: Target, batch: JsonObject): { path: string; body: JsonObject } {
  const requests = batch.requests as JsonObject[];
  if (target.provider.cloud !== "vertex")
    return { path: geminiEndpointPath(target, "batchEmbedContents"), body: batch };
  if (requests.length > 1) throw unprocessable("input", "Vertex accepts one input per request");
  const { model: _, ...single } = requests[0]!;
  return { path: geminiEndpointPath(target, "embedContent"), body: single };
}

// A request's content: text, or an object with parts.
const content = z.union([z.string().min(1), z.looseObject({})], "expected a content with parts");
const REQUEST: Record<GeminiMethod, z.ZodType<object>> = {
  embedContent: z.looseObject({ content, rhone }).meta({ id: "EmbedContentRequest" }),
  batchEmbedContents: z
    .looseObject({
      requests: z
        .array(z.looseObject({ content }).meta({ id: "EmbedContentPart" }))
        .min(1, "expected at least one request"),
      rhone,
    })
    .meta({ id: "BatchEmbedContentsRequest" }),
};

/** `POST /v1beta/models/{model}:embedContent` and `:batchEmbedContents` (Gemini's API), at a provider of either dialect. */
export const geminiEmbeddings = (method: GeminiMethod): Endpoint => ({
  id: "embeddings",
  surface: SURFACES.gemini,
  request: REQUEST[method],
  prepare: (request, target) => {
    if (target.dialect === "gemini")
      return { path: geminiEndpointPath(target, method), text: spliceForGemini(request, method, target) };
    return toOpenaiRequest(request, method, target);
  },
});

function toOpenaiRequest({ body }: JsonRequest, method: GeminiMethod, target: Target): EndpointRequest {
  requireOpenai(target, PATH);
  const { value, losses } = encodeForOpenai(body, method, target.model);
  return { path: PATH, text: JSON.stringify(value), losses, translate: (answer) => decodeFromOpenai(answer, method) };
}

/** The caller's bytes with the provider's model name: Gemini has it in the path and, equal to it, in every request. */
function spliceForGemini({ text, members: top }: JsonRequest, method: GeminiMethod, target: Target): string {
  const name = JSON.stringify(`models/${target.model}`);
  const list = method === "embedContent" ? undefined : top.findLast(({ key }) => key === "requests");
  const inner = list === undefined ? [] : findElements(text, list.value.start);
  return splice(text, [
    ...removeMember(top, "rhone"),
    ...replaceMember(top, "model", name),
    ...inner.flatMap(({ start }) => replaceMember(findMembers(text, start), "model", name)),
  ]);
}
