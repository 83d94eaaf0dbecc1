import type { Json, JsonObject } from "../../src/wire/json.ts";
import {
  user,
  rhoneOf,
  dataOf,
  sessionIdOf,
  turnOf,
  describeSession,
  mirror,
  contentOf,
  sentIn,
  eventsOf,
  answerOf,
  parsed,
  textOf,
  codeOf,
  totalsOf,
  callsOf,
} from "./answers.ts";
import { type Client, clientOf, expectSoon } from "./client.ts";
import { stable, shortened } from "./comparable.ts";
import { ORGANIZATION, PAID, type Secrets } from "./deployment.ts";
import { IDEMPOTENT, IDEMPOTENT_SECRET, IDEMPOTENT_STREAM, type Made, sessionOf } from "./scenario.ts";

/** `writtenAt`: when the gateway that wrote the state was killed, in Unix milliseconds. */
export type StateManifest = Secrets & {
  writtenBy: string;
  writtenAt: number;
  made: Made;
  /** What the code that wrote the state answers when it is opened again; by the observation's name. */
  expected: Record<string, Json>;
};

type Opened = Pick<StateManifest, "made" | "writtenAt"> & {
  admin: Client;
  client: Client;
  baseUrl: string;
};
type Observation = { name: string; observe: (opened: Opened) => Promise<Json> };

export function openState(baseUrl: string, { adminKey, made, writtenAt }: Omit<StateManifest, "expected">): Opened {
  return { baseUrl, made, writtenAt, admin: clientOf(baseUrl, adminKey), client: clientOf(baseUrl, made.keySecret) };
}

/** One observation, without what differs from run to run. */
export const observeStable = async ({ observe }: Observation, opened: Opened): Promise<Json> =>
  shortened(stable(await observe(opened), opened.writtenAt));
/**
 * Everything that can be seen of the state through the public API, in the order in which it has to be looked at: those
 * that read come before those that go on with what is there, and deletion comes last.
 */
export const OBSERVATIONS: readonly Observation[] = [
  {
    name: "records that were in an outbox arrive in the list of sessions",
    observe: async ({ client, made }) => {
      const ids = await Promise.all(
        [made.undeliveredCall, made.interruptedStateless, made.interruptedResponse].map((id) =>
          sessionIdOf(client, id),
        ),
      );
      ids.push(sessionOf(made.undeliveredStateless));
      let listed: JsonObject[] = [];
      await expectSoon("the sessions are listed", async () => {
        listed = dataOf(await client.get("/v1/sessions?limit=100"));
        const turned = listed.find(({ id }) => id === ids[0]);
        return turned?.turns === 1 && ids.every((one) => listed.some(({ id }) => id === one));
      });
      return listed.toSorted((a, b) => (textOf(a.id) < textOf(b.id) ? -1 : 1));
    },
  },
  {
    name: "a key and its budgets count what was spent and what is still reserved",
    observe: async ({ admin, client, made }) => {
      const usage = async (): Promise<JsonObject> => await admin.get(`/v1/keys/${made.key}/usage`);
      const sessions = dataOf(await client.get("/v1/sessions?limit=100"));
      const calls = await Promise.all(
        sessions.map(async ({ id }) => dataOf(await client.get(`/v1/sessions/${textOf(id)}/calls`))),
      );
      const ended = calls.flat().filter(({ status }) => status !== "interrupted");
      await expectSoon("all calls that ended are settled", async () => callsOf(await usage()) === ended.length);
      return {
        key: totalsOf(await usage()),
        maker: totalsOf(await admin.get(`/v1/keys/${made.maker}/usage`)),
        organization: totalsOf(await admin.get(`/v1/organizations/${ORGANIZATION}/usage`)),
        tag: totalsOf(await admin.get(`/v1/organizations/${ORGANIZATION}/usage?tag=team`)),
      };
    },
  },
  {
    name: "the key's budget is spent from where it stood",
    observe: async ({ client, admin, made }) => {
      const usage = async (): Promise<JsonObject> => await admin.get(`/v1/keys/${made.key}/usage`);
      const spent = (found: JsonObject): Json => (totalsOf(found) as JsonObject).spent!;
      const before = spent(await usage());
      await client.post("/v1/chat/completions", {
        model: PAID,
        messages: [user("Paid")],
        rhone: { tags: ["team"] },
      });
      await expectSoon("the call is settled", async () => Number(spent(await usage())) > Number(before));
      return {
        key: spent(await usage()),
        maker: spent(await admin.get(`/v1/keys/${made.maker}/usage`)),
        tag: spent(await admin.get(`/v1/organizations/${ORGANIZATION}/usage?tag=team`)),
      };
    },
  },
  {
    name: "keys, the organization and its credential are described as before",
    observe: async ({ admin, made }) => ({
      key: await admin.get(`/v1/keys/${made.key}`),
      maker: await admin.get(`/v1/keys/${made.maker}`),
      listed: dataOf(await admin.get("/v1/keys?limit=50")),
      organization: await admin.get(`/v1/organizations/${ORGANIZATION}`),
      organizations: dataOf(await admin.get("/v1/organizations")),
      credentials: dataOf(await admin.get("/v1/credentials")),
    }),
  },
  {
    name: "a secret that was replaced works during its grace period",
    observe: async ({ baseUrl, made }) => {
      const { id } = await clientOf(baseUrl, made.replacedSecret).get(`/v1/sessions/${made.named}`);
      return { id: id! };
    },
  },
  {
    name: "a client token is still known as one of the deployment's own",
    observe: async ({ baseUrl, made, writtenAt }) => {
      const answer = await clientOf(baseUrl, made.clientToken).fetch(`/v1/sessions/${made.named}`);
      const body = (await answer.json()) as JsonObject;
      // It is good for an hour; a token of another deployment is `auth.invalid` instead.
      const isOver = Date.now() > writtenAt + 3_600_000;
      return isOver ? codeOf(body) === "auth.expired" : body.id === made.named;
    },
  },
  ...(["named", "auto", "compacted", "branch", "large"] as const).map((name) => sessionObservation(name)),
  {
    name: "stateless calls become sessions when they are read",
    observe: async ({ client, made }) => ({
      whole: await describeSession(client, sessionOf(made.statelessCall)),
      stream: await describeSession(client, sessionOf(made.statelessStream)),
      undelivered: await describeSession(client, sessionOf(made.undeliveredStateless)),
    }),
  },
  {
    name: "calls that ran when the gateway was killed are recorded as interrupted",
    observe: async ({ client, made }) => {
      const { interruptedStateless, interruptedCall, interruptedResponse } = made;
      const ids = [interruptedStateless, interruptedCall, interruptedResponse];
      return {
        calls: await Promise.all(ids.map((id) => client.get(`/v1/calls/${id}`))),
        sessions: await Promise.all(
          ids.map(async (id) => await describeSession(client, await sessionIdOf(client, id))),
        ),
        streams: await Promise.all(ids.map((id) => eventsOf(client, `/v1/calls/${id}:stream`))),
      };
    },
  },
  {
    name: "stored responses are retrieved, and one that was interrupted has failed",
    observe: async ({ client, made }) => {
      const interrupted = made.interruptedResponse.replace(/^call_/, "resp_");
      return {
        auto: await client.get(`/v1/responses/${made.autoResponse}`),
        own: await client.get(`/v1/responses/${made.ownResponse}`),
        items: await client.get(`/v1/responses/${made.autoResponse}/input_items?order=asc`),
        interrupted: await answerOf(await client.fetch(`/v1/responses/${interrupted}`)),
      };
    },
  },
  {
    name: "a conversation lists its items",
    observe: async ({ client, made }) => ({
      conversation: await client.get(`/v1/conversations/${made.conversation}`),
      items: await client.get(`/v1/conversations/${made.conversation}/items?order=asc&limit=100`),
      session: await describeSession(client, made.conversation.replace(/^conv_/, "sess_")),
    }),
  },
  {
    name: "a request with an idempotency key gets its first answer again",
    observe: async ({ client, admin }) => {
      const repeat = async (
        who: Client,
        { path, key, body }: typeof IDEMPOTENT | typeof IDEMPOTENT_SECRET,
      ): Promise<Json> => {
        const answer = await who.fetch(path, {
          method: "POST",
          headers: { "idempotency-key": key },
          body: JSON.stringify(body),
        });
        const { status, headers } = answer;
        const text = await answer.text();
        return {
          status,
          replayed: headers.get("idempotency-replayed"),
          call: headers.get("x-rhone-call-id"),
          body: status < 300 ? text : codeOf(parsed(text)),
        };
      };
      return {
        whole: await repeat(client, IDEMPOTENT),
        stream: await repeat(client, IDEMPOTENT_STREAM),
        other: await repeat(client, { ...IDEMPOTENT, body: { ...IDEMPOTENT.body, model: "fake/other" } }),
        secret: await repeat(admin, IDEMPOTENT_SECRET),
      };
    },
  },
  {
    name: "a credential of the organization opens and reaches its provider",
    observe: async ({ client }) => {
      const answer = await client.post("/v1/messages", {
        model: "fakeanth/headers",
        max_tokens: 256,
        messages: [user("Which key?")],
        rhone: { context_mode: "stateless" },
      });
      const [block] = answer.content as JsonObject[];
      return (parsed(textOf(block!.text)) as JsonObject)["x-api-key"]!;
    },
  },
  {
    name: "the named session goes on with its context",
    observe: async ({ client, made }) => {
      const rhone = { session_id: made.named };
      const chat = await mirror(client, "fake/mirror", rhone);
      const sealed = await client.post("/v1/messages", {
        model: "fakeanth/think",
        max_tokens: 256,
        messages: [user("Show what you got")],
        rhone,
      });
      return {
        chat,
        // The provider that has signed its thinking gets it back, behind the same words.
        sealed: (sealed.content as JsonObject[]).map(({ text = null }) => sentIn(text)),
        context: rhoneOf(sealed).context!,
      };
    },
  },
  {
    name: "a turn of before is recognized in a transcript that is sent again",
    observe: async ({ client, made }) => {
      const { data } = await client.get(`/v1/sessions/${made.auto}/blocks?format=openai`);
      const transcript = (data as JsonObject[]).filter(({ role }) => role !== "system");
      const answer = await client.post("/v1/chat/completions", {
        model: "fake/mirror",
        messages: [...transcript, user("The same again, and this")],
        rhone: { session_id: made.auto },
      });
      return {
        request: sentIn(contentOf(answer)),
        context: rhoneOf(answer).context!,
        session: await describeSession(client, made.auto),
      };
    },
  },
  {
    name: "an earlier turn can be named as the parent",
    observe: async ({ client, made }) =>
      await mirror(client, "fake/mirror", { session_id: made.named, parent: made.namedHead }),
  },
  {
    name: "responses are continued by previous_response_id",
    observe: async ({ client, made }) => {
      const after = async (previous: string, model: string): Promise<Json> => {
        const answer = await client.post("/v1/responses", { model, input: "Go on", previous_response_id: previous });
        const parts = (answer.output as JsonObject[]).flatMap(({ content }) => (content ?? []) as JsonObject[]);
        return { previous: answer.previous_response_id!, request: sentIn(parts[0]!.text!) };
      };
      return {
        auto: await after(made.autoResponse, "fakeresp/mirror"),
        // The model that has sealed its reasoning gets it back.
        sealed: await after(made.autoResponse, "fakeresp/think"),
        own: await after(made.ownResponse, "fake/mirror"),
      };
    },
  },
  {
    name: "a conversation goes on",
    observe: async ({ client, made }) => {
      const answer = await client.post("/v1/responses", {
        model: "fake/mirror",
        input: "Fifth",
        conversation: made.conversation,
      });
      const parts = (answer.output as JsonObject[]).flatMap(({ content }) => (content ?? []) as JsonObject[]);
      return sentIn(parts[0]!.text!);
    },
  },
  {
    name: "sessions that a stateless or an interrupted call began go on",
    observe: async ({ client, made }) => {
      const rhone = (id: string): JsonObject => ({ session_id: sessionOf(id) });
      return {
        stateless: await mirror(client, "fake/mirror", rhone(made.statelessCall)),
        undelivered: await mirror(client, "fake/mirror", { parent: turnOf(made.undeliveredCall) }),
        interrupted: await mirror(client, "fake/mirror", {
          session_id: await sessionIdOf(client, made.interruptedCall),
        }),
      };
    },
  },
  {
    name: "the large session goes on with its large parts",
    observe: async ({ client, made }) => {
      const branched = await client.post(`/v1/sessions/${made.large}:branch`, { id: "sess_state-new-large" });
      return {
        large: await mirror(client, "fake/mirror", { session_id: made.large }),
        branch: await describeSession(client, textOf(branched.id)),
      };
    },
  },
  {
    name: "a branch leaves from a snapshot, and turns are replayed",
    observe: async ({ client, made }) => {
      const branched = await client.post(`/v1/sessions/${made.named}:branch`, {
        id: "sess_state-new-named",
        from: "after-the-tools",
      });
      return {
        branched,
        blocks: await client.get(`/v1/sessions/${textOf(branched.id)}/blocks`),
        replay: await client.post(`/v1/sessions/${made.branch}:replay`, { dry_run: true, model: "fake/other" }),
        branch: await mirror(client, "fake/mirror", { session_id: made.branch }),
        compacted: await mirror(client, "fake/mirror", { session_id: made.compacted }),
      };
    },
  },
  {
    name: "records of calls stay in D1 when their sessions are deleted",
    observe: async ({ client, made }) => {
      const ids = [
        made.namedHead,
        made.autoHead,
        made.undeliveredCall,
        made.undeliveredStateless,
        made.statelessCall,
      ].map((id) => id.replace(/^turn_/, "call_"));
      const sessions = new Set<string>();
      for (const id of ids) sessions.add(await sessionIdOf(client, id));
      for (const id of sessions) await client.send("DELETE", `/v1/sessions/${id}`);
      return await Promise.all(ids.map((id) => client.get(`/v1/calls/${id}`)));
    },
  },
];

function sessionObservation(name: "named" | "auto" | "compacted" | "branch" | "large"): Observation {
  return {
    name: `the session "${name}" is as it was`,
    observe: async ({ client, made }) => await describeSession(client, made[name]),
  };
}
