import { fold, unfold } from "./accumulator.ts";
import { editItem } from "./native.ts";
import type { Block, Citation, ModelResponse, Native, Opaque, StreamEvent, ToolCall } from "./types.ts";
import { sumUsage } from "./usage.ts";

/** `isHidden`: whether a call is left out. `gap`: what separates the text of a step from that of an earlier one. */
export type MergeOptions = { isHidden: (call: ToolCall) => boolean; gap: string };
type End = Extract<StreamEvent, { type: "end" }>;

/** A block of a step in the merged answer. `item`: its wire item in the step. */
type Place = { index: number; item: number; kind: Block["kind"] };

/**
 * One step. `places`: of its blocks by their indices; hidden ones have none. `firstItem`: the place of its first wire item
 * in the merged answer. `changed`: its wire items that are not shown as the provider has sent them.
 */
type Step = {
  places: Map<number, Place>;
  firstItem: number;
  itemCount: number;
  changed: Set<number>;
  needsGap: boolean;
  /** The block whose text the gap precedes. */
  gapIn?: Place;
};

/**
 * Merges the answers that a model gives in several steps, with calls of tools between them, into one answer without the
 * hidden calls. A step is the events of one whole stream; the next step starts after its `end`. The merged stream has one
 * start, block indices and wire items that rise by 1 from step to step, and no `end` before `end()`. An `error` passes, and
 * is the last event. A single step without hidden calls is unchanged.
 */
export class StepMerger {
  readonly #options: MergeOptions;
  readonly #ended: { step: Step; end: End }[] = [];
  #step = createStep(0, false);
  #nextIndex = 0;
  #hasStarted = false;
  #hasText = false;
  #isHiding = false;
  #showsCall = false;
  #hasInserted = false;
  /** Blocks in front of the first step: the stream has to start first. */
  readonly #early: Opaque[] = [];

  constructor(options: MergeOptions) {
    this.#options = options;
  }

  /** What an event of the current step adds to the merged stream. */
  push(event: StreamEvent): StreamEvent[] {
    switch (event.type) {
      case "start":
        return this.#start(event);
      case "open":
        return this.#open(event);
      case "delta": {
        const place = this.#step.places.get(event.index);
        if (place === undefined) return [];
        return [{ ...event, index: place.index, text: this.#takeGap(place, event.text) + event.text }];
      }
      case "close": {
        const place = this.#step.places.get(event.index);
        return place === undefined ? [] : [{ ...event, index: place.index, block: this.#shown(event.block, place) }];
      }
      case "end":
        this.#endStep(event);
        return [];
      case "error":
      case "loss":
        return [event];
    }
  }

  /** The events of a block that is of no step, such as a call of a server's tool. Between two steps, or in front of the first. */
  insert(block: Opaque): StreamEvent[] {
    this.#hasInserted = true;
    if (!this.#hasStarted) {
      this.#early.push(block);
      return [];
    }
    const index = this.#nextIndex++;
    const item = this.#step.firstItem++;
    return [
      { type: "open", index, ...(item > 0 && { item }), block },
      { type: "close", index, block },
    ];
  }

  /** The end of the merged stream, after that of its last step. */
  end(): StreamEvent {
    const { end: last, step: lastStep } = this.#ended.at(-1)!;
    const { finish, rest, alternatives } = last;
    const usage = this.#ended.map(({ end }) => end.usage).reduce(sumUsage);
    const items = this.#mergeItems();
    const late = this.#ended.flatMap((ended) => this.#mergeLate(ended));
    const losses = this.#ended.flatMap(({ end }) => end.losses ?? []);
    const isOneUnchanged = this.#ended.length === 1 && !this.#hasInserted && lastStep.changed.size === 0;
    const callsHiddenOnly = finish.reason === "tool_calls" && this.#isHiding && !this.#showsCall;
    return {
      type: "end",
      finish: callsHiddenOnly ? { reason: "stop" } : finish,
      usage,
      ...(items.some((native) => native !== undefined) && { items }),
      ...(late.length > 0 && { late }),
      ...(losses.length > 0 && { losses }),
      ...(isOneUnchanged && alternatives && { alternatives }),
      ...(isOneUnchanged && rest && { rest }),
    };
  }

  #start(event: StreamEvent): StreamEvent[] {
    if (this.#hasStarted) return [];
    return [event, ...this.#begin()];
  }

  /** The blocks in front of the first step. */
  #begin(): StreamEvent[] {
    if (this.#hasStarted) return [];
    this.#hasStarted = true;
    return this.#early.flatMap((block) => this.insert(block));
  }

  #open({ index, item = 0, block, ...event }: Extract<StreamEvent, { type: "open" }>): StreamEvent[] {
    const early = this.#begin();
    const step = this.#step;
    step.itemCount = Math.max(step.itemCount, item + 1);
    if (block.kind === "tool_call" && this.#options.isHidden(block)) {
      step.changed.add(item);
      this.#isHiding = true;
      return early;
    }
    if (block.kind === "tool_call") this.#showsCall = true;
    const place = { index: this.#nextIndex++, item, kind: block.kind };
    step.places.set(index, place);
    const merged = step.firstItem + item;
    const shown = {
      ...event,
      index: place.index,
      ...(merged > 0 && { item: merged }),
      block: this.#shown(block, place),
    };
    return [...early, shown];
  }

  #endStep(end: End): void {
    const step = this.#step;
    this.#ended.push({ step, end });
    const itemCount = Math.max(step.itemCount, end.items?.length ?? 0);
    this.#step = createStep(step.firstItem + itemCount, this.#hasText && this.#options.gap !== "");
  }

  /** The block as it is shown: the first text of a later step with the gap before it. */
  #shown(block: Block, place: Place): Block {
    if (block.kind !== "text") return block;
    this.#takeGap(place, block.text);
    if (this.#step.gapIn !== place || block.text === "") return block;
    const { gap } = this.#options;
    const citations = block.citations && moveCitations(block.citations, gap.length);
    return editItem(block, { text: gap + block.text, ...(citations && { citations }) });
  }

  /** The gap if this is the text of the step that needs one; "" for any other. Thoughts are signed, and stay as they are. */
  #takeGap(place: Place, text: string): string {
    if (place.kind !== "text" || text === "") return "";
    const step = this.#step;
    this.#hasText = true;
    if (!step.needsGap) return "";
    step.needsGap = false;
    step.gapIn = place;
    step.changed.add(place.item);
    return this.#options.gap;
  }

  /** The original wire items. One that has a hidden call in it, or lacks the gap, would not be what is shown. */
  #mergeItems(): (Native | undefined)[] {
    const items: (Native | undefined)[] = [];
    for (const { step, end } of this.#ended)
      end.items?.forEach((native, item) => {
        if (native !== undefined && !step.changed.has(item)) items[step.firstItem + item] = native;
      });
    return Array.from(items);
  }

  #mergeLate({ step, end }: { step: Step; end: End }): NonNullable<End["late"]> {
    return (end.late ?? []).flatMap(({ index, citations }) => {
      const place = step.places.get(index);
      if (place === undefined) return [];
      const by = step.gapIn === place ? this.#options.gap.length : 0;
      return [{ index: place.index, citations: moveCitations(citations, by) }];
    });
  }
}

/** The answer of a step, or what is shown of the calls of a batch. */
export type MergedPart = { reply: ModelResponse } | { shown: readonly Opaque[] };

/** The answers of the steps of a run, and what is shown between them, as the one answer that the client gets. */
export function mergeParts(parts: readonly MergedPart[], options: MergeOptions): ModelResponse {
  const merger = new StepMerger(options);
  const events = parts.flatMap((part) =>
    "shown" in part
      ? part.shown.flatMap((block) => merger.insert(block))
      : unfold(part.reply).flatMap((event) => merger.push(event)),
  );
  return fold([...events, endOf(merger)]);
}

/** The end of a merged answer, without its envelope: on Responses that repeats the request, with the tools that the gateway adds. */
export function endOf(merger: StepMerger): StreamEvent {
  const end = merger.end();
  if (end.type !== "end") return end;
  const { rest: _, ...shown } = end;
  return shown;
}

const createStep = (firstItem: number, needsGap: boolean): Step => ({
  places: new Map(),
  firstItem,
  itemCount: 0,
  changed: new Set(),
  needsGap,
});

/** The citations of a text that has `by` more characters before it. One without a position still marks the whole text. */
const moveCitations = (citations: readonly Citation[], by: number): Citation[] =>
  citations.map(({ start, end, ...rest }) => ({
    ...rest,
    ...(start !== undefined && { start: start + by }),
    ...(end !== undefined && { end: end + by }),
  }));
