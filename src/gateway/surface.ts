import { z } from "zod";
import type { WireDialect } from "../dialects/dialect.ts";
import { anthropic } from "../dialects/anthropic/index.ts";
import { gemini } from "../dialects/gemini/index.ts";
import { openaiChat } from "../dialects/openai-chat/index.ts";
import { openaiResponses } from "../dialects/openai-responses/index.ts";

/** How callers reach models: a wire of theirs, and what of a request is checked before anything is done with it. */
export type Surface = {
  id: string;
  dialect: WireDialect;
  request: z.ZodType<object>;
  /** The header in which its clients look for the request's id, where it is not `x-request-id`. */
  requestIdHeader?: string;
};

/** `sess_` and what the gateway minted or a client chose. */
export const sessionId = z
  .string()
  .regex(/^sess_[A-Za-z0-9_.:-]{1,128}$/, "expected sess_ and up to 128 of A-Z a-z 0-9 _ . : -");

/** SPEC 4: the one object of ours in a request. Unknown members are refused: a misspelt `sesion_id` must not start an empty session. */
export const rhoneRequest = z
  .strictObject({
    session_id: sessionId,
    context_mode: z.enum(["stateful", "stateless"]),
    parent: z.string(),
    routing: z.looseObject({ model: z.string().min(1).optional() }),
    safety: z.looseObject({}),
    assessment: z.union([z.looseObject({}), z.literal(false)]),
    // As OpenAI bounds its own: what is recorded must stay small.
    metadata: z
      .record(z.string().max(64), z.string().max(512))
      .refine((pairs) => Object.keys(pairs).length <= 16, "expected at most 16 pairs"),
    tags: z.array(z.string().max(64)).max(16),
    on_busy: z.enum(["queue", "reject"]),
    on_disconnect: z.enum(["complete", "cancel"]),
    strict: z.boolean(),
    store: z.enum(["full", "metadata", "none"]),
  })
  .partial()
  .meta({ id: "RhoneRequest" });

export type RhoneRequest = z.infer<typeof rhoneRequest>;

const tools = z.array(z.looseObject({})).max(256).nullish();
const model = z.string().min(1).optional();
const stream = z.boolean().nullish();
const rhone = rhoneRequest.optional();

// Members that are not named here pass to the provider untouched; it is the judge of them.

const chatRequest = z
  .looseObject({
    model,
    messages: z
      .array(z.looseObject({ role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]) }))
      .min(1, "expected at least one message"),
    stream,
    tools,
    rhone,
  })
  .meta({ id: "ChatCompletionRequest" });

const responsesRequest = z
  .looseObject({
    model,
    input: z.union([z.string().min(1), z.array(z.looseObject({})).min(1)], "expected a text or at least one item"),
    instructions: z.string().nullish(),
    stream,
    tools,
    rhone,
  })
  .meta({ id: "ResponseRequest" });

const messagesRequest = z
  .looseObject({
    model,
    messages: z
      .array(
        z.looseObject({
          role: z.enum(["user", "assistant", "system"]),
          content: z.union([z.string(), z.array(z.looseObject({}))], "expected a text or a list of blocks"),
        }),
      )
      .min(1, "expected at least one message"),
    max_tokens: z.int().min(0),
    stream,
    tools,
    rhone,
  })
  .meta({ id: "MessageRequest" });

const contentsRequest = z
  .looseObject({
    contents: z.union(
      [z.string().min(1), z.array(z.union([z.string(), z.looseObject({})])).min(1), z.looseObject({})],
      "expected at least one content",
    ),
    // Google's clients send one tool without its list.
    tools: z.union([tools, z.looseObject({})]),
    rhone,
  })
  .meta({ id: "GenerateContentRequest" });

export const SURFACES = {
  chat: { id: "chat", dialect: openaiChat, request: chatRequest },
  responses: { id: "responses", dialect: openaiResponses, request: responsesRequest },
  messages: { id: "messages", dialect: anthropic, request: messagesRequest, requestIdHeader: "request-id" },
  gemini: { id: "gemini", dialect: gemini, request: contentsRequest },
  /** OpenAI's legacy completions, said as Chat for models that only chat. */
  completions: { id: "completions", dialect: openaiChat, request: chatRequest },
} as const satisfies Record<string, Surface>;

export type SurfaceId = keyof typeof SURFACES;
