import type { Leaf, JsonScope } from "./json-leaves.ts";
import type { Stage } from "./profile.ts";

/**
 * What a string of a request or an answer is, on any of the wires. `text`: it is read. `sealed`: its issuer takes it back unchanged only.
 * `media`: pictures, audio and files as they are, or where they are. `opaque`: names of the wire, which hold nothing of anybody's.
 */
export type LeafKind = "text" | "sealed" | "media" | "opaque";

/** Members that seal the object that they are in (Anthropic, Gemini, OpenAI Responses). */
const SEALS = ["signature", "thoughtSignature", "thought_signature", "encrypted_content"];
/** Data in base64. `data` is some only beside the name of its format. */
const MEDIA = new Set(["file_data", "fileData", "b64_json", "partial_image_b64", "image_base64"]);
const FORMATS = ["media_type", "mime_type", "mimeType", "format", "mime"];
/** Where a file is that the model gets to see. */
const REFERENCES = new Set(["image_url", "file_url", "fileUri", "file_uri", "file_id"]);
/** Names of the wire, and ids that pair calls with their results. */
const OPAQUE = new Set(
  (
    "id call_id tool_call_id tool_use_id item_id approval_request_id previous_response_id type role object model status " +
    "finish_reason finishReason stop_reason service_tier modelVersion responseId system_fingerprint created created_at"
  ).split(" "),
);
/** Members whose objects are written by the model, the tool or the client: no name in them is the wire's. */
const FREE = new Set(["input", "args", "arguments", "response", "output", "metadata", "properties"]);
const DATA_URL = /^data:[^,]{0,200};base64,/i;

export function kindOf(json: string, leaf: Leaf): LeafKind {
  return isSealed(leaf.scope) ? "sealed" : unsealedKindOf(json, leaf);
}

/** The same of a copy that does not go back to its issuer: only what no one can read is sealed. */
export function unsealedKindOf(json: string, leaf: Leaf): LeafKind {
  const { member, scope } = leaf;
  if (member !== undefined && SEALS.includes(member)) return "sealed";
  if (scope.words.get("type") === "redacted_thinking") return "sealed";
  if (isMedia(json, leaf)) return "media";
  if (member !== undefined && OPAQUE.has(member)) return isFree(scope) ? "text" : "opaque";
  return leaf.kind === "number" && !isFree(scope) ? "opaque" : "text";
}

/** Whether the file is named, so that the model sees what is not read here. A link is read as well. */
export const isReference = ({ member, kind }: Leaf): boolean =>
  kind === "string" && member !== undefined && REFERENCES.has(member);

function isMedia(json: string, leaf: Leaf): boolean {
  const { kind, member, scope } = leaf;
  if (kind !== "string") return false;
  if (member !== undefined && MEDIA.has(member)) return true;
  if (member === "data" && FORMATS.some((name) => scope.words.has(name)) && !isTextFormat(scope)) return true;
  // Only a literal without escapes can be base64.
  return json.startsWith('"data:', leaf.start) && DATA_URL.test(json.slice(leaf.start + 1, leaf.start + 256));
}

/** Anthropic's plain documents. */
const isTextFormat = ({ words }: JsonScope): boolean => words.get("type") === "text";

/** Whether it is in an object that is sealed. */
function isSealed(scope: JsonScope): boolean {
  for (let one: JsonScope | undefined = scope; one !== undefined; one = one.parent) {
    const { words } = one;
    const type = words.get("type") ?? "";
    if (type === "redacted_thinking") return true;
    if (SEALS.some((name) => (words.get(name) ?? "") !== "" && (name !== "signature" || THOUGHT.test(type))))
      return true;
  }
  return false;
}

/** Types of items that say what a model has thought. */
const THOUGHT = /^(?:thinking|reasoning|response\.reasoning|signature_delta)/;

/** Whether a string says what a model has thought: it may be sealed by what follows it. */
export function isThought({ member, scope }: Leaf): boolean {
  if (member === "thinking") return true;
  for (let one: JsonScope | undefined = scope; one !== undefined; one = one.parent)
    if (THOUGHT.test(one.words.get("type") ?? "") || one.words.get("thought") === "true") return true;
  return false;
}

/** Types of items that are a tool's result, and the member that one is on Gemini's wire. */
const RESULT = /(?:tool_result|_output)$/;

/** At which stage a string of a request is looked at. */
export function stageOf({ scope }: Leaf): Stage {
  for (let one: JsonScope | undefined = scope; one !== undefined; one = one.parent) {
    const { words, member } = one;
    const [type = "", role = ""] = [words.get("type"), words.get("role")];
    if (role === "tool" || role === "function" || member === "functionResponse") return "tool_result";
    if (RESULT.test(type)) return "tool_result";
  }
  return "input";
}

function isFree(scope: JsonScope): boolean {
  for (let one: JsonScope | undefined = scope; one !== undefined; one = one.parent)
    if (!one.isArray && one.member !== undefined && FREE.has(one.member)) return true;
  return false;
}
