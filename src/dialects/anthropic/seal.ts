import { isObject, type Json } from "../../wire/json.ts";

/**
 * Whether only its issuer can open the item: signatures, redacted thinking and whatever is `encrypted_…`. Calls of server
 * tools go with their results: neither is taken without the other, and the results are encrypted, or lie in a container.
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

function hasEncryptedMember(value: Json): boolean {
  if (Array.isArray(value)) return value.some(hasEncryptedMember);
  if (!isObject(value)) return false;
  return Object.entries(value).some(
    ([member, inner]) => (member.startsWith("encrypted_") && typeof inner === "string") || hasEncryptedMember(inner),
  );
}
