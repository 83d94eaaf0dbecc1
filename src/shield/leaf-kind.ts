import { type JsonScope, type Leaf, readLeaf } from "./json-leaves.ts";
import type { Stage } from "./profile.ts";

/**
 * What a string of a request or an answer is, on any of the wires. `text`: it is read. `sealed`: its issuer takes it back unchanged only.
 * `media`: pictures, audio and files as they are, or where they are. `opaque`: names and ids of the wire. A string is text unless both its
 * name and its form say otherwise: who writes a request may name its members as they like.
 */
export type LeafKind = "text" | "sealed" | "media" | "opaque";

/** Members that seal what stands beside them (Anthropic, Gemini, OpenAI Responses). */
const SEALS = new Set(["signature", "thoughtSignature", "thought_signature", "encrypted_content"]);
/** Texts that a signature beside them covers: of a thought. */
const SIGNED = new Set(["thinking", "text"]);
/** Data in base64. `data` is some only beside the name of its format. */
const MEDIA = new Set(["file_data", "fileData", "b64_json", "partial_image_b64", "image_base64", "embedding"]);
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
/** Types of items that say what a model has thought. */
const THOUGHT = /^(?:thinking|reasoning|response\.reasoning|signature_delta)/;
const THOUGHT_EVENT = /^(?:response\.reasoning|thinking\.)/;
/** Types of items that are a tool's result. */
const RESULT = /(?:tool_result|_output)$/;
const RESULT_ROLES = /^(?:tool|function)$/;
/** Roles of messages in which nothing is sealed. */
const CLIENT_ROLES = /^(?:user|system|developer|tool|function)$/;
/** What the caller's own program tells the model, and what it offers. */
const INSTRUCTIONS = /^(?:system|developer)$/;
const OWN = new Set(["tools", "functions", "system", "instructions", "systemInstruction", "system_instruction"]);

const DATA_URL = /^data:[^,]{0,200};base64,/i;
const BASE64 = /^[\w+/=\s~.:-]*$/;
/** An id or a name of the wire; a number alone may be anything. */
const NAME = /^(?!\d+$)[\w./:-]{0,160}$/;

/** What is so of an object or an array, and of all in it. */
type Traits = {
  /** No name in it is the wire's. */
  isFree: boolean;
  isThought: boolean;
  isResult: boolean;
  isOwn: boolean;
  /** It belongs to a message of the client's. */
  isClients: boolean;
  /** Log probabilities of tokens, which spell a text of the answer. */
  isSpelling: boolean;
};

const OUTSIDE: Traits = {
  isFree: false,
  isThought: false,
  isResult: false,
  isOwn: false,
  isClients: false,
  isSpelling: false,
};
const TRAITS = new WeakMap<JsonScope, Traits>();

/** The whole text must have been listed: what comes last in an object says what it is. A text may be deep, so this is a loop. */
function traitsOf(scope: JsonScope): Traits {
  const unknown: JsonScope[] = [];
  let one: JsonScope | undefined = scope;
  for (; one !== undefined && !TRAITS.has(one); one = one.parent) unknown.push(one);
  let traits = one === undefined ? OUTSIDE : TRAITS.get(one)!;
  for (const inner of unknown.toReversed()) {
    traits = traitsIn(traits, inner);
    TRAITS.set(inner, traits);
  }
  return traits;
}

/** Nothing in free JSON says what it is, nor does the whole of a request or an answer say it of all in it. */
function traitsIn(around: Traits, scope: JsonScope): Traits {
  const { member = "", isArray, parent } = scope;
  if (around.isFree || parent?.parent === undefined) return around;
  const own = ownTraitsOf(scope);
  return {
    isFree: !isArray && FREE.has(member),
    isThought: around.isThought || own.isThought,
    isResult: around.isResult || own.isResult,
    isOwn: around.isOwn || own.isOwn,
    isClients: around.isClients || own.isClients,
    isSpelling: around.isSpelling || own.isSpelling,
  };
}

function ownTraitsOf(scope: JsonScope): Omit<Traits, "isFree"> {
  const { words, member = "", parent } = scope;
  const [type = "", role = ""] = [words.get("type"), words.get("role")];
  return {
    isThought: THOUGHT.test(type) || words.get("thought") === "true",
    isResult: RESULT_ROLES.test(role) || RESULT.test(type) || member === "functionResponse",
    isOwn: INSTRUCTIONS.test(role) || OWN.has(member),
    isClients: CLIENT_ROLES.test(role),
    isSpelling: parent?.spelling === scope,
  };
}

export function kindOf(json: string, leaf: Leaf): LeafKind {
  return isSigned(leaf) ? "sealed" : unsealedKindOf(json, leaf);
}

/** The same of a copy that does not go back to its issuer: only what no one can read is sealed. */
export function unsealedKindOf(json: string, leaf: Leaf): LeafKind {
  const { member = "", scope, kind } = leaf;
  const { isFree } = traitsOf(scope);
  if (kind === "number") return isFree ? "text" : "opaque";
  if (kind === "key" || isFree) return "text";
  if (isSeal(leaf)) return BASE64.test(readLeaf(json, leaf)) ? "sealed" : "text";
  if (isMedia(json, leaf)) return "media";
  return OPAQUE.has(member) && NAME.test(readLeaf(json, leaf)) ? "opaque" : "text";
}

/** Anthropic's redacted thinking has nothing but its data. */
const isSeal = ({ member = "", scope: { words } }: Leaf): boolean =>
  SEALS.has(member) || (member === "data" && words.get("type") === "redacted_thinking");

/** Whether a signature covers it. */
function isSigned({ member = "", scope }: Leaf): boolean {
  const { words } = scope;
  if (!SIGNED.has(member) || (words.get("signature") ?? "") === "") return false;
  const { isThought, isClients, isFree } = traitsOf(scope);
  return isThought && !isClients && !isFree;
}

/** Whether the file is named, so that the model sees what is not read here. A link is read as well. */
export const isReference = ({ member, kind }: Leaf): boolean =>
  kind === "string" && member !== undefined && REFERENCES.has(member);

/** Whether a string says what a model has thought: it may be sealed by what follows it. */
export const isThought = ({ member, scope }: Leaf): boolean => {
  const { isFree, isThought: isInThought } = traitsOf(scope);
  return !isFree && (member === "thinking" || isInThought || isThoughtEvent(scope));
};

/** An event of reasoning says so itself (OpenAI Responses, and the gateway's own surface). */
function isThoughtEvent(scope: JsonScope): boolean {
  let root = scope;
  while (root.parent?.parent !== undefined) root = root.parent;
  return THOUGHT_EVENT.test(root.words.get("type") ?? "");
}

/** At which stage a string of a request is looked at. */
export const stageOf = ({ scope }: Leaf): Stage => (traitsOf(scope).isResult ? "tool_result" : "input");

/** Whether instructions belong there: what the caller's program tells the model, and the tools that it offers. */
export const isInstruction = ({ member, scope }: Leaf): boolean =>
  traitsOf(scope).isOwn || (member !== undefined && OWN.has(member));

/** Whether it is a token of a text of an answer. */
export const isSpelling = ({ scope }: Leaf): boolean => traitsOf(scope).isSpelling;

/** Whether a string has the form of an id or of a name of the wire. */
export const isName = (json: string, leaf: Leaf): boolean => leaf.kind === "string" && NAME.test(readLeaf(json, leaf));

function isMedia(json: string, leaf: Leaf): boolean {
  const { member = "", scope } = leaf;
  const isNamed = MEDIA.has(member) || (member === "data" && FORMATS.some((name) => scope.words.has(name)));
  const isUrl = json.startsWith('"data:', leaf.start);
  if (!isNamed && !isUrl) return false;
  const text = readLeaf(json, leaf);
  const url = DATA_URL.exec(text);
  return BASE64.test(url === null ? text : text.slice(url[0].length)) && (isNamed || url !== null);
}
