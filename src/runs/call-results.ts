import type { McpMedia } from "../mcp/messages.ts";
import type { JsonObject } from "../wire/json.ts";
import type { GivenResult } from "./services.ts";
import type { Execution, ExecutionStatus } from "./state/run.ts";
import { toShown } from "./tools/shown-result.ts";

/** The outcome of an execution. */
type Settlement = Pick<Execution, "safety" | "full"> & {
  media?: readonly McpMedia[] | undefined;
  status: ExecutionStatus;
  text: string;
  isError: boolean;
};

/** An execution with its result. */
export const settleExecution = (
  { handle: _, ...execution }: Execution,
  { status, text, full, media = [], isError, safety }: Settlement,
  now: number,
): Execution => ({
  ...execution,
  status,
  result: text,
  isError,
  endedAt: now,
  ...(full && { full }),
  ...(media.length > 0 && { media: [...media] }),
  ...(safety && { safety }),
});

/** A result that has come, as the model may be shown it. */
export const toScreened = (
  { text, full, isDenied, safety }: GivenResult,
  { status, isError }: Pick<Settlement, "status" | "isError">,
): Settlement => ({
  text,
  ...(full && { full }),
  ...(isDenied ? { status: "failed", isError: true } : { status, isError }),
  ...(safety && { safety }),
});

/** The results of a step as the next one's input, in the order of its calls: every call has one. */
export const toResultBlocks = (executions: readonly Execution[]): JsonObject[] =>
  executions.map(({ call, name, result = "", full, media, isError, edited }) => {
    const text =
      (full === undefined ? toShown(result) : result) +
      (edited === undefined ? "" : `\n\n[A person changed the arguments of this call to ${edited}]`);
    const content = media === undefined ? text : [{ type: "input", text }, ...media.map(toMediaBlock)];
    return { type: "tool_result", id: call, name, content, ...(isError && { is_error: true }) };
  });

const toMediaBlock = ({ mimeType, data }: McpMedia): JsonObject => ({
  type: "input",
  media: { mime: mimeType, source: { type: "base64", data } },
});
