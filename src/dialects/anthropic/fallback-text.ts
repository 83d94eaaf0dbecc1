import { isObject, type Json, stringifyMember } from "../../wire/json.ts";
import { cutText } from "../../wire/surrogates.ts";

/** Characters: enough for a page of search results, too few for a fetched book. */
const MAX_FALLBACK_CHARS = 4_000;

/**
 * The readable content of an item that only this wire has. Absent if there is none, as in calls and containers.
 */
export function fallbackTextOf(item: Json): { gist?: string } {
  const lines = isObject(item) ? readLines(item.type, item.content, item) : [];
  const text = cutText(lines.filter(Boolean).join("\n"), MAX_FALLBACK_CHARS);
  return text === "" ? {} : { gist: text };
}

/** Documents, summaries, search results, fetched pages, and outputs of code execution. */
function readLines(type: Json | undefined, content: Json | undefined, item: Json): string[] {
  if (type === "document") return isObject(item) && isObject(item.source) ? textsOf(item.source.content) : [];
  if (type === "compaction") return [stringifyMember(content)];
  if (type === "search_result") return [formatPage(item, "source"), ...textsOf(content)];
  if (type === "web_fetch_tool_result") return isObject(content) ? [formatPage(content, "url")] : [];
  if (Array.isArray(content)) return content.flatMap((part) => [formatPage(part, "url"), ...textsOf([part])]);
  if (!isObject(content)) return [];
  const { text, stdout, stderr, error_code: error } = content;
  return [text, stdout, stderr, error].map((part) => (typeof part === "string" ? part.trim() : ""));
}

/** Title and address. */
function formatPage(item: Json, member: "url" | "source"): string {
  if (!isObject(item) || typeof item[member] !== "string") return "";
  return typeof item.title === "string" ? `${item.title} (${item[member]})` : item[member];
}

function textsOf(content: Json | undefined): string[] {
  if (typeof content === "string") return [content];
  return Array.isArray(content) ? content.map((part) => (isObject(part) ? stringifyMember(part.text) : "")) : [];
}
