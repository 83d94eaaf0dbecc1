import { join } from "node:path";
import { modelOf, type Answer } from "./answers.ts";
import type { Call } from "./client.ts";

export const HERE = import.meta.dirname;
/** The directory of `--install`. It is not removed. */
export const CACHE = join(HERE, ".cache");
/** The key of every gateway that requires one. */
export const KEY = "rhone_sk_bench0123456789";

/** `origin`: of the server that is measured. `upstream`: of the provider. */
export type Origins = { origin: string; upstream: string };
export type CallBuilder = (origins: Origins, answer: Answer, more?: object) => Call;

/** A call of the Chat dialect, which every gateway here supports. */
function buildChatCall(
  { url, headers, model }: { url: string; headers: Record<string, string>; model: string },
  answer: Answer,
  more: object,
): Call {
  const isStream = answer.kind === "stream";
  const body = {
    messages: [
      { role: "system", content: "You answer in the words you were given." },
      { role: "user", content: "Where does the river go when it has left the mountains?" },
    ],
    // Token counts are requested, so that no gateway counts them itself.
    ...(isStream && { stream: true, stream_options: { include_usage: true } }),
    ...more,
    // The last member, where the scripted provider searches first.
    model: `${model}${modelOf(answer)}`,
  };
  return { url: `${url}/chat/completions`, headers, body: Buffer.from(JSON.stringify(body)) };
}

/** To the provider itself, or to a proxy that only forwards. */
export const buildPlainCall: CallBuilder = ({ origin }, answer, more = {}) =>
  buildChatCall({ url: `${origin}/v1`, headers: { authorization: "Bearer upstream-key" }, model: "" }, answer, more);

export const buildRhoneCall =
  (
    mode?: "stateless" | "stateful",
    { provider = "benchchat", rhone }: { provider?: "benchchat" | "benchanth"; rhone?: object } = {},
  ): CallBuilder =>
  ({ origin }, answer, more = {}) => {
    const headers = { authorization: `Bearer ${KEY}`, ...(mode !== undefined && { "x-rhone-context-mode": mode }) };
    const target = { url: `${origin}/v1`, headers, model: `${provider}/` };
    return buildChatCall(target, answer, { ...more, ...(rhone !== undefined && { rhone }) });
  };

export const buildPortkeyCall =
  (provider: "openai" | "anthropic"): CallBuilder =>
  ({ origin, upstream }, answer, more = {}) => {
    const headers = {
      authorization: "Bearer upstream-key",
      "x-portkey-provider": provider,
      "x-portkey-custom-host": `${upstream}/v1`,
    };
    return buildChatCall({ url: `${origin}/v1`, headers, model: "" }, answer, { ...more, ...requiredLimit(provider) });
  };

export const buildLitellmCall =
  (provider: "openai" | "anthropic"): CallBuilder =>
  ({ origin }, answer, more = {}) => {
    const headers = { authorization: `Bearer ${KEY}` };
    return buildChatCall({ url: `${origin}/v1`, headers, model: `${provider}/` }, answer, {
      ...more,
      ...requiredLimit(provider),
    });
  };

export const buildTensorzeroCall: CallBuilder = ({ origin }, answer, more = {}) =>
  buildChatCall({ url: `${origin}/openai/v1`, headers: {}, model: "tensorzero::model_name::" }, answer, more);

/** Anthropic requires a limit, and not every gateway adds one. */
const requiredLimit = (provider: string): object => (provider === "anthropic" ? { max_tokens: 1000 } : {});
