import type * as Yaml from "yaml";
import { isRawJson, type Json, MAX_DEPTH, parseShallow } from "./json.ts";

/** Longest text that is read, and the longest value that it may come to with its aliases replaced. Characters. */
const MAX_LENGTH = 256 * 1024;

/** Text that is not YAML, or that JSON has no equivalent of. The message says where, and what was expected. */
export class YamlError extends Error {
  override name = "YamlError";
}

/**
 * YAML 1.2 with its core schema → the value of the same document in JSON: keys and dates are texts. Throws `YamlError` for invalid YAML,
 * tags of other schemas, a key that is there twice, numbers that JSON does not have, and aliases that make too much of the text.
 */
export async function readYaml(text: string): Promise<Json> {
  if (text.length > MAX_LENGTH) throw new YamlError(`expected at most ${MAX_LENGTH} characters`);
  // Loaded by the few requests that need it.
  const yaml = await import("yaml");
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, {
    // Also where the document itself names another version.
    schema: "core",
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    // The reader looks for them: the library compares each key with all others.
    uniqueKeys: false,
    prettyErrors: false,
    lineCounter: lines,
  });
  const reader = new NodeReader(yaml, lines);
  // An unknown tag is a warning.
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined) throw reader.toError(fault.pos[0], EXPECTATIONS[fault.code] ?? fault.message);
  return reader.read(document.contents, 0);
}

const LEVELS = `expected at most ${MAX_DEPTH} levels`;

/** What is expected, where the library says it in its own terms. */
const EXPECTATIONS: Partial<Record<Yaml.ErrorCode, string>> = {
  MULTIPLE_DOCS: "expected one document",
  NON_STRING_KEY: "expected a text as the key",
  RESOURCE_EXHAUSTION: LEVELS,
  TAG_RESOLVE_FAILED: "expected no tag, or one of the core schema",
};

/** Value → YAML that is read as the same value. A number that a double cannot represent is rounded, unless it is a whole number. */
export async function writeYaml(value: Json): Promise<string> {
  const { Scalar, stringify } = await import("yaml");
  const toNode = (_: unknown, one: unknown): unknown => {
    if (isRawJson(one)) return WHOLE_NUMBER.test(one.rawJSON) ? BigInt(one.rawJSON) : Number(one.rawJSON);
    if (typeof one !== "string" || !UNFIT_FOR_BLOCK.test(one)) return one;
    const scalar = new Scalar(one);
    scalar.type = Scalar.QUOTE_DOUBLE;
    return scalar;
  };
  return stringify(value, toNode, {
    aliasDuplicateObjects: false,
    // Quotes texts that readers of YAML 1.1 take for other values, as `yes`.
    compat: "yaml-1.1",
    lineWidth: 0,
  });
}

const WHOLE_NUMBER = /^-?\d+$/;
/** Texts of several lines of which the library's block form loses white space. */
const UNFIT_FOR_BLOCK = /^\s[^]*\n|[ \t\r]\n/;

/** A number as JSON writes it. */
const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** What an anchor stands for. `length`: in characters; `height`: levels of it. */
type Anchored = { value: Json; length: number; height: number };

/** Reads the nodes of one document, each once: an alias is the value that its anchor had there. */
class NodeReader {
  readonly #yaml: typeof Yaml;
  readonly #lines: Yaml.LineCounter;
  readonly #anchors = new Map<string, Anchored>();
  #length = 0;
  #deepest = 0;

  constructor(yaml: typeof Yaml, lines: Yaml.LineCounter) {
    this.#yaml = yaml;
    this.#lines = lines;
  }

  toError(offset: number, message: string): YamlError {
    const { line, col } = this.#lines.linePos(offset);
    return new YamlError(`line ${line}, column ${col}: ${message}`);
  }

  read(node: Yaml.Node | null, depth: number): Json {
    if (node === null) return null;
    if (this.#yaml.isAlias(node)) return this.#readAlias(node, depth);
    const before = { length: this.#length, deepest: this.#deepest };
    this.#deepest = depth;
    this.#count(1, depth, node);
    const value = this.#yaml.isScalar(node) ? this.#readScalar(node) : this.#readCollection(node, depth);
    // Only behind its end: a value cannot contain itself.
    if (node.anchor !== undefined)
      this.#anchors.set(node.anchor, {
        value,
        length: this.#length - before.length,
        height: this.#deepest - depth,
      });
    this.#deepest = Math.max(this.#deepest, before.deepest);
    return value;
  }

  #readAlias(node: Yaml.Alias, depth: number): Json {
    const anchored = this.#anchors.get(node.source);
    if (anchored === undefined)
      throw this.#refuse(node, `expected the name of an anchor above, got ${node.source.slice(0, 64)}`);
    this.#count(anchored.length, depth + anchored.height, node);
    return anchored.value;
  }

  #readScalar(node: Yaml.Scalar): Json {
    const { value, source = "" } = node;
    this.#length += source.length;
    if (typeof value !== "number") return value as string | boolean | null;
    if (JSON_NUMBER.test(source) && Number.isFinite(value)) return parseShallow(source, true);
    const isExact = Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
    if (!isExact) throw this.#refuse(node, `expected a number that JSON has, got ${source.slice(0, 64)}`);
    return value;
  }

  #readCollection(node: Yaml.YAMLMap | Yaml.YAMLSeq, depth: number): Json {
    if (this.#yaml.isSeq(node)) return node.items.map((item) => this.read(item as Yaml.Node, depth + 1));
    const seen = new Set<string>();
    // `__proto__` becomes a member like any other.
    return Object.fromEntries(
      node.items.map(({ key, value }) => {
        const name = (key as Yaml.Scalar<string>).value;
        if (seen.has(name))
          throw this.#refuse(key as Yaml.Node, `expected each key once, got ${name.slice(0, 64)} again`);
        seen.add(name);
        this.#length += name.length;
        return [name, this.read(value as Yaml.Node | null, depth + 1)];
      }),
    );
  }

  /** Throws `YamlError` for a value that is too long or too deep. */
  #count(length: number, depth: number, node: Yaml.Node): void {
    this.#length += length;
    this.#deepest = Math.max(this.#deepest, depth);
    if (this.#length > MAX_LENGTH)
      throw this.#refuse(node, `expected at most ${MAX_LENGTH} characters with all aliases`);
    if (depth > MAX_DEPTH) throw this.#refuse(node, LEVELS);
  }

  #refuse(node: Yaml.Node, message: string): YamlError {
    return this.toError(node.range?.[0] ?? 0, message);
  }
}
