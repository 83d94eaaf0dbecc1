import type { Lifetime } from "../canonical/cache-marks.ts";
import type { Dialect } from "../canonical/types.ts";

/**
 * The cache marks that a request of a wire can have. `members`: the members of stored items that become such marks, by the
 * dialect of the items.
 */
export type MarkLimit = {
  members: Partial<Record<Dialect, readonly string[]>>;
  select: typeof selectMarks;
};

/** Anthropic API, "Prompt caching"; hosts that pass `cache_control` on have the same limit. */
const MAX_MARKS = 4;

/**
 * The newest of the marks that fit between others, which stay; as indexes. At most four marks are accepted in all, and
 * none of one hour behind one of five minutes.
 */
export function selectMarks(
  marks: readonly Lifetime[],
  before: readonly Lifetime[] = [],
  after: readonly Lifetime[] = [],
): ReadonlySet<number> {
  const selected = new Set<number>();
  const canBeHour = !before.includes("5m");
  let mustBeHour = after.includes("1h");
  let free = MAX_MARKS - before.length - after.length;
  for (let i = marks.length - 1; i >= 0 && free > 0; i--) {
    const isHour = marks[i] === "1h";
    if (isHour ? !canBeHour : mustBeHour) continue;
    selected.add(i);
    mustBeHour ||= isHour;
    free--;
  }
  return selected;
}
