import { z } from "zod";
import type { Loss } from "../canonical/types.ts";
import { native } from "../dialects/native/index.ts";
import type { Caller } from "../keys/caller.ts";
import { COMPACTION_STRATEGIES } from "../session/history/compact.ts";
import { isObject, type JsonObject, parseJson } from "../wire/json.ts";
import { scanObject } from "../wire/scan.ts";
import { appendMember, findMembers as membersOf, sliceSpan, splice } from "../wire/splice.ts";
import { type Surface, SURFACES } from "./index.ts";
import type { RequestText } from "./request.ts";
import { rhoneRequest } from "./rhone.ts";

const call = SURFACES.native.request.shape;

/**
 * The defaults that a session sets for its calls (docs/managing-sessions.md): members of a native request, the
 * behaviour of calls, and when the session is compacted.
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
    auto_compact: z
      .strictObject({
        at: z.number().gt(0).max(1),
        /** Tokens, for a model that the catalogue does not know. */
        context_window: z.int().min(1).optional(),
        strategy: z.enum(COMPACTION_STRATEGIES).optional(),
        keep_last: z.int().min(0).optional(),
        model: z.string().min(1).optional(),
      })
      .meta({ id: "AutoCompact" }),
  })
  .partial()
  .meta({ id: "SessionDefaults" });

type SessionDefaults = z.infer<typeof sessionDefaults>;

/** Defaults that belong into the request's `rhone` object instead of its top level. */
const RHONE_MEMBERS = ["on_busy", "on_disconnect", "strict"] as const;

/**
 * Adds the session's defaults to a request, in the surface's wire format. Members of the request win, and inside
 * Gemini's `generationConfig` again member by member. `losses`: defaults that the surface cannot express.
 */
export function withDefaults(requestText: RequestText, defaults: JsonObject, surface: Surface): RequestText {
  const sessionValues = defaults as SessionDefaults;
  const rhone = {
    ...Object.fromEntries(
      RHONE_MEMBERS.flatMap((key) => (sessionValues[key] === undefined ? [] : [[key, sessionValues[key]]])),
    ),
    ...requestText.rhone,
  };
  const { value, losses } = encodeDefaults(surface, defaults);
  const text = Object.entries(value).reduce(addMember, requestText.text);
  return { ...(text === requestText.text ? requestText : scanObject(text)), text, rhone, losses };
}

/** The defaults as top-level members of the surface's wire format, encoded by way of a native request. */
function encodeDefaults({ dialect }: Surface, defaults: JsonObject): { value: JsonObject; losses: Loss[] } {
  const own = Object.fromEntries(
    Object.entries(defaults).filter(([key]) => key !== "auto_compact" && !RHONE_MEMBERS.includes(key as never)),
  );
  if (Object.keys(own).length === 0) return { value: {}, losses: [] };
  const { rest: _, ...request } = native.decodeRequest({ ...own, input: "-" });
  const { value, losses } = dialect.encodeRequest(request, { dialect: dialect.id, model: request.model });
  // Members that an encoder always writes are not defaults: the list of messages, the mode, Anthropic's output limit.
  const { [dialect.layout.items]: _items, stream: _stream, model, ...members } = value;
  if (own.max_output_tokens === undefined) delete members.max_tokens;
  return { value: { ...members, ...(own.model !== undefined && model !== undefined && { model }) }, losses };
}

/** The text with this member, unless it has one; missing members are added to an existing `generationConfig`. */
function addMember(text: string, [key, value]: [string, JsonObject[string]]): string {
  const existing = membersOf(text).findLast((member) => member.key === key);
  if (existing === undefined) return splice(text, [appendMember(text, key, JSON.stringify(value))]);
  if (key !== "generationConfig" || !isObject(value)) return text;
  const requested = parseJson(sliceSpan(text, existing.value));
  if (!isObject(requested)) return text;
  const missing = Object.entries(value).filter(([inner]) => !(inner in requested));
  return missing.reduce((whole, [inner, json]) => {
    const at = membersOf(whole).findLast((member) => member.key === key)!.value;
    return splice(whole, [appendMember(whole, inner, JSON.stringify(json), at.end - 1)]);
  }, text);
}

/** Adds the key's defaults to the request's `rhone` object. Members of the request win, in `routing` member by member. */
export function withKeyDefaults<T extends RequestText>(
  requestText: T,
  { policy }: Caller,
  outside: { model?: string } = {},
): T {
  // What its key demands for a call's safety is no default: the call may only ask for more.
  const { conversation: _, safety: __, ...defaults } = policy?.defaults ?? {};
  if (Object.keys(defaults).length === 0) return requestText;
  const { rhone, members } = requestText;
  const { model, ...routing } = defaults.routing ?? {};
  const namesModel = outside.model !== undefined || members.some(({ key }) => key === "model");
  const mergedRouting = { ...routing, ...(!namesModel && model !== undefined && { model }), ...rhone.routing };
  return {
    ...requestText,
    rhone: { ...defaults, ...rhone, ...(Object.keys(mergedRouting).length > 0 && { routing: mergedRouting }) },
  };
}
