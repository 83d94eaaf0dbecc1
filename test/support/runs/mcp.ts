import { expect } from "vitest";
import type { McpMessage } from "../../fake/mcp.ts";
import { writePlan } from "../../fake/plan.ts";
import { type Json, listOf, send } from "./client.ts";

const HOST = "https://mcp.example.com";
export const KINDS = ["modern", "legacy"] as const;

/** The URL of the server of one test. */
export const urlOf = (test: string, kind = "modern"): string => `${HOST}/${test}/${kind}`;

/** The server of one test, as a run names it. */
export const crm = (test: string, kind: string, more: Json = {}): Json => ({
  crm: { url: urlOf(test, kind), ...more },
});

/** The same as a tool of a request on Responses. */
export const namedServer = (test: string, more: Json = {}): Json => ({
  type: "mcp",
  server_label: "crm",
  server_url: urlOf(test),
  ...more,
});

export const logOf = async (test: string): Promise<McpMessage[]> => (await fetch(`${HOST}/${test}/log`)).json();
export const callsOf = async (test: string): Promise<Json[]> =>
  (await logOf(test)).filter(({ method }) => method === "tools/call").map(({ params }) => params);
export const tell = (test: string, what: string): Promise<Response> =>
  fetch(`${HOST}/${test}/${what}`, { method: "POST" });

/** A run that calls one tool of a server, and then answers. */
export const callOf = (test: string, kind: string, name: string, more: Json = {}): Json => ({
  input: writePlan([[{ name: `crm__${name}`, args: (more.args as Json | undefined) ?? {} }], "Done."]),
  servers: crm(test, kind, more.server as Json | undefined),
  tools: [{ type: "mcp", server: "crm", policy: "allow", timeout_ms: 20_000 }],
});

export const resolve = (id: unknown, body: Json): Promise<Response> =>
  send("POST", `/v1/checkpoints/${id as string}:resolve`, body);

/** The open question of a run. */
export const questionOf = async (id: unknown): Promise<Json> =>
  await expect
    .poll(async () => (await listOf(id, "checkpoints")).find(({ status }) => status === "open"))
    .toMatchObject({ kind: "input" })
    .then(async () => (await listOf(id, "checkpoints")).find(({ status }) => status === "open")!);
