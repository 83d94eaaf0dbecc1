import type { z } from "zod";
import { type GatewayError, unprocessable } from "../canonical/error.ts";
import type { Loss } from "../canonical/types.ts";
import type { Target } from "../routing/locate.ts";
import type { Surface } from "../surfaces/index.ts";
import type { RequestText } from "../surfaces/request.ts";
import type { JsonObject } from "../wire/json.ts";
import { appendMember, removeMember, replaceMember, splice } from "../wire/splice.ts";
import type { PreparedRequest } from "./call-endpoint.ts";

/** An endpoint that does not generate text: its request schema, and how a request is prepared for a provider. */
export type Endpoint = {
  /** The value of `surface` in its call records. */
  id: string;
  /** The surface of its clients: errors have its shape. */
  surface: Surface;
  request: z.ZodType<object>;
  /** The model of a request without one: OpenAI has defaults for two of its endpoints. */
  defaultModel?: string;
  /** See `EndpointCall`. */
  isEarly?: boolean;
  /** The request for one provider. Throws `request.unprocessable` if the provider has no such endpoint. */
  prepare: (request: JsonRequest, target: Target) => EndpointRequest;
};

/** A validated request. `model`: as the caller wrote it; `body`: without `rhone`. */
export type JsonRequest = RequestText & { body: JsonObject; model: string };

/** A request for a provider. `path`: below its base URL; `translate`: as in `PreparedRequest`. */
export type EndpointRequest = { path: string; text: string; losses?: Loss[]; translate?: PreparedRequest["translate"] };

/** The caller's text with the provider's name of the model and without `rhone`; no other byte changes. */
export function spliceModel({ text, members, body }: JsonRequest, model: string): string {
  const name = JSON.stringify(model);
  const cut = splice(text, [...removeMember(members, "rhone"), ...replaceMember(members, "model", name)]);
  return "model" in body ? cut : splice(cut, [appendMember(cut, "model", name)]);
}

/** `prepare` of an endpoint that only OpenAI's API has: the same path and body at every provider of its dialects. */
export const relayTo =
  (path: string): Endpoint["prepare"] =>
  (request, target) => {
    requireOpenai(target, path);
    return { path, text: spliceModel(request, target.model) };
  };

/** Chat and Responses are two dialects of one API, whose other endpoints belong to both. */
export const speaksOpenai = ({ dialect }: Target): boolean =>
  dialect === "openai-chat" || dialect === "openai-responses";

/** Endpoints that the embedded demo provider implements beside Chat. */
const DEMO_PATHS = new Set(["/embeddings"]);

/** Throws `request.unprocessable` if the target does not have this path of OpenAI's API. */
export function requireOpenai(target: Target, path: string): void {
  const { provider } = target;
  const isSupported = speaksOpenai(target) && provider.cloud === undefined;
  if (!isSupported || (provider.id === "demo" && !DEMO_PATHS.has(path))) throw unsupported(provider.id, path);
}

/** Path of a Gemini method below the base URL of Gemini or of Vertex, the only cloud that has these methods. */
export function geminiEndpointPath({ provider, model }: Target, method: string): string {
  const path = `/models/${encodeURIComponent(model)}:${method}`;
  if (provider.cloud === undefined) return path;
  if (provider.cloud === "vertex") return `/publishers/google${path}`;
  throw unsupported(provider.id, method);
}

const unsupported = (provider: string, what: string): GatewayError =>
  unprocessable("model", `provider ${provider} does not support ${what}`);
