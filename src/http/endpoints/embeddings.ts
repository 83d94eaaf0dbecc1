import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { embeddings as openai, geminiEmbeddings } from "../../endpoints/embeddings-endpoint.ts";
import type { AppEnv } from "../request/env.ts";
import { callJson, documentRoute } from "./endpoint.ts";

const SINGLE = geminiEmbeddings("embedContent");
const BATCH = geminiEmbeddings("batchEmbedContents");

export function embeddingRoutes(app: OpenAPIHono<AppEnv>): void {
  const path = "/v1/embeddings";
  app.post(path, (c) => callJson(c, openai));
  documentRoute(app, { path, summary: "OpenAI embeddings, of any provider that has them", json: openai.request });
  for (const [method, { request }] of [
    ["embedContent", SINGLE],
    ["batchEmbedContents", BATCH],
  ] as const) {
    const path = `/v1beta/models/{model}:${method}`;
    documentRoute(app, { path, summary: `Gemini ${method}, of any provider that has embeddings`, json: request });
  }
}

export const embedContent = (c: Context<AppEnv>, model: string): Promise<Response> => callJson(c, SINGLE, model);
export const batchEmbedContents = (c: Context<AppEnv>, model: string): Promise<Response> => callJson(c, BATCH, model);
