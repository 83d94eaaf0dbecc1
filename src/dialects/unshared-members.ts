import type { Block, Dialect, Item, Loss, Message, Tool } from "../canonical/types.ts";
import type { Json, JsonObject } from "../wire/json.ts";

/** The members of an item, of these, whose value is not that of an absent one. */
export function listUnshared(item: JsonObject, names: readonly string[]): Pick<Item, "unshared"> {
  const unshared = names.filter((name) => saysSomething(item[name]));
  return unshared.length > 0 ? { unshared } : {};
}

const saysSomething = (value: Json | undefined): boolean => value !== undefined && !DEFAULTS.has(JSON.stringify(value));

const DEFAULTS = new Set(["null", "false", '""', "[]", "{}", '{"enabled":false}', '["direct"]']);

/** Of function tools (Anthropic API, Messages: `Tool`; OpenAI API reference, Responses: `FunctionTool`). */
export const UNSHARED_IN_TOOLS = ["input_examples", "output_schema", "defer_loading", "allowed_callers"] as const;

/** The dialects of providers that name the authors of messages. */
const HAS_NAMES: ReadonlySet<Dialect> = new Set(["openai-chat"]);
/** Those in which `detail` is a member of images. */
const HAS_DETAIL: ReadonlySet<Dialect> = new Set(["openai-chat", "openai-responses"]);

type LosingRequest = { messages: readonly Message[]; tools?: readonly Tool[] };

/** Losses: what items of other dialects have and the target's dialect has not; each once. */
export function loseUnshared({ messages, tools = [] }: LosingRequest, to: Dialect): Loss[] {
  // No provider has the gateway's own wire.
  if (to === "native") return [];
  const isForeign = ({ native }: Item): boolean => native?.dialect !== to;
  const lost = [
    ...tools.filter(isForeign).flatMap((tool) => namesIn(`tools.${labelOf(tool)}`, tool)),
    ...messages
      .filter(isForeign)
      .flatMap(({ name }) => (name === undefined || HAS_NAMES.has(to) ? [] : "messages.name")),
    ...messages
      .flatMap(listParts)
      .filter(isForeign)
      .flatMap((part) => [
        ...namesIn(part.kind, part),
        ...(hasDetail(part) && !HAS_DETAIL.has(to) ? ["media.detail"] : []),
      ]),
  ];
  return [...new Set(lost)].map((at) => ({ at, what: "dropped", why: `it is not translated to ${to}` }));
}

const namesIn = (at: string, { unshared = [] }: Item): string[] => unshared.map((name) => `${at}.${name}`);

const labelOf = (tool: Tool): string => (tool.kind === "function" ? tool.name : tool.label);

const hasDetail = (part: Block): boolean => part.kind === "media" && (part.detail ?? "auto") !== "auto";

/** Blocks, and the parts in results. */
const listParts = ({ blocks }: Message): Block[] =>
  blocks.flatMap((block): Block[] => (block.kind === "tool_result" ? [block, ...block.content] : [block]));
