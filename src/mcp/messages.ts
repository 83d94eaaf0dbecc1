import type { JsonObject } from "../wire/json.ts";

/** Where a server is and how a caller identifies itself. `headers`: as they are sent, secrets included. */
export type McpEndpoint = { url: string; headers: Record<string, string> };

/** A tool as its server describes it. Its annotations are hints, which need not be true. */
export type McpTool = {
  name: string;
  title?: string;
  description?: string;
  inputSchema: JsonObject;
  annotations: { readOnly: boolean; idempotent: boolean };
};

/** What a server asks a person. `schema`: of a form's answer; `url`: a page to be opened instead. */
export type McpQuestion = { key: string; message: string; schema?: JsonObject; url?: string };

export type McpAnswer = { action: "accept"; content?: JsonObject } | { action: "decline" | "cancel" };

/** What is known of work that takes long. `total` has the unit of `progress`. */
export type McpProgress = { progress: number; total?: number; message?: string };

/** `data`: base64. */
export type McpMedia = { mimeType: string; data: string };

/**
 * The outcome of a call. `result`: it is done. `input`: it is to be repeated with answers and `state`; without questions at once.
 * `task`: the server works on it, and is to be polled after `pollMs`; `endsAt`: Unix milliseconds after which the server may have
 * forgotten it; `questions`: what it waits for.
 */
export type McpOutcome =
  | { kind: "result"; text: string; media: McpMedia[]; isError: boolean }
  | { kind: "input"; questions: McpQuestion[]; state?: string }
  | McpTask;

export type McpTask = {
  kind: "task";
  id: string;
  pollMs: number;
  endsAt?: number;
  questions: McpQuestion[];
  message?: string;
};
