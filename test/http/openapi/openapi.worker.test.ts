import { beforeAll, expect, it } from "vitest";
import { type Case, compare, type Document, expectDescribed, readDocument } from "../../support/described-answers.ts";
import { request, user } from "../../support/worker/client.ts";

let document: Document;

beforeAll(async () => {
  document = await readDocument();
});

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
    ["runs.list", "/v1/runs"],
    ["runs.get", `/v1/runs/${call.call.run_id}`],
    ["runs.steps.list", `/v1/runs/${call.call.run_id}/steps`],
    ["runs.events.list", `/v1/runs/${call.call.run_id}/events`],
    ["runs.effectiveRequest", `/v1/runs/${call.call.run_id}/effective-request`],
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
