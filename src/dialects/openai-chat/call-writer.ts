import { CustomInputReader, readCustomInput } from "../../canonical/custom-tools.ts";
import type { ToolCall } from "../../canonical/types.ts";
import type { JsonObject } from "../../wire/json.ts";

/**
 * Encodes one call as deltas of a message. The text of a custom tool is sent as its input. `index`: position of the call
 * in `tool_calls`.
 */
export class CallWriter {
  readonly #index: number;
  readonly #input: CustomInputReader | undefined;
  #hasSentInput = false;

  constructor(index: number, { custom }: ToolCall) {
    this.#index = index;
    this.#input = custom ? new CustomInputReader() : undefined;
  }

  open({ id, name }: ToolCall): JsonObject {
    const called =
      this.#input === undefined
        ? { type: "function", function: { name, arguments: "" } }
        : { type: "custom", custom: { name, input: "" } };
    return { tool_calls: [{ index: this.#index, id, ...called }] };
  }

  /** `undefined` if the piece has no text of a custom tool's input. */
  delta(piece: string): JsonObject | undefined {
    if (this.#input === undefined) return { tool_calls: [{ index: this.#index, function: { arguments: piece } }] };
    return this.#encodeInput(this.#input.push(piece));
  }

  /** The whole input of a custom tool, if no delta had any of it; otherwise `undefined`. */
  close({ arguments: args }: ToolCall): JsonObject | undefined {
    return this.#input === undefined || this.#hasSentInput ? undefined : this.#encodeInput(readCustomInput(args));
  }

  #encodeInput(input: string): JsonObject | undefined {
    if (input === "") return undefined;
    this.#hasSentInput = true;
    return { tool_calls: [{ index: this.#index, custom: { input } }] };
  }
}
