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
const CONTAINERS = new Set(
  "tool_calls function function_call custom reasoning_details audio content thinking".split(" "),
);
/** Of an event whose type ends with `.delta` (OpenAI Responses, and the gateway's own surface). */
const DELTAS = new Set(["delta", "text", "arguments"]);
const ARGUMENTS = new Set(["arguments", "partial_json"]);

/** The pieces among an event's leaves, on any wire. */
export function listPieces(leaves: readonly Leaf[]): Piece[] {
  return leaves.flatMap((leaf) => {
    const { kind, member, scope } = leaf;
    if (kind !== "string" || member === undefined) return [];
    const type = rootOf(scope).words.get("type") ?? "";
    const isPiece = type.endsWith(".delta")
      ? isRoot(scope) && DELTAS.has(member)
      : isPieceOf(leaf) || isFirst(leaf, type);
    if (!isPiece) return [];
    return {
      leaf,
      text: isFirst(leaf, type) ? `${BLOCK_DELTA} ${member}/delta index=${placeOf(scope)}` : `${type} ${pathOf(leaf)}`,
      place: placeOf(scope),
      isArguments: ARGUMENTS.has(member) || type.includes("arguments") || type === "tool_call.delta",
    };
  });
}

const BLOCK_DELTA = "content_block_delta";

/** Anthropic's block may start with a part of its text. */
const isFirst = ({ member, scope }: Leaf, type: string): boolean =>
  type === "content_block_start" && scope.member === "content_block" && (member === "text" || member === "thinking");

/** Where texts have ended with this event: the places, or all. */
export function listEnds(leaves: readonly Leaf[]): string[] | "all" {
  const values = leaves.filter(({ kind }) => kind !== "key");
  return values.some(endsAll) ? "all" : values.filter(endsPlace).map(({ scope }) => placeOf(scope));
}

function endsAll({ member, scope }: Leaf): boolean {
  if (isRoot(scope)) return member === "error" || (member === "type" && LAST.test(scope.words.get("type")!));
  return scope.member === "error" && isRoot(scope.parent!);
}

function endsPlace({ member, scope }: Leaf): boolean {
  if (member === "type" && isRoot(scope)) return STOP.test(scope.words.get("type")!);
  // A seal is the last of a thought.
  return (
    member === "finish_reason" || member === "finishReason" || (member === "signature" && scope.member === "delta")
  );
}

/** The types of events that end a block or an item. */
const STOP = /^content_block_stop$|\.done$/;
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
