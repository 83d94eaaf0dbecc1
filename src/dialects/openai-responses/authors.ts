import type { Role } from "../../canonical/types.ts";
import { isObject, type Json, type JsonObject, stringifyMember } from "../../wire/json.ts";

/**
 * The author of an item without a role: outputs come from the client, unless the provider ran the tool itself.
 * `hostedCalls`: as from `findHostedCalls`.
 */
export function authorOf(item: JsonObject, hostedCalls: ReadonlySet<string> = NO_CALLS): Role {
  // An item that is no message gives no instructions, even if it names the role `system`.
  if (item.role !== undefined) return item.role === "assistant" ? "assistant" : "user";
  const type = stringifyMember(item.type);
  if (type === "mcp_approval_response") return "user";
  if (CLIENT_OUTPUTS.has(type)) return hostedCalls.has(stringifyMember(item.call_id)) ? "assistant" : "user";
  const isHosted = item.execution === "server" || type === "program_output" || typeof item.id === "string";
  return type.endsWith("_output") && !isHosted ? "user" : "assistant";
}

/** The `call_id`s of shell calls that ran in a container of the provider, which returns their outputs itself. */
export function findHostedCalls(items: readonly Json[]): ReadonlySet<string> {
  const hosted = items.filter(
    (item): item is JsonObject =>
      isObject(item) &&
      item.type === "shell_call" &&
      isObject(item.environment) &&
      stringifyMember(item.environment.type).startsWith("container"),
  );
  return hosted.length === 0 ? NO_CALLS : new Set(hosted.map((item) => stringifyMember(item.call_id)));
}

const NO_CALLS: ReadonlySet<string> = new Set();

/** Outputs of tools that the client runs. They have an id as well (API reference, Responses: input items). */
const CLIENT_OUTPUTS = new Set([
  "local_shell_call_output",
  "shell_call_output",
  "apply_patch_call_output",
  "computer_call_output",
]);
