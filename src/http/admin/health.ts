import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { recordsVia } from "../../platform/record-delivery.ts";
import { getIsolateRouter } from "../../platform/router.ts";
import type { Breakers } from "../../routing/breaker.ts";
import { countDeadLetters } from "../../store/dead-letters.ts";
import { errorResponses, jsonResponse } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";

const target = z
  .object({
    target: z.string().openapi({
      description: "{provider}/{model}, followed by #{endpoint} for the endpoints other than the generations'",
    }),
    state: z.enum(["closed", "open", "half_open"]).openapi({
      description: "closed: in use. open: cooling down until retry_at. half_open: one call probes it.",
    }),
    failures: z.int().openapi({ description: "Consecutive failures" }),
    retry_at: z.string().optional(),
    latency_ms: z
      .int()
      .optional()
      .openapi({ description: "Moving average of the time to first content; weight of the newest: 0.2" }),
    told: z
      .literal(true)
      .optional()
      .openapi({ description: "Another instance in this data centre reported the target as down" }),
    last_failure: z
      .object({ code: z.string(), message: z.string(), at: z.string() })
      .openapi("TargetFailure")
      .optional(),
  })
  .openapi("TargetHealth");

const health = z
  .object({
    object: z.literal("routing.health"),
    scope: z.literal("isolate").openapi({
      description: "The targets known to this instance, from its own calls or from another instance",
    }),
    config: z.object({ status: z.enum(["ok", "last_good"]), problem: z.string().optional() }).openapi("ConfigHealth"),
    records: z
      .object({
        via: z.enum(["direct", "queue"]),
        dead_letters: z.int().optional().openapi({
          description:
            "Queue messages whose records could not be applied; tried again every hour. At most 1 000 are counted. Absent: R2 does not answer.",
        }),
      })
      .openapi("RecordsHealth"),
    targets: z.array(target),
  })
  .openapi("RoutingHealth");

const route = createRoute({
  method: "get",
  path: "/v1/routing/health",
  operationId: "routing.health.get",
  summary: "Returns the recently used targets and their circuit breakers",
  responses: {
    200: jsonResponse("The targets", health),
    ...errorResponses(),
  },
});

/** `GET /v1/routing/health`: the circuit breakers of this isolate, whether `RHONE_CONFIG` is in use, and dead letters. */
export function healthRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openapi(route, async (c) => {
    const { breakers, problem } = getIsolateRouter(c.env);
    const own = `${c.var.caller.org} `;
    // Targets called with an organisation's own credential are listed for that organisation only.
    const keys = breakers.keys.filter((key) => !key.includes(" ") || key.startsWith(own));
    const targets = keys.toSorted().map((key) => toApiHealth(key, breakers));
    const config = problem === undefined ? { status: "ok" as const } : { status: "last_good" as const, problem };
    const deadLetters = await countDeadLetters(c.env.BLOBS).catch(() => undefined);
    const records = { via: recordsVia(c.env), ...(deadLetters !== undefined && { dead_letters: deadLetters }) };
    return c.json({ object: "routing.health" as const, scope: "isolate" as const, config, records, targets }, 200);
  });
}

function toApiHealth(key: string, breakers: Breakers): z.infer<typeof target> {
  const { failures: inRow, until, why, latency, isPublished } = breakers.health(key);
  return {
    target: key.slice(key.indexOf(" ") + 1),
    state: breakers.state(key),
    failures: inRow,
    ...(until !== undefined && { retry_at: new Date(until).toISOString() }),
    ...(isPublished && { told: true as const }),
    ...(latency !== undefined && { latency_ms: Math.round(latency) }),
    ...(why !== undefined && {
      last_failure: { code: why.code, message: why.message, at: new Date(why.at).toISOString() },
    }),
  };
}
