import type { Json, JsonObject } from "../../src/wire/json.ts";
import { type Client, clientOf, expectSoon } from "./client.ts";
import { type Secrets, PAID, STALLED, STALLED_RESPONSE, ORGANIZATION } from "./deployment.ts";

/** What the scenario made: ids by the names that the observations use, and secrets of keys and tokens. */
export type Made = Record<
  | "key"
  | "keySecret"
  | "replacedSecret"
  | "maker"
  | "clientToken"
  | "named"
  | "namedHead"
  | "auto"
  | "autoHead"
  | "autoResponse"
  | "compacted"
  | "branch"
  | "large"
  | "ownResponse"
  | "conversation"
  | "statelessStream"
  | "statelessCall"
  | "interruptedStateless"
  | "interruptedCall"
  | "interruptedResponse"
  | "undeliveredCall"
  | "undeliveredStateless",
  string
>;
export const NAMED = "sess_state-named";
const LARGE = "sess_state-large";
const COMPACTED = "sess_state-compacted";
const BRANCH = "sess_state-branch";
const INTERRUPTED = "sess_state-interrupted";

export const IDEMPOTENT = {
  path: "/v1/chat/completions",
  key: "state-fixture-whole",
  body: { model: "fake/once", messages: [{ role: "user", content: "Once" }] },
};
export const IDEMPOTENT_STREAM = {
  path: "/v1/chat/completions",
  key: "state-fixture-stream",
  body: { ...IDEMPOTENT.body, stream: true },
};
export const IDEMPOTENT_SECRET = {
  path: "/v1/keys",
  key: "state-fixture-secret",
  body: { name: "made once", ttl_s: 86_400 },
};

const TOOLS = [
  {
    type: "function",
    function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
  },
];
const ANTHROPIC_TOOLS = [
  { name: "get_weather", input_schema: { type: "object", properties: { city: { type: "string" } } } },
];

/** One MB of base64 that is no prose, so that it leaves the session for R2; it compresses to nothing. */
const IMAGE = `data:image/png;base64,${"iVBORw0KGgo".repeat(30_000)}`;
/** Prose stays in the session, in more rows than one. */
const PROSE = "A long line of plain words, again and again. ".repeat(6_000);

const user = (content: Json): JsonObject => ({ role: "user", content });
const rhoneOf = (answer: JsonObject): Record<string, string> => answer.rhone as Record<string, string>;

/**
 * Makes one of everything that the gateway stores. The last thing that it does is a call whose records cannot have
 * reached D1 yet: the gateway has to be killed when this resolves.
 */
export async function makeState(baseUrl: string, { adminKey }: Secrets): Promise<Made> {
  const admin = clientOf(baseUrl, adminKey);
  await admin.send("PATCH", `/v1/organizations/${ORGANIZATION}`, {
    name: "Fixture",
    budgets: [{ period: "total", limit_micros_usd: 90_000_000 }],
    limits: { requests_per_minute: 5_000 },
    tag_budgets: { team: [{ period: "total", limit_micros_usd: 80_000_000 }] },
  });
  await admin.send("PUT", "/v1/credentials/fakeanth", { api_key: "credential-of-the-organization" });
  const { maker, key, keySecret, replacedSecret } = await makeKeys(baseUrl, admin);
  const client = clientOf(baseUrl, keySecret);
  const named = await makeNamed(client);
  const auto = await makeAuto(client);
  await client.post(`/v1/sessions/${NAMED}:branch`, {
    id: BRANCH,
    from: "after-the-tools",
    transforms: ["drop_thinking"],
  });
  await client.post(`/v1/sessions/${NAMED}:branch`, { id: COMPACTED });
  await client.post(`/v1/sessions/${COMPACTED}:compact`, { strategy: "window", keep_last: 1 });
  await client.post("/v1/chat/completions", {
    model: "fake/large",
    messages: [
      user([
        { type: "text", text: PROSE },
        { type: "image_url", image_url: { url: IMAGE } },
      ]),
    ],
    rhone: { session_id: await makeSession(client, LARGE, { instructions: PROSE }) },
  });
  const ownResponse = await client.post("/v1/responses", { model: "fake/own", input: "Keep this", store: true });
  const conversation = await makeConversation(client);
  const token = await client.post(`/v1/sessions/${NAMED}:token`, { ttl_s: 3_600 });
  for (const { path, key: name, body } of [IDEMPOTENT, IDEMPOTENT_STREAM])
    await (
      await client.fetch(path, { method: "POST", headers: { "idempotency-key": name }, body: JSON.stringify(body) })
    ).text();
  const { path, key: name, body } = IDEMPOTENT_SECRET;
  await admin.post(path, body, { "idempotency-key": name });
  const stateless = await makeStateless(client);
  const interrupted = await interrupt(client);
  const undelivered = await makeUndelivered(client);
  return {
    maker,
    key,
    keySecret,
    replacedSecret,
    clientToken: token.token as string,
    named: NAMED,
    namedHead: named,
    ...auto,
    compacted: COMPACTED,
    branch: BRANCH,
    large: LARGE,
    ownResponse: ownResponse.id as string,
    conversation,
    ...stateless,
    ...interrupted,
    ...undelivered,
  };
}

/** A key with a hard budget, made by another key that pays for it as well; its first secret has been replaced. */
async function makeKeys(
  baseUrl: string,
  admin: Client,
): Promise<Pick<Made, "maker" | "key" | "keySecret" | "replacedSecret">> {
  const expires_at = "2035-01-01T00:00:00Z";
  const scopes = ["inference", "sessions:read", "sessions:write"];
  const maker = await admin.post("/v1/keys", {
    name: "maker",
    expires_at,
    scopes: [...scopes, "keys:read", "keys:write"],
    budgets: [{ period: "total", limit_micros_usd: 70_000_000 }],
  });
  const key = await clientOf(baseUrl, maker.secret as string).post("/v1/keys", {
    name: "spender",
    expires_at,
    scopes,
    budgets: [
      { period: "total", limit_micros_usd: 60_000_000 },
      { period: "monthly", limit_micros_usd: 50_000_000, hard: false },
    ],
    limits: { requests_per_minute: 4_000, tokens_per_minute: 100_000_000, concurrency: 100 },
    allowed_models: ["fake/*", "fakeanth/*", "fakeresp/*", "fakegem/*"],
    defaults: { context_mode: "stateful" },
    metadata: { purpose: "fixture" },
  });
  const rotated = await admin.post(`/v1/keys/${key.id as string}:rotate`, { grace_s: 5 * 366 * 86_400 });
  return {
    maker: maker.id as string,
    key: key.id as string,
    keySecret: rotated.secret as string,
    replacedSecret: key.secret as string,
  };
}

async function makeSession(client: Client, id: string, more: JsonObject = {}): Promise<string> {
  await client.post("/v1/sessions", { id, ...more });
  return id;
}

/** A session with everything that can be set on it: tool calls through Chat, their results and thinking through Messages. */
async function makeNamed(client: Client): Promise<string> {
  await makeSession(client, NAMED, {
    instructions: "Answer in short sentences.",
    metadata: { customer: "c-1" },
    defaults: { temperature: 0.25 },
    phase: "opening",
  });
  const rhone = { session_id: NAMED };
  await client.post("/v1/chat/completions", {
    model: "fake/tools",
    messages: [user("What is the weather in Paris and Rome?")],
    tools: TOOLS,
    rhone: { ...rhone, metadata: { step: "1" }, tags: ["team"] },
  });
  await client.post("/v1/messages", {
    model: "fakeanth/tools",
    max_tokens: 256,
    messages: [
      user([
        { type: "tool_result", tool_use_id: "call_fake_1", content: "21 degrees" },
        { type: "tool_result", tool_use_id: "call_fake_2", content: "30 degrees" },
      ]),
    ],
    tools: ANTHROPIC_TOOLS,
    rhone,
  });
  await client.post(`/v1/sessions/${NAMED}:snapshot`, { name: "after-the-tools" });
  await client.post(`/v1/sessions/${NAMED}:set-phase`, { phase: "closing" });
  await client.post(`/v1/sessions/${NAMED}:pause`, {});
  await client.post(`/v1/sessions/${NAMED}:resume`, {});
  const thought = await client.post("/v1/messages", {
    model: "fakeanth/think",
    max_tokens: 256,
    messages: [user("And in Oslo?")],
    rhone,
  });
  // An attempt that fails before the one that answers, and a call that becomes no turn.
  await client.post("/v1/chat/completions", {
    model: "fake/fault-500-once.named",
    messages: [user("Once more?")],
    rhone: { ...rhone, parent: rhoneOf(thought).turn_id! },
  });
  const failed = await client.fetch("/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify({ model: "fake/failing", stream: true, messages: [user("Fail")], rhone }),
  });
  await failed.text();
  return (await client.get(`/v1/sessions/${NAMED}`)).head as string;
}

/** A session that its first call makes, through Responses; the second goes on through Chat as a stream. */
async function makeAuto(client: Client): Promise<Pick<Made, "auto" | "autoHead" | "autoResponse">> {
  const first = await client.post("/v1/responses", {
    model: "fakeresp/think",
    instructions: "Think first.",
    input: [{ type: "message", role: "user", content: [{ type: "input_text", text: "My name is Alice." }] }],
    store: true,
  });
  const auto = rhoneOf(first).session_id!;
  const stream = await client.fetch("/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify({ model: PAID, stream: true, messages: [user("Go on.")], rhone: { session_id: auto } }),
  });
  await stream.text();
  await client.send("PATCH", `/v1/sessions/${auto}`, { metadata: { named: "no" }, defaults: { top_p: 0.5 } });
  return {
    auto,
    autoHead: (await client.get(`/v1/sessions/${auto}`)).head as string,
    autoResponse: first.id as string,
  };
}

async function makeConversation(client: Client): Promise<string> {
  const message = (text: string): JsonObject => ({
    type: "message",
    role: "user",
    content: [{ type: "input_text", text }],
  });
  const made = await client.post("/v1/conversations", {
    items: [message("First"), message("Second")],
    metadata: { topic: "items" },
  });
  const id = made.id as string;
  await client.post(`/v1/conversations/${id}/items`, { items: [message("Third")] });
  await client.post("/v1/responses", { model: "fake/talk", input: "Fourth", conversation: id });
  const { data } = await client.get(`/v1/conversations/${id}/items?order=asc`);
  await client.send("DELETE", `/v1/conversations/${id}/items/${(data as { id: string }[])[1]!.id}`);
  return id;
}

/** Calls that begin sessions of their own and stand in a journal: one stream, one whole answer. */
async function makeStateless(client: Client): Promise<Pick<Made, "statelessStream" | "statelessCall">> {
  const rhone = { context_mode: "stateless", metadata: { kind: "stateless" } };
  const stream = await client.fetch("/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify({ model: PAID, stream: true, messages: [user("In a stream")], rhone }),
  });
  await stream.text();
  const whole = await client.post("/v1/messages", {
    model: "fakeanth/say",
    max_tokens: 256,
    system: "Short.",
    messages: [user("One"), { role: "assistant", content: "Two" }, user("Three")],
    rhone,
  });
  const statelessStream = stream.headers.get("x-rhone-call-id")!;
  const listed = [sessionOf(statelessStream), rhoneOf(whole).session_id!];
  await expectSoon("stateless sessions are listed", async () => {
    const { data } = await client.get("/v1/sessions?limit=100");
    const ids = new Set((data as { id: string }[]).map(({ id }) => id));
    return listed.every((id) => ids.has(id));
  });
  return { statelessStream, statelessCall: rhoneOf(whole).call_id! };
}

/** A stateless call without a session starts one whose id differs from its own in the prefix only. */
export const sessionOf = (call: string): string => call.replace(/^call_/, "sess_");

/** Streams whose provider stalls: they run until the gateway is killed, and hold what was reserved for them. */
async function interrupt(
  client: Client,
): Promise<Pick<Made, "interruptedStateless" | "interruptedCall" | "interruptedResponse">> {
  const messages = [user("This will be interrupted")];
  await makeSession(client, INTERRUPTED);
  const stateless = await begin(client, "/v1/chat/completions", {
    model: STALLED,
    messages,
    rhone: { context_mode: "stateless", tags: ["team"] },
  });
  const stateful = await begin(client, "/v1/chat/completions", {
    model: STALLED,
    messages,
    rhone: { session_id: INTERRUPTED },
  });
  const response = await begin(client, "/v1/responses", { model: STALLED_RESPONSE, input: "Stall", store: true });
  for (const id of [stateless, stateful, response])
    await expectSoon(`${id} is running`, async () => {
      const answer = await client.fetch(`/v1/calls/${id}`);
      const found: JsonObject = await answer.json();
      return found.status === "running";
    });
  return { interruptedStateless: stateless, interruptedCall: stateful, interruptedResponse: response };
}

/** Starts a stream that does not end. Resolves to its call's id when some of it has come. */
async function begin(client: Client, path: string, body: JsonObject): Promise<string> {
  const response = await client.fetch(path, { method: "POST", body: JSON.stringify({ ...body, stream: true }) });
  const reader = response.body!.getReader();
  await reader.read();
  // The rest is read until the connection breaks, so that the gateway does not see its client leave.
  const readOn = async (): Promise<void> => {
    while (!(await reader.read()).done);
  };
  void readOn().catch(() => {});
  return response.headers.get("x-rhone-call-id")!;
}

/** Two calls whose records stand in an outbox, one in a journal's and one in its session's. */
async function makeUndelivered(client: Client): Promise<Pick<Made, "undeliveredCall" | "undeliveredStateless">> {
  const stateless = await client.post("/v1/chat/completions", {
    model: PAID,
    messages: [user("Not delivered, stateless")],
    rhone: { context_mode: "stateless" },
  });
  const stateful = await client.post("/v1/chat/completions", {
    model: PAID,
    messages: [user("Not delivered")],
    rhone: { tags: ["team"] },
  });
  return { undeliveredStateless: rhoneOf(stateless).call_id!, undeliveredCall: rhoneOf(stateful).call_id! };
}
