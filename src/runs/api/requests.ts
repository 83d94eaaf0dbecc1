import { z } from "zod";
import { GatewayError } from "../../canonical/error.ts";
import { block } from "../../surfaces/native-schemas.ts";
import { rhoneRequest } from "../../surfaces/rhone.ts";
import { runLimits } from "../state/definition.ts";

const content = z.union([
  z.string(),
  z.array(z.strictObject({ type: z.enum(["input", "response", "text"]), text: z.string() }).meta({ id: "ResultText" })),
]);

/** What `POST /v1/runs/{id}:resume` takes. A result is for an execution, by its id or by that of its call. */
export const resumeRequest = z
  .strictObject({
    tool_results: z
      .array(
        z
          .strictObject({ id: z.string().min(1), content, is_error: z.boolean().optional() })
          .meta({ id: "ClientToolResult" }),
      )
      .max(256)
      .optional(),
    stream: z.boolean().optional(),
  })
  .meta({ id: "ResumeRunRequest" });

/** What `POST /v1/runs/{id}:replay` takes. */
export const replayRunRequest = z
  .strictObject({
    model: z.string().min(1).max(256).optional(),
    routing: rhoneRequest.shape.routing,
    harness: z.string().optional().meta({ description: "In place of the tools, policy and limits of the run" }),
    stream: z.boolean().optional(),
  })
  .meta({ id: "ReplayRunRequest" });

/** What `POST /v1/runs/{id}:interrupt` takes. */
export const interruptRequest = z
  .strictObject({
    message: z.union([z.string().min(1), z.array(block).min(1)]).optional(),
    behavior: z.enum(["discard", "save_partial", "save_marked"]).default("discard"),
    stream: z.boolean().optional(),
  })
  .meta({ id: "InterruptRunRequest" });

/** What `POST /v1/checkpoints/{id}:resolve` takes. Which decisions are allowed stands in the checkpoint. */
export const resolveRequest = z
  .discriminatedUnion("decision", [
    z
      .strictObject({
        decision: z.literal("approve"),
        limits: runLimits.optional(),
        remember: z
          .literal("run")
          .optional()
          .meta({ description: "Approves the later calls of this tool in this run as well" }),
      })
      .meta({ id: "ApproveDecision" }),
    z
      .strictObject({ decision: z.literal("deny"), reason: z.string().max(2_000).optional() })
      .meta({ id: "DenyDecision" }),
    z
      .strictObject({ decision: z.literal("edit"), arguments: z.union([z.string(), z.looseObject({})]) })
      .meta({ id: "EditDecision" }),
    z
      .strictObject({
        decision: z.literal("answer"),
        content: z
          .looseObject({})
          .optional()
          .meta({ description: "As the question's schema says; none where a page was to be opened" }),
      })
      .meta({ id: "AnswerDecision" }),
    z.strictObject({ decision: z.literal("retry") }).meta({ id: "RetryDecision" }),
    z
      .strictObject({ decision: z.literal("result"), content, is_error: z.boolean().optional() })
      .meta({ id: "ResultDecision" }),
    z
      .strictObject({ decision: z.literal("fail"), reason: z.string().max(2_000).optional() })
      .meta({ id: "FailDecision" }),
  ])
  .meta({ id: "ResolveRequest" });

export type GivenDecision = z.infer<typeof resolveRequest>;

/** The error of what can no longer be done. */
export const conflict = (param: string, message: string): GatewayError =>
  new GatewayError("request.invalid", `${param}: ${message}`, { param, status: 409 });

/** A given result as one text. */
export const textOf = (given: z.infer<typeof content>): string =>
  typeof given === "string" ? given : given.map(({ text }) => text).join("\n");
