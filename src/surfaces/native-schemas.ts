import { z } from "zod";

/** Schemas of content blocks: as native calls send them, and as every reader of a session receives them (docs/native.md). */

const cache = z.enum(["5m", "1h"]).optional();

/** The provider's own wire item behind a block. `issuer`: the only provider account that can open a sealed item. */
const native = z
  .strictObject({
    dialect: z.enum(["openai-chat", "openai-responses", "anthropic", "gemini"]),
    issuer: z.string().optional(),
    item: z.unknown(),
  })
  .meta({ id: "NativeItem" });

const source = z
  .discriminatedUnion("type", [
    z.strictObject({ type: z.literal("base64"), data: z.string().min(1) }).meta({ id: "Base64Source" }),
    z.strictObject({ type: z.literal("url"), url: z.string().min(1) }).meta({ id: "UrlSource" }),
    z.strictObject({ type: z.literal("file"), id: z.string().min(1) }).meta({ id: "FileSource" }),
    z.strictObject({ type: z.literal("text"), text: z.string() }).meta({ id: "TextSource" }),
  ])
  .meta({ id: "MediaSource" });

const media = z
  .strictObject({
    mime: z.string().regex(/^[\w.+-]+\/[\w.+*-]+$/, "expected a media type, as image/png"),
    source,
    name: z.string().optional(),
    detail: z.enum(["auto", "low", "high", "original"]).optional(),
  })
  .meta({ id: "Media" });

const citation = z
  .strictObject({ text: z.string(), url: z.string(), title: z.string(), start: z.int(), end: z.int() })
  .partial()
  .meta({ id: "Citation" });

const opaqueItem = z.strictObject({ label: z.string(), gist: z.string().optional() }).meta({ id: "OpaqueItem" });
const logprob = z.looseObject({ token: z.string(), logprob: z.number() }).meta({ id: "Logprob" });

/** A block of content: exactly one of text, media, or an opaque item that only its provider reads (then in `native`). */
const contentBlock = (type: "system" | "input" | "response", id: string) =>
  z
    .strictObject({
      type: z.literal(type),
      text: z.string().optional(),
      media: media.optional(),
      opaque: opaqueItem.optional(),
      name: z.string().optional(),
      citations: z.array(citation).optional(),
      refusal: z.boolean().optional(),
      logprobs: z.array(logprob).optional(),
      native: native.optional(),
      cache,
    })
    .refine(
      ({ text, media, opaque }) => [text, media, opaque].filter((part) => part !== undefined).length === 1,
      "expected one of text, media and opaque",
    )
    .refine(
      ({ opaque, native }) => opaque === undefined || native !== undefined,
      "expected native together with opaque",
    )
    .meta({ id });

/** A block of the system text, as native calls send instructions. */
export const system = contentBlock("system", "SystemBlock");
const input = contentBlock("input", "InputBlock");
const response = contentBlock("response", "ResponseBlock");

const resultPart = z.discriminatedUnion("type", [input, response]).meta({ id: "ToolResultPart" });

/** Every kind of block, by `type`. */
export const block = z
  .discriminatedUnion("type", [
    system,
    input,
    response,
    z
      .strictObject({ type: z.literal("thinking"), text: z.string(), native: native.optional(), cache })
      .meta({ id: "ThinkingBlock" }),
    z
      .strictObject({
        type: z.literal("tool_call"),
        id: z.string().min(1),
        name: z.string().min(1),
        arguments: z.string().meta({ description: "JSON text, as the model wrote it" }),
        namespace: z.string().min(1).optional().meta({ description: "The tool's, if it has one (OpenAI Responses)" }),
        custom: z
          .literal(true)
          .optional()
          .meta({ description: "A custom tool's call: the text is the argument `input`" }),
        native: native.optional(),
        cache,
      })
      .meta({ id: "ToolCallBlock" }),
    z
      .strictObject({
        type: z.literal("tool_result"),
        id: z.string().min(1).meta({ description: "The call's" }),
        name: z.string().optional(),
        content: z.union([z.string(), z.array(resultPart)]),
        is_error: z.boolean().optional(),
        native: native.optional(),
        cache,
      })
      .meta({ id: "ToolResultBlock" }),
  ])
  .meta({ id: "Block" });

/** A function with a JSON Schema, or a provider's own tool as its wire item. */
export const tool = z
  .discriminatedUnion("type", [
    z
      .strictObject({
        type: z.literal("function").default("function"),
        name: z.string().min(1),
        description: z.string().optional(),
        parameters: z.looseObject({}).optional().meta({ description: "JSON Schema of the arguments" }),
        strict: z.boolean().optional(),
        cache,
      })
      .meta({ id: "FunctionTool" }),
    z.strictObject({ type: z.literal("provider"), native }).meta({ id: "ProviderTool" }),
  ])
  .meta({ id: "Tool" });

/** Which tools the model may or must call. `among`: only these functions. */
export const toolChoice = z
  .union([
    z.enum(["auto", "none", "required"]),
    z.strictObject({ name: z.string().min(1) }).meta({ id: "NamedToolChoice" }),
    z
      .strictObject({ mode: z.enum(["auto", "required"]), among: z.array(z.string()).optional() })
      .meta({ id: "ToolChoiceAmong" }),
  ])
  .meta({ id: "ToolChoice" });

/** The format of the reply: text, any JSON, or JSON that fits a schema. */
export const format = z
  .discriminatedUnion("type", [
    z.strictObject({ type: z.literal("text") }).meta({ id: "TextFormat" }),
    z.strictObject({ type: z.literal("json") }).meta({ id: "JsonFormat" }),
    z
      .strictObject({
        type: z.literal("json_schema"),
        name: z.string().optional(),
        schema: z.looseObject({}),
        description: z.string().optional(),
        strict: z.boolean().optional(),
      })
      .meta({ id: "JsonSchemaFormat" }),
  ])
  .meta({ id: "OutputFormat" });
