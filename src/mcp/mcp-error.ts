import type { Json } from "../wire/json.ts";

/**
 * An error that a server has answered with, or an answer that is none of the protocol. `code`: of JSON-RPC, if the server has sent one.
 * `data`: what it has sent beside its text. `status`: of HTTP,
 * unless the answer came with 200. The text is for the author of the server's row, and for the model.
 */
export class McpError extends Error {
  readonly code: number | undefined;
  readonly data: Json | undefined;
  readonly status: number | undefined;

  constructor(message: string, { code, data, status }: Partial<Pick<McpError, "code" | "data" | "status">> = {}) {
    super(message.length > MAX_TEXT ? `${message.slice(0, MAX_TEXT)} …` : message);
    this.code = code;
    this.data = data;
    this.status = status;
  }
}

/** Longest text of an error, in UTF-16 code units: a server may send megabytes. */
const MAX_TEXT = 2_000;

/** JSON-RPC 2.0, "Error object". */
export const METHOD_NOT_FOUND = -32601;
export const INVALID_PARAMS = -32602;
export const INTERNAL_ERROR = -32603;

/** MCP 2026-07-28, "Error codes": the version of the request is none that the server has. */
export const UNSUPPORTED_VERSION = -32022;
/** MCP 2025-11-25 only: a person has to open pages before the call is repeated. */
export const URL_REQUIRED = -32042;

/** Codes that only a server of 2026-07-28 or later sends (MCP 2026-07-28, "Error codes"). */
export const isModernCode = (code: number): boolean => code >= -32099 && code <= -32020;
