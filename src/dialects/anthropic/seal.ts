import { isObject, type Json } from "../../wire/json.ts";

/**
 * Whether only the issuer can open the item: signatures, redacted thinking and members `encrypted_…`. Calls of
 * server tools are sealed as their results are, because the API accepts neither without the other, and results
 * are encrypted or in a container.
 */
export function isSealed(item: Json): boolean {
  if (!isObject(item)) return false;
  switch (item.type) {
    case "thinking":
      return typeof item.signature === "string" && item.signature !== "";
    case "text":
      return item.citations !== undefined && hasEncryptedMember(item.citations);
    case "redacted_thinking":
    case "server_tool_use":
      return true;
    case "tool_use":
    case "tool_result":
    case "mcp_tool_result":
    case "image":
    case "document":
      return false;
    default:
      return (typeof item.type === "string" && item.type.endsWith("_tool_result")) || hasEncryptedMember(item);
  }
}

/** At any depth. */
function hasEncryptedMember(value: Json): boolean {
  if (Array.isArray(value)) return value.some(hasEncryptedMember);
  if (!isObject(value)) return false;
  return Object.entries(value).some(
    ([member, inner]) => (member.startsWith("encrypted_") && typeof inner === "string") || hasEncryptedMember(inner),
  );
}
