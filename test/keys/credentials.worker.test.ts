import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { expect, it } from "vitest";
import { auditEvents } from "../../src/store/schema.ts";
import { KEY, request } from "../support/worker/client.ts";

const SECRET = "sk-brought-by-research-1234";

const send = (method: string, path: string, body?: unknown, headers = {}, key = KEY): Promise<Response> =>
  request(path, {
    method,
    key,
    headers: { "content-type": "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

/** The credential that the provider was called with. */
async function sentWith(mode: string, headers = {}): Promise<string> {
  const body = { model: "fake/headers", messages: [{ role: "user", content: "x" }], rhone: { context_mode: mode } };
  const response = await send("POST", "/v1/chat/completions", body, headers);
  expect(response.status).toBe(200);
  const { choices } = (await response.json()) as { choices: [{ message: { content: string } }] };
  return (JSON.parse(choices[0].message.content) as { authorization: string }).authorization;
}

it("a credential is used for its own organisation's calls alone, stored sealed, and never returned", async () => {
  const { id: org } = (await (await send("POST", "/v1/organizations", { name: "Research" })).json()) as { id: string };
  const inside = { "x-rhone-organization": org };
  expect(await sentWith("stateless", inside)).toBe("Bearer fake-key");
  const put = await send("PUT", "/v1/credentials/fake", { api_key: SECRET }, inside);
  expect(await put.json()).toMatchObject({ object: "credential", provider: "fake", hint: "…1234" });
  for (const mode of ["stateless", "stateful"]) {
    expect(await sentWith(mode, inside)).toBe(`Bearer ${SECRET}`);
    expect(await sentWith(mode)).toBe("Bearer fake-key");
  }
  const told = await Promise.all(
    ["/v1/credentials", "/v1/credentials/fake", `/v1/organizations/${org}`].map(async (path) =>
      (await send("GET", path, undefined, inside)).text(),
    ),
  );
  const stored = await runInDurableObject(env.ORGANIZATIONS.get(env.ORGANIZATIONS.idFromName(org)), (_, { storage }) =>
    JSON.stringify([...storage.sql.exec("SELECT * FROM credentials"), ...storage.sql.exec("SELECT * FROM changes")]),
  );
  const events = await drizzle(env.DB).select().from(auditEvents).where(eq(auditEvents.org, org));
  expect(JSON.stringify([told, stored, events])).not.toContain(SECRET);
  expect(events.map(({ action }) => action)).toContain("credential.set");
  expect((await send("DELETE", "/v1/credentials/fake", undefined, inside)).status).toBe(204);
  expect(await sentWith("stateless", inside)).toBe("Bearer fake-key");
  expect((await send("DELETE", "/v1/credentials/fake", undefined, inside)).status).toBe(404);
});

it.each([
  ["nobody", { api_key: SECRET }, 404],
  ["fake", { api_key: "" }, 400],
  ["fake", { api_key: SECRET, base_url: "https://evil.example" }, 400],
])("a credential for %s is refused as %j", async (provider, body, status) => {
  expect((await send("PUT", `/v1/credentials/${provider}`, body)).status).toBe(status);
});
