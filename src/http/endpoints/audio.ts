import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { type Endpoint, relayTo } from "../../endpoints/endpoint.ts";
import { SURFACES } from "../../surfaces/index.ts";
import type { AppEnv } from "../request/env.ts";
import { callForm, callJson, documentRoute } from "./endpoint.ts";
import { rhoneRequest } from "../../surfaces/rhone.ts";

const speech: Endpoint = {
  id: "audio.speech",
  surface: SURFACES.chat,
  request: z
    .looseObject({ model: z.string().min(1).optional(), input: z.string().min(1), rhone: rhoneRequest.optional() })
    .meta({ id: "SpeechRequest" }),
  prepare: relayTo("/audio/speech"),
};

export function audioRoutes(app: OpenAPIHono<AppEnv>): void {
  const path = "/v1/audio/speech";
  app.post(path, (c) => callJson(c, speech));
  documentRoute(app, { path, summary: "OpenAI speech: sound, or its server-sent events", json: speech.request });
  for (const name of ["transcriptions", "translations"]) {
    const below = `/audio/${name}`;
    const request: Endpoint = { ...speech, id: `audio.${name}`, prepare: relayTo(below) };
    app.post(`/v1${below}`, (c) => callForm(c, request, below));
    documentRoute(app, { path: `/v1${below}`, summary: `OpenAI ${name}; the form is piped through`, form: true });
  }
}
