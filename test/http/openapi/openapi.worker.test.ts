import { Validator } from "@cfworker/json-schema";
import { beforeAll, expect, it, vi } from "vitest";
import { decodeSse } from "../../../src/wire/sse.ts";
import { request, user } from "../../support/worker/client.ts";

type Json = ReturnType<typeof JSON.parse>;
type Schema = Record<string, unknown>;
type Operation = { operationId: string; responses: Record<string, { $ref?: string; content?: Content }> };
type Content = Record<string, { schema: Schema }>;
type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, Schema>>;
};

/** A request whose answer is compared with the document. `isOwn`: the gateway's own format, of which all is described. */
type Case = { id: string; path: string; body?: unknown; method?: string; status?: number; isOwn?: true; key?: string };

let document: Document;
let closed: Document;

beforeAll(async () => {
  document = await (await request("/openapi.json", { key: null })).json();
  closed = close(document) as Document;
});

/** The document with no member allowed that it does not describe, where it does not say that others are allowed. */
function close(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(close);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, close(inner)]));
  const isOpen = members.type !== "object" || members.properties === undefined || "additionalProperties" in members;
  return isOpen ? members : { ...members, additionalProperties: false };
}

function problemsOf(schema: Schema, value: unknown, isOwn: boolean): string[] {
  const { components } = isOwn ? closed : document;
  const { valid, errors } = new Validator({ components, ...schema }, "2020-12", false).validate(value);
  return valid ? [] : errors.map(({ instanceLocation, error }) => `${instanceLocation}: ${error}`);
}

const operationOf = (id: string): Operation =>
  Object.values(document.paths)
    .flatMap((item) => Object.values(item))
    .find(({ operationId }) => operationId === id)!;

/** The answer's JSON, or the data of its events, and what of it is not as described. */
async function compare({ id, path, body, method, status = 200, isOwn, key }: Case): Promise<Compared> {
  const response = await request(path, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: {
      "content-type": "application/json",
      ...(id.startsWith("messages.") && { "anthropic-version": "2023-06-01" }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(key !== undefined && { key }),
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const text = new TextDecoder().decode(bytes);
  if (response.status !== status) return { value: text, problems: [`status ${response.status}: ${text}`] };
  const content = contentOf(operationOf(id), status);
  const type = response.headers.get("content-type")!.split(";")[0]!;
  const schema = content[type]?.schema;
  if (schema === undefined) return { value: text, problems: [`${type} is not among ${Object.keys(content).join()}`] };
  if (type === "text/plain") return { value: text, problems: problemsOf(schema, text, true) };
  const isStream = type === "text/event-stream";
  const values: Json[] = isStream
    ? decodeSse(bytes).flatMap(({ data }) => (data === undefined || data === "[DONE]" ? [] : [JSON.parse(data)]))
    : [JSON.parse(text)];
  const problems = values.flatMap((value) => {
    const found = problemsOf(schema, value, isOwn === true);
    return found.length === 0 ? [] : [...found, JSON.stringify(value)];
  });
  return { value: isStream ? values : values[0], problems: values.length === 0 ? ["there is no event"] : problems };
}

type Compared = { value: Json; problems: string[] };

function contentOf({ responses }: Operation, status: number): Content {
  const response = responses[status] ?? responses.default!;
  const name = response.$ref?.split("/").at(-1);
  const resolved = name === undefined ? response : (document.components.responses![name] as typeof response);
  return resolved.content ?? {};
}

/** The answer, which must be as described. */
async function expectDescribed(one: Case): Promise<Json> {
  const { value, problems } = await compare(one);
  expect([one.id, problems]).toEqual([one.id, []]);
  return value;
}

const messages = [user("My name is Alice.")];
const contents = [{ role: "user", parts: [{ text: "My name is Alice." }] }];
const MODEL = "demo";

it.each<Case>([
  { id: "chat.completions.create", path: "/v1/chat/completions", body: { model: MODEL, messages } },
  { id: "chat.completions.create", path: "/v1/chat/completions", body: { model: MODEL, messages, stream: true } },
  { id: "responses.create", path: "/v1/responses", body: { model: MODEL, input: "x" } },
  { id: "responses.create", path: "/v1/responses", body: { model: MODEL, input: "x", stream: true } },
  { id: "messages.create", path: "/v1/messages", body: { model: MODEL, messages, max_tokens: 64 } },
  { id: "messages.create", path: "/v1/messages", body: { model: MODEL, messages, max_tokens: 64, stream: true } },
  { id: "gemini.models.generateContent", path: "/v1beta/models/demo:generateContent", body: { contents } },
  { id: "gemini.models.streamGenerateContent", path: "/v1beta/models/demo:streamGenerateContent", body: { contents } },
  {
    id: "gemini.models.streamGenerateContent",
    path: "/v1beta/models/demo:streamGenerateContent?alt=sse",
    body: { contents },
  },
  { id: "calls.create", path: "/v1/calls", body: { model: MODEL, input: "x" }, isOwn: true },
  { id: "calls.create", path: "/v1/calls", body: { model: MODEL, input: "x", stream: true }, isOwn: true },
  {
    id: "calls.create",
    path: "/v1/calls",
    body: { model: MODEL, input: "What is the weather in Paris?", stream: true, tools: [{ name: "get_weather" }] },
    isOwn: true,
  },
  { id: "completions.create", path: "/v1/completions", body: { model: MODEL, prompt: "x" } },
  { id: "completions.create", path: "/v1/completions", body: { model: MODEL, prompt: "x", stream: true } },
  { id: "embeddings.create", path: "/v1/embeddings", body: { model: MODEL, input: "x" } },
  {
    id: "gemini.models.embedContent",
    path: "/v1beta/models/demo:embedContent",
    body: { content: { parts: [{ text: "x" }] } },
  },
  {
    id: "gemini.models.batchEmbedContents",
    path: "/v1beta/models/demo:batchEmbedContents",
    body: { requests: [{ model: "models/demo", content: { parts: [{ text: "x" }] } }] },
  },
  { id: "responses.compact", path: "/v1/responses/compact", body: { model: MODEL, input: "My name is Alice." } },
  { id: "models.list", path: "/v1/models" },
  { id: "models.get", path: "/v1/models/demo" },
  { id: "gemini.models.list", path: "/v1beta/models" },
  { id: "gemini.models.get", path: "/v1beta/models/demo" },
  { id: "routing.health.get", path: "/v1/routing/health", isOwn: true },
  { id: "records.slices.list", path: "/v1/records/slices", isOwn: true },
  { id: "gateway.checkHealth", path: "/healthz" },
])("the answer of $id is as described: $path $body", async (one) => {
  expect((await compare(one)).problems).toEqual([]);
});

it.each<Case>([
  { id: "chat.completions.create", path: "/v1/chat/completions", body: {}, status: 400 },
  { id: "responses.create", path: "/v1/responses", body: {}, status: 400 },
  { id: "messages.create", path: "/v1/messages", body: {}, status: 400 },
  { id: "gemini.models.generateContent", path: "/v1beta/models/demo:generateContent", body: {}, status: 400 },
  { id: "calls.create", path: "/v1/calls", body: {}, status: 400, isOwn: true },
  {
    id: "calls.create",
    path: "/v1/calls",
    body: { model: "fake/fault-500-always.http", input: "x" },
    status: 500,
    isOwn: true,
  },
  { id: "conversations.get", path: "/v1/conversations/conv_none", status: 404 },
  { id: "models.get", path: "/v1/models/none/such", status: 404 },
  { id: "sessions.get", path: "/v1/sessions/sess_none", status: 404, isOwn: true },
  { id: "keys.list", path: "/v1/keys", status: 401, isOwn: true, key: "rhone_sk_wrong" },
])("an error of $id is as described: $status", async (one) => {
  expect((await compare(one)).problems).toEqual([]);
});

it("answers about a session and what happened in it are as described", async () => {
  const isOwn = true;
  const created = await expectDescribed({
    id: "sessions.create",
    path: "/v1/sessions",
    body: { metadata: { a: "b" }, instructions: "Be brief.", defaults: { model: MODEL } },
    status: 201,
    isOwn,
  });
  const at = `/v1/sessions/${created.id}`;
  const call = await expectDescribed({
    id: "calls.create",
    path: "/v1/calls",
    body: { session_id: created.id, input: "My name is Alice." },
    isOwn,
  });
  for (const [id, path] of [
    ["sessions.list", "/v1/sessions"],
    ["sessions.get", at],
    ["sessions.blocks.list", `${at}/blocks`],
    ["sessions.blocks.list", `${at}/blocks?format=anthropic`],
    ["calls.get", `/v1/calls/${call.call.id}`],
    ["runs.get", `/v1/runs/${call.call.run_id}`],
    ["sessions.calls.list", `${at}/calls`],
    ["sessions.runs.list", `${at}/runs`],
  ] as const)
    await expectDescribed({ id, path, isOwn });
  for (const [id, verb, body, status] of [
    ["sessions.setInstructions", "set-instructions", { instructions: "Be kind." }],
    ["sessions.setPhase", "set-phase", { phase: "triage" }],
    ["sessions.pause", "pause", {}],
    ["sessions.resume", "resume", {}],
    ["sessions.snapshots.create", "snapshot", { name: "start" }, 201],
    ["sessions.tokens.create", "token", {}],
    ["sessions.branch", "branch", {}, 201],
    ["sessions.replay", "replay", { dry_run: true }],
    ["sessions.replay", "replay", {}],
    ["sessions.compact", "compact", { strategy: "summarize", keep_last: 0 }],
  ] as const)
    await expectDescribed({ id, path: `${at}:${verb}`, body, isOwn, ...(status !== undefined && { status }) });
  await expectDescribed({ id: "sessions.update", path: at, method: "PATCH", body: { metadata: { a: null } }, isOwn });
  for (const [id, path] of [
    ["sessions.timeline.list", `${at}/timeline`],
    ["sessions.lineage.get", `${at}/lineage`],
    ["sessions.snapshots.list", `${at}/snapshots`],
  ] as const)
    await expectDescribed({ id, path, isOwn });
  const deleted = await expectDescribed({ id: "sessions.delete", path: at, method: "DELETE", isOwn });
  expect(deleted.id).toBe(created.id);
});

it("answers about stored responses and conversations are as described", async () => {
  const conversation = await expectDescribed({ id: "conversations.create", path: "/v1/conversations", body: {} });
  const at = `/v1/conversations/${conversation.id}`;
  const response = await expectDescribed({
    id: "responses.create",
    path: "/v1/responses",
    body: { model: MODEL, input: "My name is Alice.", conversation: conversation.id },
  });
  const item = { type: "message", role: "user", content: "One more." };
  await expectDescribed({ id: "conversations.items.create", path: `${at}/items`, body: { items: [item] } });
  const items = await expectDescribed({ id: "conversations.items.list", path: `${at}/items` });
  for (const [id, path] of [
    ["conversations.list", "/v1/conversations"],
    ["conversations.get", at],
    ["conversations.items.get", `${at}/items/${items.data[0].id}`],
    ["responses.get", `/v1/responses/${response.id}`],
    ["responses.get", `/v1/responses/${response.id}?stream=true`],
    ["responses.inputItems.list", `/v1/responses/${response.id}/input_items`],
  ] as const)
    await expectDescribed({ id, path });
  await expectDescribed({ id: "conversations.update", path: at, body: { metadata: { a: "b" } } });
  await expectDescribed({
    id: "conversations.items.delete",
    path: `${at}/items/${items.data[0].id}`,
    method: "DELETE",
  });
  await expectDescribed({ id: "responses.delete", path: `/v1/responses/${response.id}`, method: "DELETE" });
  const deleted = await expectDescribed({ id: "conversations.delete", path: at, method: "DELETE" });
  expect(deleted.id).toBe(conversation.id);
});

it("answers about keys, organisations and credentials are as described", async () => {
  const isOwn = true;
  const key = await expectDescribed({
    id: "keys.create",
    path: "/v1/keys",
    body: { name: "k", ttl_s: 600, budgets: [{ period: "daily", limit_micros_usd: 1_000_000 }] },
    status: 201,
    isOwn,
  });
  const organization = await expectDescribed({
    id: "organizations.create",
    path: "/v1/organizations",
    body: { name: "o", budgets: [{ period: "daily", limit_micros_usd: 1 }] },
    status: 201,
    isOwn,
  });
  for (const [id, path] of [
    ["keys.list", "/v1/keys"],
    ["keys.get", `/v1/keys/${key.id}`],
    ["keys.usage.get", `/v1/keys/${key.id}/usage`],
    ["organizations.list", "/v1/organizations"],
    ["organizations.get", `/v1/organizations/${organization.id}`],
    ["organizations.usage.get", `/v1/organizations/${organization.id}/usage`],
    ["me.get", "/v1/me"],
  ] as const)
    await expectDescribed({ id, path, isOwn });
  await expectDescribed({ id: "me.get", path: "/v1/me", isOwn, key: key.secret });
  await expectDescribed({ id: "keys.update", path: `/v1/keys/${key.id}`, method: "PATCH", body: { name: "l" }, isOwn });
  await expectDescribed({ id: "keys.rotate", path: `/v1/keys/${key.id}:rotate`, body: {}, isOwn });
  await expectDescribed({ id: "keys.revoke", path: `/v1/keys/${key.id}:revoke`, body: {}, isOwn });
  const credential = "/v1/credentials/fake";
  await expectDescribed({
    id: "credentials.set",
    path: credential,
    method: "PUT",
    body: { api_key: "sk-of-mine" },
    isOwn,
  });
  await expectDescribed({ id: "credentials.get", path: credential, isOwn });
  await expectDescribed({ id: "credentials.list", path: "/v1/credentials", isOwn });
  expect((await request(credential, { method: "DELETE" })).status).toBe(204);
});

it("answers about harnesses are as described", async () => {
  const isOwn = true;
  const path = "/v1/harnesses/harness_described";
  const definition = {
    description: "Answers questions",
    routing: { model: MODEL },
    instructions: "Be brief.",
    servers: { crm: { url: "https://mcp.example.com/", headers: { "x-a": "b" }, trust_annotations: true } },
    tools: [{ mcp: "crm", only: ["get_*"] }, { native: "time" }, { function: "lookup", effect: "read_only" }],
    policy: [{ tool: "*", when: { field: "a", op: "between", value: [1, 2] }, do: "ask", approver: "other" }],
    effects: { "crm__*": "idempotent" },
    stop: [{ tool: "lookup", after: "settled" }, { text: "DONE" }],
    output: { type: "json_schema", schema: { type: "object" } },
    limits: { max_turns: 3, on_limit: "answer" },
    unattended: "wait",
  };
  const body = { name: "described", ...definition };
  await expectDescribed({ id: "harnesses.create", path: "/v1/harnesses", body, status: 201, isOwn });
  await expectDescribed({ id: "harnesses.set", path, method: "PUT", body: { model: MODEL }, isOwn });
  for (const [id, from] of [
    ["harnesses.list", "/v1/harnesses"],
    ["harnesses.get", `${path}_v1`],
    ["harnesses.versions.list", `${path}/versions`],
  ] as const)
    await expectDescribed({ id, path: from, isOwn });
  expect((await request(path, { method: "DELETE" })).status).toBe(204);
});

it("frames that are sent and accepted are as described", async () => {
  const { webSocket } = await request("/v1/ws", {
    headers: { upgrade: "websocket", "sec-websocket-protocol": "rhone.ws.v1" },
  });
  const socket = webSocket!;
  const frames: Json[] = [];
  socket.addEventListener("message", ({ data }) => void frames.push(JSON.parse(data as string)));
  socket.accept();
  const send = (frame: object): void => {
    expect([problemsOf({ $ref: "#/components/schemas/SocketClientFrame" }, frame, true), frame]).toEqual([[], frame]);
    socket.send(JSON.stringify(frame));
  };
  send({ type: "session.bind", id: "1" });
  send({ type: "ping", id: "2" });
  send({ type: "call.create", id: "3", surface: "chat", request: { model: MODEL, messages } });
  send({
    type: "call.create",
    id: "4",
    surface: "native",
    request: { model: "fake/fault-500-always.socket", input: "x" },
  });
  // A frame that the gateway refuses; it is not described.
  socket.send(JSON.stringify({ type: "unknown", id: "5" }));
  await vi.waitFor(
    () =>
      expect(new Set(frames.map(({ type }) => type))).toEqual(
        new Set(["session.bound", "pong", "call.started", "call.event", "call.completed", "call.failed", "error"]),
      ),
    5_000,
  );
  const sessionId = frames.find(({ type }) => type === "session.bound").session_id;
  const other = await expectDescribed({
    id: "chat.completions.create",
    path: "/v1/chat/completions",
    body: { model: MODEL, messages, stream: true, rhone: { session_id: sessionId } },
  });
  expect(other.length).toBeGreaterThan(1);
  const isEnd = ({ type, event }: Json): boolean => type === "session.event" && event.type === "call.completed";
  await vi.waitFor(() => expect(frames.some(isEnd)).toBe(true), 5_000);
  socket.close();
  for (const frame of frames)
    expect([problemsOf({ $ref: "#/components/schemas/SocketServerFrame" }, frame, true), frame]).toEqual([[], frame]);
});

it("the OpenAPI document has the routes, from the schemas that check them", () => {
  const { paths, components } = document;
  expect(Object.keys(paths)).toEqual(
    expect.arrayContaining([
      "/v1/chat/completions",
      "/v1/models",
      "/v1/sessions/{id}",
      "/v1/sessions/{id}/blocks",
      "/v1/sessions/{id}/timeline",
      "/v1/calls/{id}",
      "/v1/runs/{id}",
    ]),
  );
  expect(components.schemas!.RhoneRequest!.properties).toHaveProperty("session_id");
});
