import { expect } from "vitest";
import { get, request } from "./client.ts";

export type Said = Record<string, unknown>;

export const send = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  request(path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), headers });

export async function asked(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Said> {
  const response = await send(path, body, headers);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text) as Said;
}

/** What the provider was sent. */
export const mirrored = async (path: string, body: unknown, headers: Record<string, string> = {}) =>
  (await asked(path, body, headers)) as { path: string; raw: string; headers: Record<string, string> };

/** A call's record, which reaches its session after the answer. */
export async function recordOf(response: Response, status = "completed"): Promise<Said> {
  const id = response.headers.get("x-rhone-call-id")!;
  await expect.poll(async () => (await get(`/v1/calls/${id}`)).status, { timeout: 5000 }).toBe(status);
  return await get(`/v1/calls/${id}`);
}

export const VERSION = { "anthropic-version": "2023-06-01" };
export const WORDS = [{ role: "user", content: "one two three" }];
