import { isObject, type Json, type JsonObject, numberOf, stringOf, withoutUndefined } from "../wire/json.ts";
import { McpError } from "./mcp-error.ts";
import type { McpMedia, McpOutcome, McpTask } from "./messages.ts";
import { readQuestions } from "./questions.ts";

type ToolResult = Extract<McpOutcome, { kind: "result" }>;

/** The result of `tools/call`, of any type (MCP 2026-07-28, "ResultType"). Absent is complete: older servers have none. Throws `McpError`. */
export function readOutcome(result: JsonObject): McpOutcome {
  const { resultType = "complete" } = result;
  if (resultType === "complete") return readToolResult(result);
  if (resultType === "input_required") return readInputRequired(result);
  if (resultType === "task") return readTask(result, { isNew: true });
  throw new McpError(`the server sent a result of an unknown type: ${JSON.stringify(resultType).slice(0, 100)}`);
}

function readInputRequired({ inputRequests, requestState }: JsonObject): McpOutcome {
  if (inputRequests === undefined && requestState === undefined)
    throw new McpError("the server needs input, and does not say which");
  if (requestState !== undefined && typeof requestState !== "string")
    throw new McpError("the server sent a requestState that is no text");
  const questions = readQuestions(inputRequests);
  return requestState === undefined ? { kind: "input", questions } : { kind: "input", questions, state: requestState };
}

/**
 * A task, by its status (Tasks extension, "Task status"). `isNew`: it comes in place of a result, and need not have what belongs to its
 * status. Throws `McpError` if the work has failed or was cancelled.
 */
export function readTask(task: JsonObject, { isNew }: { isNew: boolean }): McpOutcome {
  const { taskId, status, result, inputRequests } = task;
  if (typeof taskId !== "string" || taskId === "") throw new McpError("the server sent a task without an id");
  switch (status) {
    case "working":
      return toTask(taskId, task, []);
    case "input_required":
      if (!isNew && inputRequests === undefined) throw new McpError("the task needs input, and does not say which");
      return toTask(taskId, task, readQuestions(inputRequests));
    case "completed":
      if (isObject(result)) return readToolResult(result);
      if (!isNew) throw new McpError("the task is completed, and has no result");
      return { ...toTask(taskId, task, []), pollMs: MIN_POLL_MS };
    case "failed":
    case "cancelled":
      throw toTaskError(task, `the task has ${status === "failed" ? "failed" : "been cancelled"}`);
    default:
      throw new McpError("the server sent a task of an unknown status");
  }
}

function toTaskError({ error, statusMessage }: JsonObject, summary: string): McpError {
  const { code, message } = isObject(error) ? error : {};
  const reason = stringOf(message) ?? stringOf(statusMessage);
  return new McpError(reason === undefined ? summary : `${summary}: ${reason}`, { code: numberOf(code) });
}

/** Milliseconds. Without an interval of the server's own, every five seconds; never so often that the server is flooded. */
const DEFAULT_POLL_MS = 5_000;
const MIN_POLL_MS = 100;
const MAX_POLL_MS = 3_600_000;

function toTask(id: string, task: JsonObject, questions: McpTask["questions"]): McpTask {
  const pollMs = Math.min(MAX_POLL_MS, Math.max(MIN_POLL_MS, numberOf(task["pollIntervalMs"]) ?? DEFAULT_POLL_MS));
  const endsAt = Date.parse(stringOf(task["createdAt"]) ?? "") + (numberOf(task["ttlMs"]) ?? Number.NaN);
  return withoutUndefined<McpTask>({
    kind: "task",
    id,
    pollMs,
    endsAt: Number.isFinite(endsAt) ? endsAt : undefined,
    questions,
    message: stringOf(task["statusMessage"]),
  });
}

/** `CallToolResult` (MCP 2026-07-28, "Tool result"). `structuredContent` repeats the text, and is the result where there is none. */
function readToolResult({ content, structuredContent, isError }: JsonObject): ToolResult {
  if (content === undefined && structuredContent === undefined) throw new McpError("the server sent no content");
  if (content !== undefined && !Array.isArray(content)) throw new McpError("the server sent content that is no array");
  const parts = (content ?? []).map(readItem);
  const texts = parts.filter((part) => typeof part === "string");
  const text =
    texts.length === 0 && structuredContent !== undefined ? JSON.stringify(structuredContent) : texts.join("\n");
  return { kind: "result", text, media: parts.filter((part) => typeof part !== "string"), isError: isError === true };
}

/** An item as its text or its media. One of an unknown type is shown as it is. */
function readItem(item: Json): string | McpMedia {
  if (!isObject(item)) throw new McpError("the server sent a content item that is no object");
  switch (item["type"]) {
    case "text":
      return requireText(item, "text");
    case "image":
    case "audio":
      return toMedia(requireText(item, "mimeType"), requireText(item, "data"));
    case "resource_link":
      return `${requireText(item, "name")} (${requireText(item, "uri")})`;
    case "resource":
      return readResource(item["resource"]);
    default:
      return JSON.stringify(item);
  }
}

function readResource(resource: Json | undefined): string | McpMedia {
  if (!isObject(resource)) throw new McpError("the server sent a resource that is no object");
  if (resource["blob"] === undefined) return requireText(resource, "text");
  return toMedia(stringOf(resource["mimeType"]) ?? "application/octet-stream", requireText(resource, "blob"));
}

/** Media, or a text in the place of what no client could show. */
function toMedia(mimeType: string, data: string): string | McpMedia {
  if (!MEDIA_TYPE.test(mimeType) || !BASE64.test(data)) return "(an item whose type or data cannot be read)";
  return { mimeType, data };
}

/** RFC 6838, section 4.2, without parameters. */
const MEDIA_TYPE = /^[\w!#$&^.+-]{1,127}\/[\w!#$&^.+-]{1,127}$/;
const BASE64 = /^[\w+/-]+={0,2}$/;

function requireText(item: JsonObject, member: string): string {
  const text = item[member];
  if (typeof text !== "string") throw new McpError(`the server sent a content item whose ${member} is no text`);
  return text;
}
