import type { JsonScope, Leaf } from "./json-leaves.ts";
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
/** Types of items that say what a model has thought. */
const THOUGHT = /^(?:thinking|reasoning|response\.reasoning|signature_delta)/;
/** Types of items that are a tool's result. */
const RESULT = /(?:tool_result|_output)$/;
const RESULT_ROLES = /^(?:tool|function)$/;
/** What the caller's own program tells the model, and what it offers. */
const INSTRUCTIONS = /^(?:system|developer)$/;
const OWN = new Set(["tools", "functions", "system", "instructions", "systemInstruction", "system_instruction"]);

/** What is so of an object or an array, and of all in it. */
type Traits = { isSealed: boolean; isFree: boolean; isThought: boolean; isResult: boolean; isOwn: boolean };

const OUTSIDE: Traits = { isSealed: false, isFree: false, isThought: false, isResult: false, isOwn: false };
const TRAITS = new WeakMap<JsonScope, Traits>();

/** The whole text must have been listed: what comes last in an object says what it is. */
function traitsOf(scope: JsonScope): Traits {
  const known = TRAITS.get(scope);
  if (known !== undefined) return known;
  const own = ownTraitsOf(scope);
  const around = scope.parent === undefined ? OUTSIDE : traitsOf(scope.parent);
  const traits = {
    isSealed: around.isSealed || own.isSealed,
    isFree: around.isFree || own.isFree,
    isThought: around.isThought || own.isThought,
    isResult: around.isResult || own.isResult,
    isOwn: around.isOwn || own.isOwn,
  };
  TRAITS.set(scope, traits);
  return traits;
}

function ownTraitsOf({ words, member = "", isArray }: JsonScope): Traits {
  const [type = "", role = ""] = [words.get("type"), words.get("role")];
  return {
    isSealed: type === "redacted_thinking" || hasSeal(words, type),
    isFree: !isArray && FREE.has(member),
    isThought: THOUGHT.test(type) || words.get("thought") === "true",
    isResult: RESULT_ROLES.test(role) || RESULT.test(type) || member === "functionResponse",
    isOwn: INSTRUCTIONS.test(role) || OWN.has(member),
  };
}

const hasSeal = (words: JsonScope["words"], type: string): boolean =>
  SEALS.some((name) => (words.get(name) ?? "") !== "" && (name !== "signature" || THOUGHT.test(type)));

export function kindOf(json: string, leaf: Leaf): LeafKind {
  return traitsOf(leaf.scope).isSealed ? "sealed" : unsealedKindOf(json, leaf);
}

/** The same of a copy that does not go back to its issuer: only what no one can read is sealed. */
export function unsealedKindOf(json: string, leaf: Leaf): LeafKind {
  const { member, scope } = leaf;
  if (member !== undefined && SEALS.includes(member)) return "sealed";
  if (scope.words.get("type") === "redacted_thinking") return "sealed";
  if (isMedia(json, leaf)) return "media";
  if (member !== undefined && OPAQUE.has(member)) return traitsOf(scope).isFree ? "text" : "opaque";
  return leaf.kind === "number" && !traitsOf(scope).isFree ? "opaque" : "text";
}

/** Whether the file is named, so that the model sees what is not read here. A link is read as well. */
export const isReference = ({ member, kind }: Leaf): boolean =>
  kind === "string" && member !== undefined && REFERENCES.has(member);

/** Whether a string says what a model has thought: it may be sealed by what follows it. */
export const isThought = ({ member, scope }: Leaf): boolean => member === "thinking" || traitsOf(scope).isThought;

/** At which stage a string of a request is looked at. */
export const stageOf = ({ scope }: Leaf): Stage => (traitsOf(scope).isResult ? "tool_result" : "input");

/** Whether instructions belong there: what the caller's program tells the model, and the tools that it offers. */
export const isInstruction = ({ member, scope }: Leaf): boolean =>
  traitsOf(scope).isOwn || (member !== undefined && OWN.has(member));

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
