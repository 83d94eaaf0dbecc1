import { isObject, type Json, type JsonObject, tryParseJson } from "../../wire/json.ts";

/**
 * Compaction items of the gateway: a summary that a model wrote, in the member that holds encrypted state in
 * compaction items of OpenAI. The summary is no secret from the client; the encoding only separates it from
 * content that clients read and change. Every provider can receive it, whereas an item of OpenAI opens at
 * OpenAI only.
 */
const SUMMARY_PREFIX = "rhone1.";

/** The item for a summary. `id`: its public id. */
export const sealSummary = (id: string, summary: string): JsonObject => ({
  id,
  type: "compaction",
  encrypted_content: SUMMARY_PREFIX + Buffer.from(JSON.stringify({ summary })).toString("base64url"),
});

/** Inverse of `sealSummary`; `undefined` for any other item. */
function readSummary(item: Json): string | undefined {
  if (!isObject(item) || item.type !== "compaction" || typeof item.encrypted_content !== "string") return undefined;
  if (!item.encrypted_content.startsWith(SUMMARY_PREFIX)) return undefined;
  const sealed = tryParseJson(Buffer.from(item.encrypted_content.slice(SUMMARY_PREFIX.length), "base64url").toString());
  return isObject(sealed) && typeof sealed.summary === "string" ? sealed.summary : undefined;
}

/** The user message that a summary of the gateway stands for; any other item unchanged. */
export function expandSummary(item: Json): Json {
  const summary = readSummary(item);
  if (summary === undefined) return item;
  const text = `What was said so far, in short:\n\n${summary}`;
  return { type: "message", role: "user", content: [{ type: "input_text", text }] };
}

/** Whether a text may have summaries: a search for their prefix. */
export const mayHaveSummaries = (text: string): boolean => text.includes(`"${SUMMARY_PREFIX}`);

/** As `expandSummary`, for JSON text. */
export const toPortableItem = (item: string): string =>
  mayHaveSummaries(item) ? JSON.stringify(expandSummary(tryParseJson(item) ?? null)) : item;
