import { invalid } from "../../canonical/error.ts";
import type { Opaque } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember, tryParseJson } from "../../wire/json.ts";
import type { FoundServer, NamedServer, ServerTools } from "../server-tools.ts";

const dialect = "anthropic";

/**
 * `mcp_servers` and `mcp_toolset`, and the blocks with which calls of their tools are shown (Anthropic API, "MCP connector", betas
 * `mcp-client-2025-04-04` and `mcp-client-2025-11-20`). The wire has no approvals.
 */
export const serverTools: ServerTools = {
  naming: {
    members: ["mcp_servers", "tools"],
    find: ({ mcp_servers: servers, tools }) => {
      const toolsets = listOf(tools).map((tool) => (isObject(tool) && tool.type === "mcp_toolset" ? tool : undefined));
      const named = listOf(servers).map((server, i) => {
        const own = isObject(server) ? server : {};
        const toolset = toolsets.find((one) => one?.mcp_server_name === own.name);
        return { at: `mcp_servers[${i}]`, isLabelled: false, given: { server: own, ...(toolset && { toolset }) } };
      });
      // A further set of a server that has one is its name once more, which is refused.
      const first = new Set(named.map(({ given }) => given.toolset));
      const labelled = toolsets.flatMap((toolset, i) =>
        toolset === undefined || first.has(toolset)
          ? []
          : [
              {
                at: `tools[${i}]`,
                isLabelled: true,
                given: { server: { name: toolset.mcp_server_name ?? null }, toolset },
              },
            ],
      );
      return [...named, ...labelled];
    },
    read: readServer,
    isServer: ({ native }, labels) => {
      const item = native?.dialect === dialect && isObject(native.item) ? native.item : {};
      if (item.type === "mcp_toolset") return labels.includes(stringifyMember(item.mcp_server_name));
      const servers = listOf(item.mcp_servers);
      return servers.length > 0 && servers.every((one) => isObject(one) && labels.includes(stringifyMember(one.name)));
    },
  },
  calls: {
    prefix: "mcptoolu",
    areShown: (_, headers) => /\bmcp-client-/.test(headers.get("anthropic-beta") ?? ""),
    show: ({ id, server: server_name, tool: name, arguments: args, text, isError }) => [
      show({ type: "mcp_tool_use", id, name, server_name, input: readInput(args) }),
      show({ type: "mcp_tool_result", tool_use_id: id, is_error: isError, content: [{ type: "text", text }] }),
    ],
  },
};

const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

const show = (item: JsonObject): Opaque => ({
  kind: "opaque",
  label: stringifyMember(item.type),
  native: { dialect, item },
});

function readInput(args: string): JsonObject {
  const input = tryParseJson(args);
  return isObject(input) ? input : {};
}

function readServer({ at, isLabelled, given }: FoundServer): NamedServer {
  const [server, toolset] = [given.server, given.toolset].map((one) => (isObject(one) ? one : {}));
  const { name: label, url, authorization_token: token, tool_configuration: configured } = server!;
  if (typeof label !== "string")
    throw invalid(`${at}.${isLabelled ? "mcp_server_name" : "name"}`, "expected the name of the server");
  if (!isLabelled && typeof url !== "string") throw invalid(`${at}.url`, "expected the URL of the server");
  if (token != null && typeof token !== "string") throw invalid(`${at}.authorization_token`, "expected a text");
  const { allowed_tools: allowed, enabled } = isObject(configured) ? configured : {};
  if (allowed != null && !isListOfTexts(allowed))
    throw invalid(`${at}.tool_configuration.allowed_tools`, "expected a list of names of tools");
  const { only, denied } = readToolset(toolset!);
  const chosen = enabled === false ? [] : (allowed ?? only);
  return {
    label,
    at,
    ...(typeof url === "string" && { url }),
    headers: typeof token === "string" ? { authorization: `Bearer ${token}` } : {},
    ...(chosen && { only: chosen as string[] }),
    approvals: [...denied.map((tool) => ({ tool, do: "deny" as const })), { tool: "*", do: "allow" }],
  };
}

const isListOfTexts = (value: Json): boolean =>
  Array.isArray(value) && value.every((one) => typeof one === "string") && value.length > 0;

/** `only`: the tools of a set that are enabled, if the others are not; `denied`: those that are not, if the others are. */
function readToolset({ default_config: byDefault, configs }: JsonObject): { only?: string[]; denied: string[] } {
  const isEnabled = areEnabled(byDefault, true);
  const others = Object.entries(isObject(configs) ? configs : {}).filter(
    ([, config]) => areEnabled(config, isEnabled) !== isEnabled,
  );
  const names = others.map(([name]) => name);
  return isEnabled ? { denied: names } : { only: names, denied: [] };
}

const areEnabled = (config: Json | undefined, otherwise: boolean): boolean =>
  isObject(config) && typeof config.enabled === "boolean" ? config.enabled : otherwise;
