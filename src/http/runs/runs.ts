import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { readText } from "../../surfaces/body.ts";
import { describedResponse, errorResponses } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { answerForRun } from "./answer.ts";
import { createRun, replayRun } from "./create.ts";
import { documentRuns, PARTS } from "./run-document.ts";

type Http = Context<AppEnv>;

const params = z.object({ id: z.string() });

/** Runs: a model and tools in a loop, in the object of a session. */
export function runRoutes(app: OpenAPIHono<AppEnv>): void {
  app.post("/v1/runs", async (c) => await createRun(c, await readText(c.req.raw), false));
  app.post("/v1/runs:stream", async (c) => await createRun(c, await readText(c.req.raw), true));
  app.get("/v1/runs/:run{.+:stream}", async (c) => {
    const id = c.req.param("run").slice(0, -":stream".length);
    return await answerForRun(c, id, { do: "follow", id, after: after(c) });
  });
  app.post("/v1/runs/:call{.+:[a-z]+}", async (c) => {
    const call = c.req.param("call");
    const id = call.slice(0, call.lastIndexOf(":"));
    const verb = call.slice(id.length + 1);
    if (verb === "replay") return await replayRun(c, id, await readText(c.req.raw));
    if (verb === "cancel") return await answerForRun(c, id, { do: "cancel", id });
    if (verb !== "resume" && verb !== "interrupt") throw new GatewayError("route.not_found", "there is no such route");
    return await answerForRun(c, id, { do: verb, id, body: await readText(c.req.raw) });
  });
  for (const [part, { do: what }] of Object.entries(PARTS))
    app.get(`/v1/runs/:id/${part}`, async (c) => {
      const id = c.req.param("id");
      return await answerForRun(c, id, { do: what, id });
    });
  app.get("/v1/runs/:id/tool-executions/:execution", async (c) => {
    const { id, execution } = c.req.param();
    return await answerForRun(c, id, { do: "execution", id, execution });
  });
  app.get("/v1/runs/:id/effective-request", async (c) => {
    const id = c.req.param("id");
    return await answerForRun(c, id, { do: "request", id });
  });
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/runs/{id}",
      operationId: "runs.get",
      summary: "Returns a run; a plain call is a run of one call",
      request: { params },
      responses: { 200: describedResponse("The run", "Run"), ...errorResponses(404) },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      return await answerForRun(c, id, { do: "show", id });
    },
  );
  documentRuns(app.openAPIRegistry);
}

/** The number of the last received event, as for the stream of a call. */
function after({ req }: Http): number {
  const header = req.header("last-event-id");
  const [param, text] = header === undefined ? ["after", req.query("after") ?? "0"] : ["last-event-id", header];
  if (!/^\d{1,15}$/.test(text)) throw invalid(param, "expected the number of an event, as in 12");
  return Number(text);
}
