import { join } from "node:path";
import type { Call } from "./client.ts";
import { modelOf, type Scene } from "./scene.ts";

export const HERE = import.meta.dirname;
/** What `--install` puts here stays until it is deleted. */
export const CACHE = join(HERE, ".cache");
/** The key of every gateway that has one. */
export const KEY = "rhone_sk_bench0123456789";

export type Wires = { origin: string; upstream: string };
export type Ask = (wires: Wires, scene: Scene, more?: object) => Call;

/** One call of the Chat dialect: every gateway here speaks it, and nobody is asked for anything else. */
function chatCall(
  { url, headers, model }: { url: string; headers: Record<string, string>; model: string },
  scene: Scene,
  more: object,
): Call {
  const isStream = scene.kind === "stream";
  const body = {
    messages: [
      { role: "system", content: "You answer in the words you were given." },
      { role: "user", content: "Where does the river go when nobody asks it anything?" },
    ],
    // Token counts are asked for, so that nobody has to count them itself.
    ...(isStream && { stream: true, stream_options: { include_usage: true } }),
    ...more,
    // Last, where the scripted provider looks first.
    model: `${model}${modelOf(scene)}`,
  };
  return { url: `${url}/chat/completions`, headers, body: Buffer.from(JSON.stringify(body)) };
}

/** To the provider itself, or to a proxy that only passes on. */
export const plainCall: Ask = ({ origin }, scene, more = {}) =>
  chatCall({ url: `${origin}/v1`, headers: { authorization: "Bearer upstream-key" }, model: "" }, scene, more);

export const rhoneCall =
  (mode: "stateless" | "stateful", provider: "benchchat" | "benchanth" = "benchchat"): Ask =>
  ({ origin }, scene, more = {}) => {
    const headers = { authorization: `Bearer ${KEY}`, "x-rhone-context-mode": mode };
    return chatCall({ url: `${origin}/v1`, headers, model: `${provider}/` }, scene, more);
  };

export const portkeyCall =
  (provider: "openai" | "anthropic"): Ask =>
  ({ origin, upstream }, scene, more = {}) => {
    const headers = {
      authorization: "Bearer upstream-key",
      "x-portkey-provider": provider,
      "x-portkey-custom-host": `${upstream}/v1`,
    };
    return chatCall({ url: `${origin}/v1`, headers, model: "" }, scene, { ...more, ...limitFor(provider) });
  };

export const litellmCall =
  (provider: "openai" | "anthropic"): Ask =>
  ({ origin }, scene, more = {}) => {
    const headers = { authorization: `Bearer ${KEY}` };
    return chatCall({ url: `${origin}/v1`, headers, model: `${provider}/` }, scene, { ...more, ...limitFor(provider) });
  };

export const bifrostCall =
  (provider: "openai" | "anthropic"): Ask =>
  ({ origin }, scene, more = {}) =>
    chatCall({ url: `${origin}/v1`, headers: {}, model: `${provider}/` }, scene, { ...more, ...limitFor(provider) });

/** Anthropic wants one, and not every gateway makes one up. */
const limitFor = (provider: string): object => (provider === "anthropic" ? { max_tokens: 1000 } : {});
