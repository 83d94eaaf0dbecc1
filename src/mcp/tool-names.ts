import { sha256 } from "../wire/hash.ts";

/** A tool of a server, by the names that both have for their owners. */
export type ServerTool = { server: string; tool: string };

/** Longest name that all providers accept; OpenAI accepts no longer one. */
const MAX_LENGTH = 64;
const PREFIX_LENGTH = 55;

/**
 * Names under which models call the tools, in the order of the tools: `{server}__{tool}` with `_` for every other character than
 * `[A-Za-z0-9_-]`. A name that is too long, or that another tool has too, is shortened and ends in a hash. The name of a tool depends
 * on which others there are, not on their order. No two tools have the same name, unless they are the same.
 */
export function nameTools(tools: readonly ServerTool[]): string[] {
  const keys = tools.map(({ server, tool }) => JSON.stringify([server, tool]));
  const forms = new Map(tools.map((tool, at) => [keys[at]!, formsOf(tool)]));
  const levels = new Map([...forms].map(([key, [plain]]) => [key, plain.length > MAX_LENGTH ? 1 : 0]));
  const nameOf = (key: string): string => forms.get(key)![levels.get(key)!]!;
  for (;;) {
    const groups = Map.groupBy(forms.keys(), nameOf).values();
    const shared = [...groups].filter((group) => group.length > 1);
    if (shared.length === 0) return keys.map(nameOf);
    for (const group of shared) {
      const lowest = Math.min(...group.map((key) => levels.get(key)!));
      for (const key of group) if (levels.get(key) === lowest) levels.set(key, lowest + 1);
    }
  }
}

/**
 * A tool's names in the order of preference: plain, shortened, a digest. The last is for tools that were named so that the others
 * coincide, as `a__b` of `c` and `b__c` of `a`.
 */
function formsOf({ server, tool }: ServerTool): [plain: string, shortened: string, digest: string] {
  const full = `${server}__${tool}`;
  const plain = full.replaceAll(/[^A-Za-z0-9_-]/g, "_");
  const shortened = `${plain.slice(0, PREFIX_LENGTH)}_${digest(full).slice(0, 8)}`;
  return [plain, shortened, digest(JSON.stringify([server, tool]))];
}

/** SHA-256 as 64 hexadecimal digits. */
const digest = (text: string): string => Buffer.from(sha256(text), "base64url").toString("hex");
