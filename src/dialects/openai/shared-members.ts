import type { Loss } from "../../canonical/types.ts";
import type { Json, JsonObject } from "../../wire/json.ts";
import type { EncodeTarget } from "../dialect.ts";

/**
 * Members that OpenAI's two wires have in common and no other wire has (API reference, Chat and Responses: create).
 * `verbosity` is a member of `text` in Responses.
 */
const SHARED_MEMBERS =
  "verbosity metadata safety_identifier prompt_cache_retention prompt_cache_options moderation".split(" ");

/** Those that do not influence the answer: to drop them is no loss. */
const WITHOUT_INFLUENCE = new Set(["metadata", "safety_identifier"]);

/** The shared members of a body, by their names in Chat; `undefined` if it has none. `verbosity`: where the wire has it. */
export function decodeShared(body: JsonObject, verbosity: Json | undefined): JsonObject | undefined {
  const entries = SHARED_MEMBERS.flatMap((name) => {
    const value = name === "verbosity" ? verbosity : body[name];
    return value === undefined || value === null ? [] : [[name, value] as const];
  });
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}

/** Inverse of `decodeShared`. Loss: hosts of other makers' models do not have the members, and many refuse unknown ones. */
export function encodeShared(shared: JsonObject = {}, { quirks }: EncodeTarget, losses: Loss[]): JsonObject {
  if (quirks?.sharedMembers === true) return shared;
  return dropShared(shared, "the provider does not support it", losses);
}

/** For wires that do not have the members. Loss: each one that influences the answer. */
export function dropShared(shared: JsonObject = {}, why: string, losses: Loss[]): JsonObject {
  for (const at of Object.keys(shared)) if (!WITHOUT_INFLUENCE.has(at)) losses.push({ at, what: "dropped", why });
  return {};
}
