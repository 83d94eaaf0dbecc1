import { isObject, type Json, type JsonObject } from "../wire/json.ts";
import { McpError } from "./mcp-error.ts";
import type { McpAnswer, McpQuestion } from "./messages.ts";

/** The one request of a server that the gateway answers: a question to a person. */
export const ELICIT = "elicitation/create";

/** Most questions of one answer. Servers ask one or two. */
const MAX_QUESTIONS = 100;

/** `inputRequests` of MCP 2026-07-28, "Multi Round-Trip Requests". Throws `McpError` on a request that is no question to a person. */
export function readQuestions(requests: Json | undefined): McpQuestion[] {
  if (requests === undefined) return [];
  if (!isObject(requests)) throw new McpError("the server sent inputRequests that are no object");
  const entries = Object.entries(requests);
  if (entries.length > MAX_QUESTIONS) throw new McpError(`the server asks more than ${MAX_QUESTIONS} questions`);
  return entries.map(([key, request]) => {
    const method = isObject(request) ? request["method"] : undefined;
    if (method !== ELICIT) throw new McpError(`the gateway does not support requests of the kind ${quote(method)}`);
    const { params } = request as JsonObject;
    return readQuestion(key, isObject(params) ? params : {});
  });
}

/** The parameters of `elicitation/create` (MCP 2026-07-28, "Elicitation"). Throws `McpError`. */
export function readQuestion(key: string, { mode = "form", message, requestedSchema, url }: JsonObject): McpQuestion {
  if (typeof message !== "string") throw new McpError("the server asks a question without a text");
  if (mode === "url") {
    if (typeof url !== "string" || !isWebPage(url)) throw new McpError("the server asks to open what is no web page");
    return { key, message, url };
  }
  if (mode !== "form") throw new McpError(`the gateway does not support questions of the mode ${quote(mode)}`);
  if (!isObject(requestedSchema)) throw new McpError("the server asks a question without a schema");
  return { key, message, schema: requestedSchema };
}

/** The questions of a call that needs pages to be opened first (MCP 2025-11-25, error -32042). Throws `McpError`. */
export function readPages(data: Json | undefined): McpQuestion[] {
  const pages = isObject(data) ? data["elicitations"] : undefined;
  if (!Array.isArray(pages) || pages.length === 0 || pages.length > MAX_QUESTIONS || !pages.every(isObject))
    throw new McpError("the server asks to open pages, and gives none");
  return pages.map((page, at) => {
    const { elicitationId } = page;
    return readQuestion(typeof elicitationId === "string" ? elicitationId : String(at), { ...page, mode: "url" });
  });
}

/** An answer as the result of `elicitation/create`. */
export const toElicitResult = (answer: McpAnswer): JsonObject =>
  answer.action === "accept" && answer.content !== undefined
    ? { action: "accept", content: answer.content }
    : { action: answer.action };

/** Answers by the keys of their questions, as `inputResponses`. JSON text. */
export const writeAnswers = (answers: Readonly<Record<string, McpAnswer>>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(answers).map(([key, answer]) => [key, toElicitResult(answer)])));

/** A page that a person can be sent to: no script, no file. */
function isWebPage(url: string): boolean {
  const protocol = URL.parse(url)?.protocol;
  return protocol === "https:" || protocol === "http:";
}

const quote = (value: Json | undefined): string => JSON.stringify(value ?? null).slice(0, 100);
