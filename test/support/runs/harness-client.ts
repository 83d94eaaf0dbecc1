import { env } from "cloudflare:workers";
import { expect } from "vitest";
import { findHarness } from "../../../src/platform/harnesses.ts";
import { request } from "../worker/client.ts";
import type { Json } from "./client.ts";

export const PATH = "/v1/harnesses";

type Sent = { body?: unknown; yaml?: string; key?: string; headers?: Record<string, string> };

export const send = (method: string, path: string, { body, yaml, key, headers }: Sent = {}): Promise<Response> =>
  request(path, {
    method,
    ...(key !== undefined && { key }),
    headers: { "content-type": yaml === undefined ? "application/json" : "application/yaml", ...headers },
    ...((body !== undefined || yaml !== undefined) && { body: yaml ?? JSON.stringify(body) }),
  });

export async function answered(method: string, path: string, sent: Sent = {}, status = 200): Promise<Json> {
  const response = await send(method, path, sent);
  const text = await response.text();
  expect([response.status, text]).toEqual([status, expect.anything()]);
  return JSON.parse(text) as Json;
}

/** A new version. */
export const create = (body: Json): Promise<Json> => answered("POST", PATH, { body }, 201);

/** The status, the field and the message of a refusal. */
export async function refusalOf(sent: Promise<Response>): Promise<unknown[]> {
  const response = await sent;
  const { error } = (await response.json()) as { error: { message: string; details?: { param?: string } } };
  return [response.status, error.details?.param, error.message];
}

/** As runs look for one. */
export const findVersion = (id: string, org = "org_default"): ReturnType<typeof findHarness> =>
  findHarness(env, org, id, () => {});

export async function newOrganization(): Promise<{ org: string; headers: Record<string, string> }> {
  const { id } = await answered("POST", "/v1/organizations", { body: { name: "Other" } }, 201);
  return { org: id as string, headers: { "x-rhone-organization": id as string } };
}

export const keyWith = async (...scopes: string[]): Promise<string> =>
  (await answered("POST", "/v1/keys", { body: { name: "k", ttl_s: 600, scopes } }, 201)).secret as string;
