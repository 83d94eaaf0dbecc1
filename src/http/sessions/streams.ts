import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { GatewayError, invalid } from "../../canonical/error.ts";
import { fromRpcResponse } from "../../canonical/rpc-error.ts";
import type { CallState } from "../../session/calls.ts";
import { toApiCall } from "./calls.ts";
import type { AppEnv } from "../request/env.ts";
import { type SessionStub, stubForId } from "../../platform/session-stubs.ts";

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

function document(app: OpenAPIHono<AppEnv>): void {
  const { openAPIRegistry: registry } = app;
  const id = { name: "id", in: "path", required: true, schema: { type: "string" } } as const;
  registry.registerPath({
    method: "get",
    path: "/v1/calls/{id}:stream",
    summary: "The rest of a stream, in the form in which it was asked for: while it runs, and ten minutes longer",
    parameters: [
      id,
      {
        name: "after",
        in: "query",
        schema: { type: "integer" },
        description: "The last event that was received; 0: none.",
      },
      { name: "last-event-id", in: "header", schema: { type: "integer" }, description: "The same; it wins." },
    ],
    responses: { 200: { description: "Server-sent events" } },
  });
  registry.registerPath({
    method: "post",
    path: "/v1/calls/{id}:cancel",
    summary: "Stops a running call: what was said of it stays outside of the head",
    parameters: [id],
    responses: { 200: { description: "The call" } },
  });
}
