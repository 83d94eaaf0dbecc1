import type { Message, ModelRequest, Tool, ToolChoice } from "../canonical/types.ts";
import type { WireDialect } from "../dialects/dialect.ts";
import { isObject, type JsonObject } from "../wire/json.ts";
import type { ParsedRequest } from "./request.ts";

/**
 * What is added to a client's request. `omits`: the tools of the client's that are left out. `toolChoice`, `parallelTools`: in the place
 * of the client's own. `instructions`: in front of the client's own; they are not those of the session.
 */
export type RequestExtension = {
  tools: readonly Tool[];
  omits?: (tool: Tool) => boolean;
  toolChoice?: ToolChoice;
  parallelTools?: boolean;
  instructions?: string;
};

/**
 * The request with more tools and instructions than its client has sent. Its body is always encoded, as its text lacks them;
 * the client's own items and tools keep their bytes.
 */
export function extendRequest(
  parsed: ParsedRequest,
  { instructions, tools, omits = () => false, ...choices }: RequestExtension,
): ParsedRequest {
  const { request, surface } = parsed;
  const { tools: given = [], ...withoutTools } = request;
  const all = [...given.filter((tool) => !omits(tool)), ...tools];
  const extended: ModelRequest = { ...withoutTools, ...choices, ...(all.length > 0 && { tools: all }) };
  const own = request.rest?.item;
  if (isObject(own)) {
    const members = encodeTools(extended, surface.dialect, Object.keys(choices).length > 0);
    const named = given.some(omits) ? ["tools", ...(surface.dialect.serverTools?.naming?.members ?? [])] : [];
    const others = Object.fromEntries(Object.entries(own).filter(([member]) => !named.includes(member)));
    extended.rest = { ...request.rest!, item: { ...others, ...members } };
  }
  if (instructions !== undefined) extended.messages = [toSystem(instructions), ...request.messages];
  const addedBytes = Buffer.byteLength(JSON.stringify([instructions ?? "", tools]));
  return parsed.with({ request: extended, addedBytes });
}

const toSystem = (text: string): Message => ({ role: "system", blocks: [{ kind: "text", text }] });

/** The members of a body that have tools. */
const TOOL_MEMBERS = new Set(["tools", "mcp_servers"]);

/** The members of a body with which a wire says which tools there are and which may be called. */
const CHOICE_MEMBERS = new Set(["tool_choice", "parallel_tool_calls", "parallel_tools", "toolConfig"]);

function encodeTools(
  { tools, toolChoice, parallelTools }: ModelRequest,
  dialect: WireDialect,
  changesChoice: boolean,
): JsonObject {
  const members = { ...(toolChoice && { toolChoice }), ...(parallelTools !== undefined && { parallelTools }) };
  const request = { model: "", stream: false, messages: [MARKED], ...(tools && { tools }), ...members };
  const { value } = dialect.encodeRequest(request, { dialect: dialect.id, model: "" });
  return Object.fromEntries(
    Object.entries(value).filter(([name]) => TOOL_MEMBERS.has(name) || (changesChoice && CHOICE_MEMBERS.has(name))),
  );
}

/** A request with a mark gets no others: the tools that are added have none of their own. */
const MARKED: Message = { role: "user", blocks: [{ kind: "text", text: "-", cache: "5m" }] };
