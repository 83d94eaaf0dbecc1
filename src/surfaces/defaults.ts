import { z } from "zod";
import type { Loss } from "../canonical/types.ts";
import { native } from "../dialects/native/index.ts";
import { isObject, type JsonObject, parseJson } from "../wire/json.ts";
import { appendMember, members as membersOf, sliceOf, splice } from "../wire/splice.ts";
import type { RequestText } from "./request.ts";
import { COMPACTION_STRATEGIES } from "../session/history/compact.ts";
import { SURFACES, type Surface } from "./index.ts";
import { rhoneRequest } from "./rhone.ts";
import type { Caller } from "../keys/caller.ts";

const call = SURFACES.native.request.shape;

/**
 * What a session says for calls that do not say it themselves: members of a native request (SPEC 5.4), how its calls
 * behave, and when it is compacted. `null` takes a member away.
 */
export const sessionDefaults = z
  .strictObject({
    model: z.string().min(1),
    tools: call.tools.unwrap(),
    tool_choice: call.tool_choice.unwrap(),
    parallel_tools: z.boolean(),
    reasoning: call.reasoning.unwrap(),
    format: call.format.unwrap(),
    max_output_tokens: z.int().min(1),
    temperature: call.temperature.unwrap(),
    top_p: call.top_p.unwrap(),
    top_k: call.top_k.unwrap(),
    frequency_penalty: z.number(),
    presence_penalty: z.number(),
    seed: z.int(),
    stop: call.stop.unwrap(),
    on_busy: rhoneRequest.shape.on_busy.unwrap(),
    on_disconnect: rhoneRequest.shape.on_disconnect.unwrap(),
    strict: z.boolean(),
    auto_compact: z.strictObject({
      at: z.number().gt(0).max(1),
      /** Tokens; of a model that the catalogue does not know. */
      context_window: z.int().min(1).optional(),
      strategy: z.enum(COMPACTION_STRATEGIES).optional(),
      keep_last: z.int().min(0).optional(),
      model: z.string().min(1).optional(),
    }),
  })
  .partial()
  .meta({ id: "SessionDefaults" });

export type SessionDefaults = z.infer<typeof sessionDefaults>;

/** Those that stand in `rhone`. */
const RHONE_MEMBERS = ["on_busy", "on_disconnect", "strict"] as const;

/**
 * The request as if its caller had said the session's defaults in the words of the surface. What the caller says wins,
 * member by member, and in Gemini's `generationConfig` again member by member.
 */
export function withDefaults(
  requestText: RequestText,
  defaults: JsonObject,
  surface: Surface,
): RequestText & { losses: Loss[] } {
  const sessionValues = defaults as SessionDefaults;
  const rhone = {
    ...Object.fromEntries(
      RHONE_MEMBERS.flatMap((key) => (sessionValues[key] === undefined ? [] : [[key, sessionValues[key]]])),
    ),
    ...requestText.rhone,
  };
  const { value, losses } = encodeDefaults(surface, defaults);
  const text = Object.entries(value).reduce(addMember, requestText.text);
  return { text, members: text === requestText.text ? requestText.members : membersOf(text), rhone, losses };
}

/** The members of a request to this surface. */
function encodeDefaults({ dialect }: Surface, defaults: JsonObject): { value: JsonObject; losses: Loss[] } {
  const own = Object.fromEntries(
    Object.entries(defaults).filter(([key]) => key !== "auto_compact" && !RHONE_MEMBERS.includes(key as never)),
  );
  if (Object.keys(own).length === 0) return { value: {}, losses: [] };
  const { rest: _, ...request } = native.decodeRequest({ ...own, input: "-" });
  const { value, losses } = dialect.encodeRequest(request, { dialect: dialect.id, model: request.model });
  // What an encoder always says is no default: the list itself, the mode, an output limit that Anthropic must have.
  const { [dialect.layout.items]: _items, stream: _stream, model, ...members } = value;
  if (own.max_output_tokens === undefined) delete members.max_tokens;
  return { value: { ...members, ...(own.model !== undefined && model !== undefined && { model }) }, losses };
}

function addMember(text: string, [key, value]: [string, JsonObject[string]]): string {
  const existing = membersOf(text).findLast((member) => member.key === key);
  if (existing === undefined) return splice(text, [appendMember(text, key, JSON.stringify(value))]);
  if (key !== "generationConfig" || !isObject(value)) return text;
  const requested = parseJson(sliceOf(text, existing.value));
  if (!isObject(requested)) return text;
  const missing = Object.entries(value).filter(([inner]) => !(inner in requested));
  return missing.reduce((whole, [inner, json]) => {
    const at = membersOf(whole).findLast((member) => member.key === key)!.value;
    return splice(whole, [appendMember(whole, inner, JSON.stringify(json), at.end - 1)]);
  }, text);
}

/** The request as if its caller had said what the key has for those who say nothing. What the caller says wins, member by member. */
export function withKeyDefaults<T extends RequestText>(
  requestText: T,
  { policy }: Caller,
  outside: { model?: string } = {},
): T {
  const { defaults } = policy ?? {};
  if (defaults === undefined || Object.keys(defaults).length === 0) return requestText;
  const { rhone, members } = requestText;
  const { model, ...routing } = defaults.routing ?? {};
  const namesModel = outside.model !== undefined || members.some(({ key }) => key === "model");
  const mergedRouting = { ...routing, ...(!namesModel && model !== undefined && { model }), ...rhone.routing };
  return {
    ...requestText,
    rhone: { ...defaults, ...rhone, ...(Object.keys(mergedRouting).length > 0 && { routing: mergedRouting }) },
  };
}
