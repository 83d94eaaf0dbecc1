import { z } from "zod";
import { matchesAny } from "./policy.ts";

/** What ends a run: a tool that has succeeded, failed or either, or a text in the model's reply. */
export const stopCondition = z
  .strictObject({
    tool: z.string().min(1).max(256).optional(),
    after: z.enum(["succeeded", "failed", "settled"]).default("succeeded"),
    text: z.string().min(1).max(1_024).optional(),
  })
  .refine(({ tool, text }) => (tool === undefined) !== (text === undefined), "expected either tool or text")
  .meta({ id: "StopCondition" });

export type StopCondition = z.infer<typeof stopCondition>;

/** Whether a reply has the text of a condition. */
export const stopsAtText = (conditions: readonly StopCondition[], text: string): boolean =>
  conditions.some((one) => one.text !== undefined && text.includes(one.text));

/** Whether a batch has an execution that ends the run. */
export const stopsAfter = (
  conditions: readonly StopCondition[],
  executions: readonly { names: readonly string[]; status: string }[],
): boolean =>
  conditions.some(({ tool, after }) =>
    executions.some(
      ({ names, status }) =>
        tool !== undefined &&
        matchesAny(tool, names) &&
        (after === "settled" || (after === "succeeded") === (status === "succeeded")),
    ),
  );
