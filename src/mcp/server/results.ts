import type { JsonObject } from "../../wire/json.ts";
import type { McpMedia, McpQuestion } from "../messages.ts";
import { LEGACY_VERSIONS, MODERN_VERSIONS } from "../protocol.ts";

const SERVER_INFO = { name: "rhone", version: "0.1.0" };
const CAPABILITIES = { tools: {} };

/** How long a client may use a list of tools. Milliseconds. */
const TTL_MS = 60_000;

/** A tool as clients are shown it. */
export type OfferedTool = { name: string; description?: string; inputSchema: JsonObject; isReadOnly: boolean };

/** The answer to `initialize` (MCP 2025-11-25, "Lifecycle"): the requested version if the gateway has it, or else its newest one. */
export const toInitialized = (requested: unknown): JsonObject => ({
  protocolVersion: LEGACY_VERSIONS.find((version) => version === requested) ?? LEGACY_VERSIONS[0],
  capabilities: CAPABILITIES,
  serverInfo: SERVER_INFO,
});

/** The answer to `server/discover` (MCP 2026-07-28, "Discovery"). */
export const DISCOVERED: JsonObject = {
  resultType: "complete",
  supportedVersions: [...MODERN_VERSIONS],
  capabilities: CAPABILITIES,
  serverInfo: SERVER_INFO,
  ttlMs: TTL_MS,
  cacheScope: "private",
};

/** The answer to `tools/list`, in an order that is always the same. */
export const toToolList = (tools: readonly OfferedTool[]): JsonObject => ({
  resultType: "complete",
  tools: tools
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ isReadOnly, ...tool }) => ({ ...tool, ...(isReadOnly && { annotations: { readOnlyHint: true } }) })),
  ttlMs: TTL_MS,
  cacheScope: "private",
});

/** The answer to `tools/call`. */
export const toCallResult = (
  text: string,
  { media, isError }: { media: readonly McpMedia[]; isError: boolean },
): JsonObject => ({
  resultType: "complete",
  content: [...(text === "" && media.length > 0 ? [] : [{ type: "text", text }]), ...media.map(toContent)],
  isError,
});

function toContent({ mimeType, data }: McpMedia): JsonObject {
  if (mimeType.startsWith("image/")) return { type: "image", mimeType, data };
  if (mimeType.startsWith("audio/")) return { type: "audio", mimeType, data };
  return { type: "resource", resource: { uri: "data:,", mimeType, blob: data } };
}

/** The answer to a call that needs answers of people first (MCP 2026-07-28, "Multi Round-Trip Requests"). */
export const toInputRequired = (questions: readonly McpQuestion[], state: string): JsonObject => ({
  resultType: "input_required",
  inputRequests: Object.fromEntries(
    questions.map(({ key, message, schema, url }) => [
      key,
      {
        method: "elicitation/create",
        params: url === undefined ? { mode: "form", message, requestedSchema: schema! } : { mode: "url", message, url },
      },
    ]),
  ),
  requestState: state,
});
