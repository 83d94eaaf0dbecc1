import { z } from "zod";
import { routingPolicySchema } from "../routing/config.ts";
import { idPattern } from "../wire/id.ts";

/** `sess_` and what the gateway minted or a client chose. */
export const sessionId = z.string().regex(idPattern("sess"), "expected sess_ and up to 128 of A-Z a-z 0-9 _ . : -");

const modelName = z.string().min(1).max(256);

const models = z.array(modelName).min(1, "expected at least one model").max(16);

/** SPEC 8: where this call may go, and how it is tried. */
const routing = z
  .strictObject({
    model: modelName,
    models,
    fallbacks: models,
    providers: z.array(z.string().min(1).max(64)).min(1, "expected at least one provider").max(16),
    ...routingPolicySchema,
    hedge: z.strictObject({
      after_ms: z.int().min(1).max(86_400_000),
      model: modelName.optional(),
      max_cost_micros_usd: z.int().min(0).optional(),
    }),
  })
  .partial();

/** SPEC 4: the one object of ours in a request. Unknown members are refused: a misspelt `sesion_id` must not start an empty session. */
export const rhoneRequest = z
  .strictObject({
    session_id: sessionId,
    context_mode: z.enum(["stateful", "stateless"]),
    parent: z.string(),
    routing,
    safety: z.looseObject({}),
    assessment: z.union([z.looseObject({}), z.literal(false)]),
    // As OpenAI bounds its own: what is recorded must stay small.
    metadata: z
      .record(z.string().max(64), z.string().max(512))
      .refine((pairs) => Object.keys(pairs).length <= 16, "expected at most 16 pairs"),
    tags: z.array(z.string().max(64)).max(16),
    on_busy: z.enum(["queue", "reject", "branch"]),
    on_disconnect: z.enum(["complete", "cancel"]),
    strict: z.boolean(),
    store: z.enum(["full", "metadata", "none"]),
  })
  .partial()
  .meta({ id: "RhoneRequest" });

export type RhoneRequest = z.infer<typeof rhoneRequest>;
