import { expect } from "vitest";
import { baseUrl, key as adminKey } from "./gateway.ts";

/** A key whose calls have the tools of a harness: its secret. `members`: others of the key. */
export async function newHarnessKey(name: string, harness: object, members: object = {}): Promise<string> {
  await post("/v1/harnesses", { name, ...harness });
  const defaults = { harness: `harness_${name}` };
  const { secret } = await post("/v1/keys", { name, ttl_s: 3_600, defaults, ...members });
  return secret!;
}

async function post(path: string, body: object): Promise<{ secret?: string }> {
  const response = await fetch(`${baseUrl}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(response.status, path).toBe(201);
  return (await response.json()) as { secret?: string };
}
