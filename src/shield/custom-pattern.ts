import type { Find } from "./detect/find.ts";
import type { CustomPattern } from "./rules.ts";

/**
 * Compiles a pattern of a profile by RE2, in which no pattern takes more than linear time. Loaded at the first use: few profiles have
 * patterns. Throws a `SyntaxError` that says what is wrong.
 */
export async function compilePattern({
  name,
  pattern,
  reach,
}: {
  name: string;
  pattern: string;
  reach: number;
}): Promise<CustomPattern> {
  const { RE2JS } = await import("re2js");
  let compiled: ReturnType<typeof RE2JS.compile>;
  try {
    compiled = RE2JS.compile(pattern);
  } catch (cause) {
    throw new SyntaxError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
  if (compiled.matcher("").find()) throw new SyntaxError("it matches the empty text");
  const kind = `pattern:${name}` as const;
  return {
    reach,
    find: (text) => {
      // Its first pass only tells whether there is a match, and is ten times as fast.
      if (!compiled.test(text)) return [];
      const found: Find[] = [];
      for (const matcher = compiled.matcher(text); matcher.find();) {
        const find = { start: matcher.start(), end: matcher.end(), kind };
        if (find.end > find.start && find.end - find.start <= reach) found.push(find);
      }
      return found;
    },
  };
}
