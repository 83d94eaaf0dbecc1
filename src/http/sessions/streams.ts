import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import { type SessionStub, stubForId } from "../../platform/session-stubs.ts";
import type { CallState } from "../../session/calls.ts";
import { openObject } from "../openapi/json-schema.ts";
import { describedResponse, errorResponses, parameter } from "../openapi/responses.ts";
import type { AppEnv } from "../request/env.ts";
import { toApiCall } from "./calls.ts";

/** Routes of a running call: resuming its stream after an event number, and cancelling it. */
export function streamRoutes(app: OpenAPIHono<AppEnv>): void {
  app.get("/v1/calls/:call{.+:stream}", async (c) => {
    const { stub, id } = callIn(c);
    return await fromRpcResponse(await stub.stream(c.var.caller.org, id, after(c)));
  });
  app.post("/v1/calls/:call{.+:cancel}", async (c) => {
    const { stub, id } = callIn(c);
    const state = await fromRpcResponse(await stub.cancel(c.var.caller.org, id));
    return c.json(toApiCall(await state.json<CallState>()));
  });
  document(app);
}

/** The id of the call in the path and the stub of its session's object. Throws `object.not_found`. */
function callIn({ req, env }: Context<AppEnv>): { stub: SessionStub; id: string } {
  const { call = "" } = req.param() as { call?: string };
  const id = call.slice(0, call.lastIndexOf(":"));
  const stub = stubForId(env.SESSIONS, "call", id);
  if (stub === undefined) throw new GatewayError("object.not_found", "there is no such call");
  return { stub, id };
}

/** The number of the last received event. A client that reconnects by itself sends it as a header, with the query of its first request. */
function after({ req }: Context<AppEnv>): number {
  const header = req.header("last-event-id");
  const [param, text] = header === undefined ? ["after", req.query("after") ?? "0"] : ["last-event-id", header];
  if (!/^\d{1,15}$/.test(text)) throw invalid(param, "expected the number of an event, as in 12");
  return Number(text);
}

function document({ openAPIRegistry: registry }: OpenAPIHono<AppEnv>): void {
  registry.registerPath({
    method: "get",
    path: "/v1/calls/{id}:stream",
    operationId: "calls.stream",
    summary: "Resumes a stream in its original format, until ten minutes after its end",
    parameters: [parameter("CallId"), parameter("After"), parameter("LastEventId")],
    responses: {
      200: {
        description: "Server-sent events in the format of the call's surface",
        content: { "text/event-stream": { schema: openObject } },
      },
      ...errorResponses(400, 404),
    },
  });
  registry.registerPath({
    method: "post",
    path: "/v1/calls/{id}:cancel",
    operationId: "calls.cancel",
    summary: "Cancels a running call; its partial reply is not added to the head",
    parameters: [parameter("CallId")],
    responses: { 200: describedResponse("The call", "Call"), ...errorResponses(404) },
  });
}
