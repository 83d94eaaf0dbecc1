import { isObject, type Json, type JsonObject, tryParseJson } from "../../wire/json.ts";

/**
 * Compaction items of the gateway's own: a summary that some model wrote, in the member where OpenAI's have their
 * encrypted state. It is no secret from the client whose conversation it sums up; the encoding only keeps it apart
 * from what clients read and change. Any provider can be told it, where OpenAI's own opens for OpenAI alone.
 */
const SUMMARY_PREFIX = "rhone1.";

export const sealSummary = (id: string, summary: string): JsonObject => ({
  id,
  type: "compaction",
  encrypted_content: SUMMARY_PREFIX + Buffer.from(JSON.stringify({ summary })).toString("base64url"),
});

/** The inverse; undefined for an item that is none of ours. */
function readSummary(item: Json): string | undefined {
  if (!isObject(item) || item.type !== "compaction" || typeof item.encrypted_content !== "string") return undefined;
  if (!item.encrypted_content.startsWith(SUMMARY_PREFIX)) return undefined;
  const sealed = tryParseJson(Buffer.from(item.encrypted_content.slice(SUMMARY_PREFIX.length), "base64url").toString());
  return isObject(sealed) && typeof sealed.summary === "string" ? sealed.summary : undefined;
}

/** The item as every provider understands it: the message that a summary of ours stands for, or itself. */
export function expandSummary(item: Json): Json {
  const summary = readSummary(item);
  if (summary === undefined) return item;
  const text = `What was said so far, in short:\n\n${summary}`;
  return { type: "message", role: "user", content: [{ type: "input_text", text }] };
}

/** The same of an item as JSON text, which stays as it is where it can. */
export const toPortableItem = (item: string): string =>
  item.includes(`"${SUMMARY_PREFIX}`) ? JSON.stringify(expandSummary(tryParseJson(item) ?? null)) : item;
