import type { z } from "zod";
import { GatewayError } from "../canonical/error.ts";
import type { Loss } from "../canonical/types.ts";
import type { RequestText } from "../surfaces/request.ts";
import type { Surface } from "../surfaces/index.ts";
import type { Target } from "../routing/locate.ts";
import type { JsonObject } from "../wire/json.ts";
import { appendMember, removeMember, replaceMember, splice } from "../wire/splice.ts";
import type { EndpointCall } from "./relay.ts";

/** Another endpoint than generation: how its requests are checked, and what becomes of one for a provider. */
export type Endpoint = {
  /** The `surface` of its call records. */
  id: string;
  /** Whose clients call it: errors have this shape. */
  surface: Surface;
  request: z.ZodType<object>;
  /** What a provider that a request without `model` means: OpenAI has defaults for two of its endpoints. */
  defaultModel?: string;
  /** Throws `request.unprocessable` when the provider has no such endpoint. */
  prepare: (request: JsonRequest, target: Target) => EndpointRequest;
};

/** `model`: as the caller names it. `body` has no `rhone`. */
export type JsonRequest = RequestText & { body: JsonObject; model: string };

export type EndpointRequest = { path: string; text: string; losses?: Loss[]; translate?: EndpointCall["translate"] };

/** The caller's bytes with the provider's name for the model, and without `rhone`. */
export function spliceModel({ text, members, body }: JsonRequest, model: string): string {
  const name = JSON.stringify(model);
  const cut = splice(text, [...removeMember(members, "rhone"), ...replaceMember(members, "model", name)]);
  return "model" in body ? cut : splice(cut, [appendMember(cut, "model", name)]);
}

/** For the endpoints that only OpenAI's wire has: the same path at everyone who speaks it. */
export const relayTo =
  (path: string): Endpoint["prepare"] =>
  (request, target) => {
    requireOpenai(target, path);
    return { path, text: spliceModel(request, target.model) };
  };

/** Chat and Responses are two wires of one API; the other endpoints stand beside both. */
export const speaksOpenai = ({ dialect }: Target): boolean =>
  dialect === "openai-chat" || dialect === "openai-responses";

/** The embedded demo answers what its code says, and no other path. */
const DEMO_PATHS = new Set(["/embeddings"]);

export function requireOpenai(target: Target, path: string): void {
  const { provider } = target;
  const isSupported = speaksOpenai(target) && provider.host === undefined;
  if (!isSupported || (provider.id === "demo" && !DEMO_PATHS.has(path))) throw unsupported(provider.id, path);
}

/** Below Gemini's own base URL, or Vertex's: the one cloud with addresses of its own where these methods are known. */
export function geminiEndpointPath({ provider, model }: Target, method: string): string {
  const path = `/models/${encodeURIComponent(model)}:${method}`;
  if (provider.host === undefined) return path;
  if (provider.host === "vertex") return `/publishers/google${path}`;
  throw unsupported(provider.id, method);
}

const unsupported = (provider: string, what: string): GatewayError =>
  new GatewayError("request.unprocessable", `model: provider ${provider} has no ${what}`, { param: "model" });
