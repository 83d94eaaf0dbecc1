import type { z } from "@hono/zod-openapi";
import { type JsonSchema, ref } from "./json-schema.ts";

/** A body by media type. */
export type Content = Record<string, { schema: JsonSchema }>;

export type Reference = { $ref: string };

/** A parameter that several routes have, by its component's name. */
export const parameter = (name: string): Reference => ({ $ref: `#/components/parameters/${name}` });

const json = <T>(schema: T) => ({ "application/json": { schema } });

/** A request body in JSON that must be there. */
export const jsonBody = <T extends z.ZodType>(schema: T) => ({ required: true, content: json(schema) });

/** A request body in JSON that may be left out. */
export const optionalJsonBody = <T extends z.ZodType>(schema: T) => ({ required: false, content: json(schema) });

/** A success whose JSON body the compiler checks against the schema. */
export const jsonResponse = <T extends z.ZodType>(description: string, schema: T) => ({
  description,
  content: json(schema),
});

/**
 * A success that a component describes and the compiler does not check. `event`: the component that describes the data
 * of each server-sent event, where the body may be a stream.
 */
export function describedResponse(description: string, name: string, event?: string): { description: string } {
  const stream = event === undefined ? {} : { "text/event-stream": { schema: ref(event) } };
  const content: Content = { ...json(ref(name)), ...stream };
  return Object.assign({ description }, { content });
}

/**
 * The responses that are errors: the named statuses, and those that every route may have. Without a type: handlers throw
 * errors and never return them, and a typed one would let the compiler accept an error's body as a success.
 */
export function errorResponses(...statuses: ErrorStatus[]): object {
  const all = [401 as const, 403 as const, ...statuses].map((status) => [status, errorResponse(status)]);
  return { ...Object.fromEntries(all), default: errorResponse("default") };
}

/** Component names of error responses, by status. `openapi-document.ts` replaces them by those of the path's error format. */
export const ERROR_RESPONSES = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  409: "Conflict",
  429: "TooManyRequests",
  default: "Failure",
} as const;

type ErrorStatus = Exclude<keyof typeof ERROR_RESPONSES, "default">;

const errorResponse = (status: keyof typeof ERROR_RESPONSES): Reference => ({
  $ref: `#/components/responses/${ERROR_RESPONSES[status]}`,
});
