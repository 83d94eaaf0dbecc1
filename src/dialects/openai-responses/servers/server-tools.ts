import { invalid } from "../../../canonical/error.ts";
import type { Message, Opaque } from "../../../canonical/types.ts";
import { objectIdOfItem } from "../../../wire/id.ts";
import { isObject, type Json, type JsonObject, lookUp, stringifyMember, stringOf } from "../../../wire/json.ts";
import type { FoundServer, NamedServer, ServerTools } from "../../server-tools.ts";

const dialect = "openai-responses";

/**
 * `{"type": "mcp"}` as a tool, and the items with which calls of its tools are shown and approved (OpenAI API reference, Responses:
 * tools, `mcp_list_tools`, `mcp_call`, `mcp_approval_request`, `mcp_approval_response`).
 */
export const serverTools: ServerTools = {
  naming: {
    members: ["tools"],
    find: ({ tools }) =>
      (Array.isArray(tools) ? tools : []).flatMap((given, i) =>
        isServer(given)
          ? [{ at: `tools[${i}]`, isLabelled: PLACES.every((member) => given[member] == null), given }]
          : [],
      ),
    read: readServer,
    isServer: ({ native }, labels) =>
      native?.dialect === dialect &&
      isServer(native.item) &&
      labels.includes(stringifyMember(native.item.server_label)),
    readChoices: (choice) => {
      const isList = isObject(choice) && choice.type === "allowed_tools" && Array.isArray(choice.tools);
      return (isList ? (choice.tools as Json[]) : [choice]).filter(isServer).map((chosen) => {
        const tool = stringOf(chosen.name);
        return { server: stringifyMember(chosen.server_label), ...(tool !== undefined && { tool }) };
      });
    },
  },
  lists: {
    prefix: "mcpl",
    show: ({ id, server: server_label, tools }) =>
      show({
        id,
        type: "mcp_list_tools",
        server_label,
        tools: tools.map(({ name, description = null, parameters, isReadOnly }) => ({
          name,
          description,
          input_schema: parameters,
          annotations: { read_only: isReadOnly },
        })),
      }),
    find: (messages) =>
      messages.flatMap((message) => {
        const { type, server_label: label } = itemOf(message);
        return type === "mcp_list_tools" && typeof label === "string" ? [label] : [];
      }),
  },
  calls: {
    prefix: "mcp",
    areShown: () => true,
    show: ({ id, server: server_label, tool: name, arguments: args, text, isError, approval = null }) =>
      show({
        id,
        type: "mcp_call",
        status: isError ? "failed" : "completed",
        approval_request_id: approval,
        arguments: args,
        error: isError ? text : null,
        name,
        output: isError ? null : text,
        server_label,
      }),
  },
  approvals: {
    prefix: "mcpr",
    show: ({ id, server: server_label, tool: name, arguments: args }) =>
      show({ id, type: "mcp_approval_request", arguments: args, name, server_label }),
    mayDecide: /"mcp_approval_response"/,
    read: (messages) =>
      messages.flatMap((message) => {
        const item = itemOf(message);
        if (item.type !== "mcp_approval_response" || typeof item.approval_request_id !== "string") return [];
        const reason = stringOf(item.reason);
        const approves = item.approve === true;
        return [{ id: item.approval_request_id, approves, ...(reason !== undefined && { reason }) }];
      }),
  },
  mayHaveOwn: (text) => text.includes('"mcp_'),
};

const itemOf = ({ native }: Message): JsonObject =>
  native?.dialect === dialect && isObject(native.item) ? native.item : {};

const show = (item: JsonObject): Opaque[] => [
  { kind: "opaque", label: item.type as string, native: { dialect, item } },
];

const isServer = (tool: Json | undefined): tool is JsonObject => isObject(tool) && tool.type === "mcp";

/** The members that say where a server is. */
const PLACES = ["server_url", "connector_id", "tunnel_id"];

/** Every call needs an approval unless the tool says otherwise. */
function readServer({ at, given }: FoundServer): NamedServer {
  const { server_label: label, server_url: url, authorization, headers } = given;
  if (typeof label !== "string") throw invalid(`${at}.server_label`, "expected the label of the server");
  const theirs = PLACES.slice(1).find((member) => given[member] != null);
  if (theirs !== undefined)
    throw invalid(`${at}.${theirs}`, "expected server_url: only OpenAI itself calls this server");
  if (url != null && typeof url !== "string") throw invalid(`${at}.server_url`, "expected the URL of the server");
  const only = readNames(given.allowed_tools, `${at}.allowed_tools`);
  const token = readText(authorization, `${at}.authorization`);
  return {
    label,
    at,
    ...(typeof url === "string" && { url }),
    headers: withToken(readHeaders(headers, `${at}.headers`), token),
    ...(only && { only }),
    approvals: readApprovals(given.require_approval ?? "always", `${at}.require_approval`),
    ...(given.require_approval == null && { isDefault: true }),
  };
}

function readText(value: Json | undefined, at: string): string | undefined {
  if (value != null && typeof value !== "string") throw invalid(at, "expected a text");
  return value ?? undefined;
}

function readHeaders(headers: Json | undefined, at: string): Record<string, string> {
  if (headers == null) return {};
  if (!isObject(headers) || !Object.values(headers).every((value) => typeof value === "string"))
    throw invalid(at, "expected an object of texts");
  return headers as Record<string, string>;
}

/** The token takes the place of a header of this name: two would be sent as one list, which opens nothing. */
function withToken(headers: Record<string, string>, token: string | undefined): Record<string, string> {
  if (token === undefined) return headers;
  const others = Object.entries(headers).filter(([name]) => name.toLowerCase() !== "authorization");
  return { ...Object.fromEntries(others), authorization: `Bearer ${token}` };
}

/** A list of names, or a filter with one. Undefined: all. */
function readNames(filter: Json | undefined, at: string): string[] | undefined {
  if (filter == null) return undefined;
  const names = isObject(filter) ? filter.tool_names : filter;
  if (isObject(filter) && filter.read_only != null)
    throw invalid(
      `${at}.read_only`,
      "expected tool_names: the gateway does not choose tools by what a server says of them",
    );
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string"))
    throw invalid(at, "expected a list of names of tools, or an object with tool_names");
  return names;
}

function readApprovals(required: Json, at: string): NamedServer["approvals"] {
  if (required === "never") return [{ tool: "*", do: "allow" }];
  if (required === "always") return [{ tool: "*", do: "ask" }];
  if (!isObject(required)) throw invalid(at, "expected always, never, or an object with lists of tools for them");
  const rulesFor = (member: "always" | "never"): NamedServer["approvals"] =>
    (readNames(required[member], `${at}.${member}`) ?? []).map((tool) => ({
      tool,
      do: member === "always" ? "ask" : "allow",
    }));
  return [...rulesFor("always"), ...rulesFor("never"), { tool: "*", do: "ask" }];
}

/** Items that are about calls of the gateway's: no provider knows their ids. */
const OF_GATEWAY: Record<string, string> = {
  mcp_list_tools: "id",
  mcp_approval_request: "id",
  mcp_approval_response: "approval_request_id",
};

/** Whether an item is about servers that the gateway calls, so that it is for the gateway only. */
export function isOfGateway(item: JsonObject): boolean {
  const id = item[lookUp(OF_GATEWAY, stringOf(item.type) ?? "") ?? ""];
  return typeof id === "string" && objectIdOfItem(id) !== undefined;
}
