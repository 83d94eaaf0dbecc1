import { copyJson, isObject, type Json, type JsonObject } from "../../wire/json.ts";
import { memberName, readMember } from "./casing.ts";

/** No argument list is near this length; a path in a stream must not fill the memory. */
const MAX_INDEX = 10_000;

/**
 * A call of Vertex whose arguments arrive in pieces: `{name, willContinue}`, then `{partialArgs: [{jsonPath,
 * stringValue …}], willContinue}`, at last a piece without `willContinue`. A string at one path can be
 * continued by the next piece.
 */
export class PartialCall {
  readonly #part: JsonObject;
  readonly #call: JsonObject;
  readonly #args: JsonObject;
  #openPath: Json | undefined;

  constructor(part: JsonObject, call: JsonObject) {
    this.#part = part;
    this.#call = call;
    this.#args = isObject(call.args) ? copyJson(call.args) : {};
    this.add(call);
  }

  /** Adds the pieces of the next delta. */
  add(call: JsonObject): void {
    const pieces = readMember(call, "partialArgs");
    for (const piece of Array.isArray(pieces) ? pieces : []) if (isObject(piece)) this.#set(piece);
  }

  /** The part as a response without streaming has it, with the arguments received so far. */
  get completePart(): JsonObject {
    const members = Object.fromEntries(Object.entries(this.#call).filter(([name]) => !STREAM_MEMBERS.has(name)));
    const member = memberName(this.#part, "functionCall");
    return { ...this.#part, [member]: { ...members, args: copyJson(this.#args) } };
  }

  #set(piece: JsonObject): void {
    const path = readMember(piece, "jsonPath");
    const value =
      readMember(piece, "stringValue") ?? readMember(piece, "numberValue") ?? readMember(piece, "boolValue") ?? null;
    const keys = typeof path === "string" ? keysOf(path) : [];
    const last = keys.pop();
    if (last === undefined) return;
    const at = keys.reduce<Json | undefined>((inner, key, i) => stepInto(inner, key, keys[i + 1] ?? last), this.#args);
    const before = valueAt(at, last);
    const continues = this.#openPath === path && typeof before === "string" && typeof value === "string";
    setValue(at, last, continues ? before + value : value);
    this.#openPath = readMember(piece, "willContinue") === true ? path : undefined;
  }
}

/** Members that only a stream has, in both spellings. */
const STREAM_MEMBERS = new Set(["willContinue", "will_continue", "partialArgs", "partial_args"]);

type Key = string | number;

/** `$.a.b[0]['c d']` → a, b, 0, "c d". Paths into prototypes and beyond `MAX_INDEX` are ignored. */
function keysOf(path: string): Key[] {
  const keys: Key[] = [];
  for (const [, single, double, position, plain] of path.matchAll(
    /\['([^']*)'\]|\["([^"]*)"\]|\[(\d+)\]|\.?([^.[\]$]+)/g,
  )) {
    const key = position === undefined ? (single ?? double ?? plain ?? "") : Number(position);
    if (key === "__proto__" || (typeof key === "number" && key > MAX_INDEX)) return [];
    keys.push(key);
  }
  return keys;
}

/** The value at `key`; if it is no container, a new one that fits the key after it. */
function stepInto(value: Json | undefined, key: Key, next: Key): Json | undefined {
  const inner = valueAt(value, key);
  if (typeof inner === "object" && inner !== null) return inner;
  const fresh: Json = typeof next === "number" ? [] : {};
  setValue(value, key, fresh);
  return fresh;
}

function valueAt(value: Json | undefined, key: Key): Json | undefined {
  if (Array.isArray(value)) return typeof key === "number" ? value[key] : undefined;
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function setValue(into: Json | undefined, key: Key, value: Json): void {
  if (Array.isArray(into)) {
    if (typeof key === "number") into[key] = value;
  } else if (isObject(into)) into[key] = value;
}
