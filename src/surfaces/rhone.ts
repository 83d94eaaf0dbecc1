import { z } from "zod";
import { harnessIdSchema } from "../keys/harness-id.ts";
import { routingPolicySchema } from "../routing/config.ts";
import { safetyPolicySchema } from "../shield/policy.ts";
import { idPattern } from "../wire/id.ts";
import { metadata } from "./metadata.ts";

/** A session's id: `sess_` and a part that the gateway generated or a client chose. */
export const sessionId = z.string().regex(idPattern("sess"), "expected sess_ and up to 128 of A-Z a-z 0-9 _ . : -");

const modelName = z.string().min(1).max(256);

const models = z.array(modelName).min(1, "expected at least one model").max(16);

/** Where a call may be sent, and how attempts are made (docs/routing.md). */
const routing = z
  .strictObject({
    model: modelName,
    models,
    fallbacks: models,
    providers: z.array(z.string().min(1).max(64)).min(1, "expected at least one provider").max(16),
    ...routingPolicySchema,
    hedge: z
      .strictObject({
        after_ms: z.int().min(1).max(86_400_000),
        model: modelName.optional(),
        max_cost_micros_usd: z.int().min(0).optional(),
      })
      .meta({ id: "Hedge" }),
  })
  .partial()
  .meta({ id: "Routing" });

const options = {
  session_id: sessionId,
  context_mode: z.enum(["stateful", "stateless"]),
  parent: z.string(),
  routing,
  metadata,
  tags: z.array(z.string().max(64)).max(16),
  on_busy: z.enum(["queue", "reject", "branch"]),
  on_disconnect: z.enum(["complete", "cancel"]),
  strict: z.boolean(),
  store: z.enum(["full", "metadata", "none"]),
  safety: safetyPolicySchema,
  harness: harnessIdSchema.meta({ description: "Names the harness whose tools the gateway executes for the call" }),
};

/** The options of a call that a native request may also have on its top level. */
export const callOptions = z.strictObject(options).partial();

/** What a call brings for the gateway to execute. A native request has other members of these names on its top level. */
const serverTools = {
  tools: z
    .array(z.looseObject({}))
    .max(128)
    .meta({ description: "Lists tools that the gateway executes for the call, in the form of those of a run" }),
  servers: z
    .record(z.string(), z.looseObject({}))
    .meta({ description: "Names the servers of these tools, in the form of those of a run" }),
  unattended: z.enum(["deny", "wait"]).meta({
    description: "Decides what becomes of a call of a tool that a person has to approve: deny is the default",
  }),
};

/**
 * The gateway's own object in a request of any surface. Strict: a misspelt `session_id` must be an error, not silently
 * start an empty session.
 */
export const rhoneRequest = z
  .strictObject({ ...options, ...serverTools })
  .partial()
  .meta({ id: "RhoneRequest" });

export type RhoneRequest = z.infer<typeof rhoneRequest>;

/** Whether the call's content may be stored: its messages, its answer, and texts of errors, which may quote them. */
export const storesContent = ({ store = "full" }: RhoneRequest): boolean => store === "full";
