import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { type Endpoint, relayTo } from "../../endpoints/endpoint.ts";
import { SURFACES } from "../../surfaces/index.ts";
import type { AppEnv } from "../request/env.ts";
import { callForm, callJson, documentRoute, isForm } from "./endpoint.ts";
import { rhoneRequest } from "../../surfaces/rhone.ts";

const model = z.string().min(1).optional();
const rhone = rhoneRequest.optional();
const prompted = z.looseObject({ model, prompt: z.string().min(1), stream: z.boolean().nullish(), rhone });

/** Edits and variations are forms; some providers, OpenAI among them, take edits as JSON as well. */
const ENDPOINTS: Record<string, { summary: string; request: z.ZodType<object>; form: boolean }> = {
  generations: {
    summary: "OpenAI image generations",
    request: prompted.meta({ id: "ImageGenerationRequest" }),
    form: false,
  },
  edits: { summary: "OpenAI image edits", request: prompted.meta({ id: "ImageEditRequest" }), form: true },
  variations: {
    summary: "OpenAI image variations",
    request: z.looseObject({ model, rhone }).meta({ id: "ImageVariationRequest" }),
    form: true,
  },
};

export function imageRoutes(app: OpenAPIHono<AppEnv>): void {
  for (const [name, { summary, request, form }] of Object.entries(ENDPOINTS)) {
    const below = `/images/${name}`;
    const endpoint: Endpoint = {
      id: `images.${name}`,
      surface: SURFACES.chat,
      request,
      prepare: relayTo(below),
    };
    app.post(`/v1${below}`, (c) => (form && isForm(c) ? callForm(c, endpoint, below) : callJson(c, endpoint)));
    documentRoute(app, { path: `/v1${below}`, summary, json: request, form });
  }
}
