import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { type Endpoint, relayTo } from "../../endpoints/endpoint.ts";
import { SURFACES } from "../../surfaces/index.ts";
import type { AppEnv } from "../request/env.ts";
import { callJson, documentRoute } from "./endpoint.ts";
import { rhoneRequest } from "../../surfaces/rhone.ts";

const moderation: Endpoint = {
  id: "moderations",
  surface: SURFACES.chat,
  request: z
    .looseObject({
      model: z.string().min(1).optional(),
      input: z.union(
        [z.string(), z.array(z.union([z.string(), z.looseObject({})])).min(1)],
        "expected a text, or a list of at least one text or part",
      ),
      rhone: rhoneRequest.optional(),
    })
    .meta({ id: "ModerationRequest" }),
  // As at OpenAI.
  defaultModel: "openai/omni-moderation-latest",
  prepare: relayTo("/moderations"),
};

export function moderationRoutes(app: OpenAPIHono<AppEnv>): void {
  app.post("/v1/moderations", (c) => callJson(c, moderation));
  documentRoute(app, { path: "/v1/moderations", summary: "OpenAI moderations", json: moderation.request });
}
