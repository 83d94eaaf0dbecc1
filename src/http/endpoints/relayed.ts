import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { embeddings, geminiEmbeddings } from "../../endpoints/embeddings.ts";
import { type Endpoint, relayTo } from "../../endpoints/endpoint.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { rhoneRequest } from "../../surfaces/rhone.ts";
import { documentGeminiMethod } from "../inference/routes.ts";
import { binary, ref, text } from "../openapi/json-schema.ts";
import type { Content } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { callForm, callJson, documentRoute, isForm } from "./endpoint.ts";

/**
 * An endpoint of OpenAI whose requests go to the provider of their model as they are. What a call may cost is estimated
 * by its path in `endpoints/estimate.ts`, and who may make it is in `admission/access.ts`, as for every route.
 */
type RelayedEndpoint = {
  operationId: string;
  summary: string;
  /** Below `/v1`, and below the provider's base URL. With dots for slashes it is the `surface` of its call records. */
  path: string;
  /** `either`: a form, which is piped through, or JSON. Some providers, OpenAI among them, take image edits as both. */
  body: "json" | "form" | "either";
  /** The schema of a JSON body. A form is not read beyond its model. */
  request?: Endpoint["request"];
  defaultModel?: string;
  /** Absent: the same path at every provider that speaks OpenAI's wire. */
  prepare?: Endpoint["prepare"];
  /** Of a success, for `/openapi.json`. */
  content: Content;
};

const model = z.string().min(1).optional();
const rhone = rhoneRequest.optional();
const imagePrompt = z.looseObject({ model, prompt: z.string().min(1), stream: z.boolean().nullish(), rhone });

const IMAGES: Content = {
  "application/json": { schema: ref("ImageList") },
  "text/event-stream": { schema: ref("ImageStreamEvent") },
};
const TRANSCRIPTION: Content = {
  "application/json": { schema: ref("Transcription") },
  "text/plain": { schema: text },
};

const RELAYED: readonly RelayedEndpoint[] = [
  {
    operationId: "embeddings.create",
    summary: "Creates embeddings, with any provider that has them",
    path: "/embeddings",
    body: "json",
    request: embeddings.request,
    prepare: embeddings.prepare,
    content: { "application/json": { schema: ref("EmbeddingList") } },
  },
  {
    operationId: "images.generate",
    summary: "Creates images from a prompt",
    path: "/images/generations",
    body: "json",
    request: imagePrompt.meta({ id: "ImageGenerationRequest" }),
    content: IMAGES,
  },
  {
    operationId: "images.edit",
    summary: "Edits images by a prompt",
    path: "/images/edits",
    body: "either",
    request: imagePrompt.meta({ id: "ImageEditRequest" }),
    content: IMAGES,
  },
  {
    operationId: "images.createVariation",
    summary: "Creates variations of an image",
    path: "/images/variations",
    body: "either",
    request: z.looseObject({ model, rhone }).meta({ id: "ImageVariationRequest" }),
    content: IMAGES,
  },
  {
    operationId: "audio.speech.create",
    summary: "Creates speech: audio, or its server-sent events",
    path: "/audio/speech",
    body: "json",
    request: z.looseObject({ model, input: z.string().min(1), rhone }).meta({ id: "SpeechRequest" }),
    content: { "audio/*": { schema: binary }, "text/event-stream": { schema: ref("SpeechStreamEvent") } },
  },
  {
    operationId: "audio.transcriptions.create",
    summary: "Transcribes audio; the form is streamed to the provider",
    path: "/audio/transcriptions",
    body: "form",
    content: { ...TRANSCRIPTION, "text/event-stream": { schema: ref("TranscriptionStreamEvent") } },
  },
  {
    operationId: "audio.translations.create",
    summary: "Translates audio into English; the form is streamed to the provider",
    path: "/audio/translations",
    body: "form",
    content: TRANSCRIPTION,
  },
  {
    operationId: "moderations.create",
    summary: "Classifies whether input is harmful",
    path: "/moderations",
    body: "json",
    request: z
      .looseObject({
        model,
        input: z.union(
          [z.string(), z.array(z.union([z.string(), z.looseObject({})])).min(1)],
          "expected a text, or a list of at least one text or part",
        ),
        rhone,
      })
      .meta({ id: "ModerationRequest" }),
    // The default of OpenAI's own endpoint.
    defaultModel: "openai/omni-moderation-latest",
    content: { "application/json": { schema: ref("Moderation") } },
  },
];

const SINGLE = geminiEmbeddings("embedContent");
const BATCH = geminiEmbeddings("batchEmbedContents");

/** The routes of the table, and the description of Gemini's embeddings, whose routes are those of all its methods. */
export function relayedRoutes(app: OpenAPIHono<AppEnv>): void {
  for (const row of RELAYED) {
    const { operationId, summary, path, body, request, content } = row;
    const endpoint = toEndpoint(row);
    app.post(`/v1${path}`, (c) =>
      body === "form" || (body === "either" && isForm(c)) ? callForm(c, endpoint, path) : callJson(c, endpoint),
    );
    documentRoute(app, {
      operationId,
      summary,
      path: `/v1${path}`,
      ...(request !== undefined && { json: request }),
      form: body !== "json",
      content,
    });
  }
  documentGeminiMethod(app, {
    method: "embedContent",
    summary: "Creates an embedding, with any provider that has embeddings",
    request: SINGLE.request,
    content: { "application/json": { schema: ref("EmbedContentResponse") } },
  });
  documentGeminiMethod(app, {
    method: "batchEmbedContents",
    summary: "Creates several embeddings, with any provider that has embeddings",
    request: BATCH.request,
    content: { "application/json": { schema: ref("BatchEmbedContentsResponse") } },
  });
}

const toEndpoint = ({ path, request, prepare, defaultModel }: RelayedEndpoint): Endpoint => ({
  id: path.slice(1).replace("/", "."),
  surface: SURFACES.chat,
  request: request ?? z.looseObject({}),
  prepare: prepare ?? relayTo(path),
  ...(defaultModel !== undefined && { defaultModel }),
});

/** The handlers of Gemini's methods. `name`: the model, which is part of the path. */
export const embedContent = (c: Context<AppEnv>, name: string): Promise<Response> => callJson(c, SINGLE, name);
export const batchEmbedContents = (c: Context<AppEnv>, name: string): Promise<Response> => callJson(c, BATCH, name);
