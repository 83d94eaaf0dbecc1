import type { JsonObject } from "../wire/json.ts";

/** Versions whose requests say all about themselves, newest first (MCP 2026-07-28, "Versioning"). */
export const MODERN_VERSIONS = ["2026-07-28"] as const;
/** Versions with a handshake and sessions, over Streamable HTTP, newest first. */
export const LEGACY_VERSIONS = ["2025-11-25", "2025-06-18", "2025-03-26"] as const;

export const CLIENT_INFO = { name: "rhone", version: "0.1.0" } as const;

const ELICITATION = { form: {}, url: {} };

/** What the gateway can do for a server: ask a person, and wait for tasks. Tasks as an extension are modern only. */
export const CLIENT_CAPABILITIES = {
  modern: { elicitation: ELICITATION, extensions: { "io.modelcontextprotocol/tasks": {} } },
  legacy: { elicitation: ELICITATION },
} as const;

/** `_meta` of a modern request (MCP 2026-07-28, "_meta"), with members of the request's own. JSON text. */
export const metaOf = (version: string, own: JsonObject): string =>
  JSON.stringify({
    "io.modelcontextprotocol/protocolVersion": version,
    "io.modelcontextprotocol/clientInfo": CLIENT_INFO,
    "io.modelcontextprotocol/clientCapabilities": CLIENT_CAPABILITIES.modern,
    ...own,
  });
