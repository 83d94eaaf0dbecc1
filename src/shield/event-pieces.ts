import type { Leaf, JsonScope } from "./json-leaves.ts";

/**
 * A piece of a text that grows over the events of a stream. `text`: which one, among those of the stream; `place`: of the block or the
 * choice that it belongs to; `isArguments`: it is a tool call's, whose whole is JSON.
 */
export type Piece = { leaf: Leaf; text: string; place: string; isArguments: boolean };

/** Members of a delta that say what it is, and are whole. */
const WHOLE = new Set(
  (
    "role type id name object status signature stop_reason stop_sequence finish_reason item_id model format thought_signature " +
    "encrypted_content data"
  ).split(" "),
);
/** Members of a delta that have pieces in them. */
const CONTAINERS = new Set([
  "tool_calls",
  "function",
  "function_call",
  "custom",
  "reasoning_details",
  "audio",
  "content",
]);
/** Of an event whose type ends with `.delta` (OpenAI Responses, and the gateway's own surface). */
const DELTAS = new Set(["delta", "text", "arguments"]);
const ARGUMENTS = new Set(["arguments", "partial_json"]);

/** The pieces among an event's leaves, on any wire. */
export function listPieces(leaves: readonly Leaf[]): Piece[] {
  return leaves.flatMap((leaf) => {
    const { kind, member, scope } = leaf;
    if (kind !== "string" || member === undefined) return [];
    const type = rootOf(scope).words.get("type") ?? "";
    const isPiece = type.endsWith(".delta") ? isRoot(scope) && DELTAS.has(member) : isPieceOf(leaf);
    if (!isPiece) return [];
    return {
      leaf,
      text: `${type} ${pathOf(leaf)}`,
      place: placeOf(scope),
      isArguments: ARGUMENTS.has(member) || type.includes("arguments") || type === "tool_call.delta",
    };
  });
}

/** Where texts have ended with this event: the places, or all. */
export function listEnds(leaves: readonly Leaf[]): string[] | "all" {
  const ends: string[] = [];
  for (const { member, scope, kind } of leaves) {
    if (kind === "key") continue;
    if (member === "type" && isRoot(scope)) {
      const type = scope.words.get("type")!;
      if (LAST.test(type)) return "all";
      if (type === "content_block_stop" || type.endsWith(".done")) ends.push(placeOf(scope));
    }
    // A seal is the last of a thought.
    if (member === "signature" && scope.member === "delta") ends.push(placeOf(scope));
    if (member === "finish_reason" || member === "finishReason") ends.push(placeOf(scope));
  }
  return ends;
}

/** The types of events after which no text goes on. */
const LAST = /^(?:message_(?:delta|stop)|error|(?:response|call)\.(?:completed|incomplete|failed))$/;

const isRoot = (scope: JsonScope): boolean => scope.parent !== undefined && scope.parent.parent === undefined;

function rootOf(scope: JsonScope): JsonScope {
  let one = scope;
  while (one.parent?.parent !== undefined) one = one.parent;
  return one;
}

function isPieceOf({ member, scope }: Leaf): boolean {
  if (member === "text" && scope.parent?.isArray === true) {
    const list = scope.parent;
    // Gemini's parts, and legacy completions.
    if (list.member === "choices" || (list.member === "parts" && isInCandidate(list))) return true;
  }
  if (WHOLE.has(member!)) return false;
  for (let one: JsonScope | undefined = scope; one !== undefined; one = one.parent) {
    if (one.member === "delta") return true;
    if (one.member !== undefined && !CONTAINERS.has(one.member)) return false;
  }
  return false;
}

function isInCandidate(scope: JsonScope): boolean {
  for (let one: JsonScope | undefined = scope; one !== undefined; one = one.parent)
    if (one.member === "candidates") return true;
  return false;
}

/** The members that lead to a leaf, with the numbers of what they are in. */
function pathOf({ member, scope }: Leaf): string {
  let path = member!;
  for (let one: JsonScope | undefined = scope; one !== undefined; one = one.parent) {
    if (one.member !== undefined) path += `/${one.member}`;
    for (const name of NUMBERS) if (one.words.has(name)) path += ` ${name}=${one.words.get(name)}`;
  }
  return path;
}

const NUMBERS = ["index", "output_index", "content_index", "summary_index", "item_id", "thought"];

/** The number of the block, the item, the choice or the candidate: the outermost one. */
export function placeOf(scope: JsonScope): string {
  let place = "0";
  for (let one: JsonScope | undefined = scope; one !== undefined; one = one.parent)
    place = one.words.get("output_index") ?? one.words.get("index") ?? place;
  return place;
}
