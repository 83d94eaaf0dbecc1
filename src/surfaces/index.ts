import { z } from "zod";
import { anthropic } from "../dialects/anthropic/index.ts";
import type { WireDialect } from "../dialects/dialect.ts";
import { gemini } from "../dialects/gemini/index.ts";
import { native } from "../dialects/native/index.ts";
import { openaiChat } from "../dialects/openai-chat/index.ts";
import { openaiResponses } from "../dialects/openai-responses/index.ts";
import { block, format, system, tool, toolChoice } from "./native-schemas.ts";
import { callOptions, rhoneRequest } from "./rhone.ts";

/** An API by which callers reach models: its wire dialect, and the schema that requests are validated with. */
export type Surface = {
  id: string;
  dialect: WireDialect;
  request: z.ZodType<object>;
  /** The response header with the request's id, where its clients do not read `x-request-id`. */
  requestIdHeader?: string;
  /** The gateway's own API: members of `rhone` may also be members of the request itself. */
  isNative?: true;
};
const tools = z.array(z.looseObject({})).max(256).nullish();
const model = z.string().min(1).optional();
const stream = z.boolean().nullish();
const rhone = rhoneRequest.optional();
/** Output tokens. Validated, because budget reservations and encoders of other wires compute with it. */
const limit = z.int().min(1).nullish();
/** What a message says, on OpenAI's wires. */
const content = z.union([z.string(), z.array(z.looseObject({}))], "expected a text or a list of parts").nullish();

// Members that the schemas below do not name reach the provider unchanged, and the provider validates them.

const chatRequest = z
  .looseObject({
    model,
    messages: z
      .array(
        z
          .looseObject({ role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]), content })
          .meta({ id: "ChatInputMessage" }),
      )
      .min(1, "expected at least one message"),
    max_tokens: limit,
    max_completion_tokens: limit,
    stream,
    tools,
    rhone,
  })
  .meta({ id: "ChatCompletionRequest" });

/** An item of the input of OpenAI's Responses. */
export const inputItem = z.looseObject({ content }).meta({ id: "InputItem" });

const responsesRequest = z
  .looseObject({
    model,
    input: z.union([z.string().min(1), z.array(inputItem)], "expected a text or a list of items").nullish(),
    instructions: z.string().nullish(),
    previous_response_id: z.string().min(1).nullish(),
    conversation: z
      .union([z.string().min(1), z.looseObject({ id: z.string().min(1) }).meta({ id: "ConversationReference" })])
      .nullish(),
    store: z.boolean().nullish(),
    background: z.boolean().nullish(),
    max_output_tokens: limit,
    stream,
    tools,
    rhone,
  })
  // A prompt, a previous response or a conversation may be the whole input.
  .refine(
    ({ input, prompt, previous_response_id, conversation }) => {
      const hasReference = [prompt, previous_response_id, conversation].some((reference) => reference != null);
      return hasReference || (input != null && input.length > 0);
    },
    { path: ["input"], message: "expected a text or at least one item" },
  )
  .meta({ id: "ResponseRequest" });

const messagesRequest = z
  .looseObject({
    model,
    messages: z
      .array(
        z
          .looseObject({
            role: z.enum(["user", "assistant", "system"]),
            content: z.union([z.string(), z.array(z.looseObject({}))], "expected a text or a list of blocks"),
          })
          .meta({ id: "InputMessage" }),
      )
      .min(1, "expected at least one message"),
    max_tokens: z.int().min(0),
    stream,
    tools,
    rhone,
  })
  .meta({ id: "MessageRequest" });

/** A number may be written as a text (proto3 JSON mapping). */
const protoLimit = z
  .union([z.int().min(1), z.string().regex(/^[1-9]\d{0,9}$/)], "expected a whole number above 0")
  .nullish();

const generationConfig = z
  .looseObject({ maxOutputTokens: protoLimit, max_output_tokens: protoLimit })
  .meta({ id: "GenerationConfig" })
  .nullish();

const contentsRequest = z
  .looseObject({
    contents: z.union(
      [z.string().min(1), z.array(z.union([z.string(), z.looseObject({})])).min(1), z.looseObject({})],
      "expected at least one content",
    ),
    generationConfig,
    generation_config: generationConfig,
    // Google's clients send a single tool without a list around it.
    tools: z.union([tools, z.looseObject({})]),
    rhone,
  })
  .meta({ id: "GenerateContentRequest" });

const blocks = z
  .union([z.string().min(1), z.array(block).min(1), block], "expected a text, a block or a list of them")
  .meta({ id: "BlockInput" });

/** The gateway's own request: strict, so that a misspelt member is an error, as inside `rhone`. */
const callRequest = z
  .strictObject({
    ...callOptions.shape,
    model,
    input: blocks.optional(),
    blocks: blocks.optional(),
    instructions: z.union([z.string(), z.array(system)]).nullish(),
    tools: z.array(tool).max(256).optional(),
    tool_choice: toolChoice.optional(),
    parallel_tools: z.boolean().optional(),
    reasoning: z
      .strictObject({
        effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh"]),
        budget_tokens: z.int().min(0),
        summary: z.enum(["auto", "concise", "detailed"]),
      })
      .partial()
      .meta({ id: "Reasoning" })
      .optional(),
    format: format.optional(),
    max_output_tokens: z.int().min(1).optional(),
    temperature: z.number().min(0).optional(),
    top_p: z.number().min(0).max(1).optional(),
    top_k: z.int().min(0).optional(),
    frequency_penalty: z.number().optional(),
    presence_penalty: z.number().optional(),
    seed: z.int().optional(),
    stop: z.union([z.string(), z.array(z.string())]).optional(),
    logprobs: z.int().min(0).max(20).optional(),
    user: z.string().optional(),
    service_tier: z.string().optional(),
    cache_key: z.string().optional(),
    stream,
    rhone,
  })
  .refine(({ input, blocks }) => input !== undefined || blocks !== undefined, {
    path: ["input"],
    message: "expected a text, a block or a list of them",
  })
  .refine(({ input, blocks }) => input === undefined || blocks === undefined, {
    path: ["blocks"],
    message: "expected either input or blocks, not both",
  })
  .meta({ id: "CallRequest" });

/** Every surface by id. The ids are stored in call records. */
export const SURFACES = {
  chat: { id: "chat", dialect: openaiChat, request: chatRequest },
  responses: { id: "responses", dialect: openaiResponses, request: responsesRequest },
  messages: { id: "messages", dialect: anthropic, request: messagesRequest, requestIdHeader: "request-id" },
  gemini: { id: "gemini", dialect: gemini, request: contentsRequest },
  native: { id: "native", dialect: native, request: callRequest, isNative: true },
  /** OpenAI's legacy completions, translated to Chat for models that only chat. */
  completions: { id: "completions", dialect: openaiChat, request: chatRequest },
} as const satisfies Record<string, Surface>;

export type SurfaceId = keyof typeof SURFACES;
